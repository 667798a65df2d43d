//! Where a memtable keeps keys and values: chunks that belong to it alone.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the first chunk; each further one is twice as long, up to [`LARGEST`]. So the
/// memtable of a partition that hardly writes stays small.
const FIRST: usize = 4 << 10;
const LARGEST: usize = 128 << 10;
/// An entry of at least this many bytes has a chunk of its own, of just its length: so what
/// is left over at the end of a shared chunk is less than an eighth of the largest.
pub(super) const OWN_CHUNK: usize = 16 << 10;
/// What a chunk costs beside its bytes: its reference count and the allocator's own.
const CHUNK_OVERHEAD: usize = 64;

/// Copies entries into chunks and counts what those take, used or not.
pub(super) struct Arena {
    /// The free end of the current chunk.
    free: BytesMut,
    next: usize,
    allocated: usize,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self { free: BytesMut::new(), next: FIRST, allocated: 0 }
    }

    /// Bytes of all chunks.
    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    /// The parts, copied one behind the other.
    pub(super) fn store(&mut self, parts: &[&[u8]]) -> Bytes {
        let len = parts.iter().map(|part| part.len()).sum();
        if len >= OWN_CHUNK {
            let mut own = self.chunk(len);
            parts.iter().for_each(|part| own.put_slice(part));
            return own.freeze();
        }
        if self.free.capacity() < len {
            self.free = self.chunk(self.next.max(len));
            self.next = (self.next * 2).min(LARGEST);
        }
        parts.iter().for_each(|part| self.free.put_slice(part));
        self.free.split().freeze()
    }

    fn chunk(&mut self, len: usize) -> BytesMut {
        self.allocated += len + CHUNK_OVERHEAD;
        BytesMut::with_capacity(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_what_they_were_while_the_arena_grows() {
        let mut arena = Arena::new();
        let entry = |n: usize| vec![n as u8; n * 37 % 5_000];
        let stored: Vec<Bytes> = (0..500).map(|n| arena.store(&[&entry(n), b"end"])).collect();
        for (n, stored) in stored.iter().enumerate() {
            assert_eq!(*stored, [&entry(n)[..], b"end"].concat());
        }
    }

    #[test]
    fn the_first_chunk_is_small_and_at_most_an_eighth_of_all_is_left_over() {
        let mut arena = Arena::new();
        assert_eq!(arena.allocated(), 0);
        arena.store(&[&[7; 100]]);
        assert_eq!(arena.allocated(), FIRST + CHUNK_OVERHEAD);
        let mut used = 100;
        while used < 8 << 20 {
            used += arena.store(&[&vec![7; OWN_CHUNK - 1]]).len();
        }
        let allowed = used + used / 7 + 2 * LARGEST;
        assert!(arena.allocated() < allowed, "{} for {used} bytes", arena.allocated());
    }

    #[test]
    fn a_large_entry_has_a_chunk_of_its_own_length() {
        let mut arena = Arena::new();
        arena.store(&[&[7; 100]]);
        let before = arena.allocated();
        arena.store(&[&[7; 1 << 20]]);
        assert_eq!(arena.allocated() - before, (1 << 20) + CHUNK_OVERHEAD);
        let before = arena.allocated();
        arena.store(&[&[7; 100]]);
        assert_eq!(arena.allocated(), before, "the shared chunk goes on behind it");
    }
}
