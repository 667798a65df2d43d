//! What the skip list holds: handles of entries in the arena, searchable by a place.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

use super::arena::OWN_CHUNK;
use crate::table::Slot;
use crate::table::entry::{Place, compare};

/// Words of a key that stand in the node itself.
const HEAD_WORDS: usize = 3;
const HEAD: usize = HEAD_WORDS * size_of::<u64>();

/// The beginning of a key, padded with zeros, in words that compare as the bytes do.
///
/// Whoever looks for a place in a skip list of megabytes waits for the memory at nearly every node,
/// and would wait once more for the key in the arena. With short keys, or such as differ early, the
/// node alone decides.
type Head = [u64; HEAD_WORDS];

fn head(key: &[u8]) -> Head {
    let mut padded = [0; HEAD];
    let len = key.len().min(HEAD);
    padded[..len].copy_from_slice(&key[..len]);
    let (words, _) = padded.as_chunks();
    std::array::from_fn(|word| u64::from_be_bytes(words[word]))
}

/// A version in the arena.
pub(super) struct Entry {
    head: Head,
    /// The key, class in front, then the slot as a block stores it.
    bytes: Bytes,
    /// Keys have at most 4 KiB.
    key_len: u32,
    pub(super) revision: u64,
}

impl Entry {
    /// What the arena holds: a key of `key_len` bytes, and a slot.
    pub(super) fn new(bytes: Bytes, key_len: u32, revision: u64) -> Self {
        Self { head: head(&bytes[..key_len as usize]), bytes, key_len, revision }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    /// The slot. Its value is a copy unless it fills its chunk: else a few bytes, in the hands
    /// of a reader who takes long, would keep the whole chunk after the memtable is gone.
    pub(super) fn slot(&self) -> Slot {
        let slot = Slot::parse(&self.bytes, self.key_len as usize..self.bytes.len());
        slot.expect("it was encoded when it was stored").map(|value| {
            if self.bytes.len() < OWN_CHUNK {
                Bytes::copy_from_slice(&self.bytes[value.clone()])
            } else {
                self.bytes.slice(value.clone())
            }
        })
    }
}

/// What has a place in the internal order. As a trait object it lets the skip list
/// compare its entries with a borrowed place: a lookup allocates nothing.
pub(super) trait Placed {
    fn head(&self) -> Head;
    fn key_len(&self) -> usize;
    fn revision(&self) -> u64;
    fn key(&self) -> &[u8];
}

impl Placed for Entry {
    fn head(&self) -> Head {
        self.head
    }

    fn key_len(&self) -> usize {
        self.key_len as usize
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn key(&self) -> &[u8] {
        Entry::key(self)
    }
}

/// A place that is looked for.
pub(super) struct Sought<'a> {
    head: Head,
    place: Place<'a>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(place: Place<'a>) -> Self {
        Self { head: head(place.0), place }
    }
}

impl Placed for Sought<'_> {
    fn head(&self) -> Head {
        self.head
    }

    fn key_len(&self) -> usize {
        self.place.0.len()
    }

    fn revision(&self) -> u64 {
        self.place.1
    }

    fn key(&self) -> &[u8] {
        self.place.0
    }
}

/// As [`compare`]; looks into the arena only where the nodes do not decide.
fn ordered<A: Placed + ?Sized, B: Placed + ?Sized>(a: &A, b: &B) -> Ordering {
    let heads = a.head().cmp(&b.head());
    if heads.is_ne() {
        return heads;
    }
    if a.key_len() > HEAD || b.key_len() > HEAD {
        return compare((a.key(), a.revision()), (b.key(), b.revision()));
    }
    // Of two keys that differ in nothing but zeros at the end, the shorter comes first.
    a.key_len().cmp(&b.key_len()).then(b.revision().cmp(&a.revision()))
}

impl<'a> Borrow<dyn Placed + 'a> for Entry {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        ordered(self, other)
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        ordered(self, other)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], revision: u64) -> Entry {
        Entry::new(Bytes::copy_from_slice(key), key.len() as u32, revision)
    }

    #[test]
    fn entries_stand_in_the_order_of_their_whole_keys_whatever_decides() {
        let ends: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"\x7f", b"\xff"];
        let mut places = Vec::new();
        for len in [0, 1, 7, 8, 9, 22, 23, HEAD, HEAD + 1, HEAD + 9] {
            for end in ends {
                let key = [vec![b'k'; len], end.to_vec()].concat();
                places.extend([3, 4].map(|revision| (key.clone(), revision)));
            }
        }
        for a in &places {
            for b in &places {
                let expected = compare((&a.0, a.1), (&b.0, b.1));
                let (x, y) = (entry(&a.0, a.1), entry(&b.0, b.1));
                assert_eq!(x.cmp(&y), expected, "{a:?} and {b:?}");
                let sought = Sought::new((&b.0, b.1));
                let (x, sought): (&dyn Placed, &dyn Placed) = (&x, &sought);
                assert_eq!(x.cmp(sought), expected, "{a:?} sought as {b:?}");
            }
        }
    }
}
