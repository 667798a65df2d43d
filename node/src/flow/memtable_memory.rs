//! The memtables of all replicas of a node stay within their share of its memory, and within what
//! its volume has room for.
//!
//! Each replica flushes its own memtable when that is full; a node of many replicas holds too much
//! long before any of them is. Then the largest memtables are flushed, however small they are.
//! **Invariant:** nothing is applied while all together are a quarter beyond their share, so that
//! they exceed that by one piece of work at most. It is counted with every piece of work: what is
//! measured now and then only would be exceeded by whatever a disk takes meanwhile.
//!
//! **Invariant:** nothing is applied that could not be flushed. A node that only follows does not
//! refuse what its leader sends; on the fuller volume its memtables would grow beyond the room that
//! is left, no flush would be granted any more, and nothing else would ever free any.

use doug_storage::ReplicaKey;
use std::collections::{BTreeMap, BTreeSet};

/// Counts them, and says which are to be flushed.
#[derive(Debug)]
pub struct MemtableMemory {
    share: u64,
    /// What the volume has room for once they are tables.
    room: u64,
    total: u64,
    held: BTreeMap<ReplicaKey, u64>,
    /// The same by size, but for those whose flush was asked for.
    by_size: BTreeSet<(u64, ReplicaKey)>,
    /// Bytes of those whose flush was asked for.
    leaving: u64,
}

impl MemtableMemory {
    /// All memtables together may take `share` bytes.
    pub fn new(share: u64) -> Self {
        let (held, by_size) = (BTreeMap::new(), BTreeSet::new());
        Self { share, room: u64::MAX, total: 0, held, by_size, leaving: 0 }
    }

    /// The volume has room for so many bytes of memtables, once they are tables.
    pub fn has_room(&mut self, room: u64) {
        self.room = room;
    }

    /// Beyond this the largest are flushed.
    fn soft_limit(&self) -> u64 {
        self.share.min(self.room / 5 * 4)
    }

    /// The memtables of a replica, active and frozen, take so many bytes now; none once it is gone.
    pub fn note(&mut self, replica: ReplicaKey, bytes: u64) {
        let before = self.held.remove(&replica).unwrap_or(0);
        self.total = self.total - before + bytes;
        let was_asked = before > 0 && !self.by_size.remove(&(before, replica));
        if was_asked {
            self.leaving -= before;
        }
        if bytes == 0 {
            return;
        }
        self.held.insert(replica, bytes);
        // It shrinks when a flush is published; until then the one that was asked for is to come.
        if was_asked && bytes >= before {
            self.leaving += bytes;
        } else {
            self.by_size.insert((bytes, replica));
        }
    }

    /// The replicas whose memtables are to be flushed now, the largest first: so many that the
    /// rest take no more than three quarters of what they may. None while all are within it.
    pub fn to_flush(&mut self) -> Vec<ReplicaKey> {
        let mut replicas = Vec::new();
        let limit = self.soft_limit();
        if self.total <= limit {
            return replicas;
        }
        while self.total - self.leaving > limit / 4 * 3
            && let Some((bytes, replica)) = self.by_size.pop_last()
        {
            self.leaving += bytes;
            replicas.push(replica);
        }
        replicas
    }

    /// Forgets which flushes were asked for: some may have failed, and are asked for again.
    pub fn ask_again(&mut self) {
        self.leaving = 0;
        self.by_size = self.held.iter().map(|(replica, bytes)| (*bytes, *replica)).collect();
    }

    /// Forgets replicas that are not among `present`.
    pub fn retain(&mut self, present: &BTreeSet<ReplicaKey>) {
        let gone: Vec<_> =
            self.held.keys().filter(|held| !present.contains(held)).copied().collect();
        gone.into_iter().for_each(|replica| self.note(replica, 0));
    }

    /// Bytes of all memtables.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether so much is held that nothing may be applied.
    pub fn is_full(&self) -> bool {
        self.total > self.share + self.share / 4 || self.total >= self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: u64) -> ReplicaKey {
        ReplicaKey { partition, replica: 1 }
    }

    fn holding(share: u64, bytes: &[u64]) -> MemtableMemory {
        let mut memory = MemtableMemory::new(share);
        for (bytes, partition) in bytes.iter().zip(1..) {
            memory.note(key(partition), *bytes);
        }
        memory
    }

    fn flushed(memory: &mut MemtableMemory) -> Vec<u64> {
        memory.to_flush().into_iter().map(|key| key.partition).collect()
    }

    #[test]
    fn within_the_share_nothing_is_flushed() {
        assert!(flushed(&mut holding(100, &[40, 30, 30])).is_empty());
    }

    #[test]
    fn beyond_it_the_largest_go_until_there_is_room_again() {
        assert_eq!(flushed(&mut holding(100, &[10, 60, 30, 20])), [2]);
        assert_eq!(flushed(&mut holding(100, &[50, 60, 30, 20])), [2, 1]);
    }

    #[test]
    fn many_small_ones_count_like_a_large_one() {
        assert_eq!(flushed(&mut holding(100, &[1; 200])).len(), 125);
    }

    #[test]
    fn a_flush_is_asked_for_once_until_it_is_published_or_has_failed() {
        let mut memory = holding(100, &[60, 50]);
        assert_eq!(flushed(&mut memory), [1]);
        memory.note(key(1), 61);
        memory.note(key(2), 51);
        assert!(flushed(&mut memory).is_empty());
        memory.ask_again();
        assert_eq!(flushed(&mut memory), [1]);
        memory.note(key(1), 1);
        memory.note(key(2), 110);
        assert_eq!(flushed(&mut memory), [2]);
        assert_eq!(memory.total(), 111);
    }

    #[test]
    fn a_quarter_beyond_the_share_nothing_is_applied_until_replicas_flush_or_leave() {
        let mut memory = holding(100, &[60, 66]);
        assert!(memory.is_full());
        memory.note(key(1), 59);
        assert!(!memory.is_full());
        memory.note(key(1), 80);
        assert!(memory.is_full());
        memory.retain(&BTreeSet::from([key(2)]));
        assert_eq!(memory.total(), 66);
    }

    #[test]
    fn on_a_full_volume_they_hold_no_more_than_it_has_room_for() {
        let mut memory = holding(1_000, &[10, 60, 30]);
        assert!(!memory.is_full());
        memory.has_room(100);
        assert!(memory.is_full(), "one more piece of work would find no room as a table");
        assert_eq!(flushed(&mut memory), [2]);
        memory.note(key(2), 0);
        assert!(!memory.is_full());
        memory.has_room(0);
        assert_eq!(flushed(&mut memory), [3, 1]);
        memory.note(key(1), 0);
        memory.note(key(3), 0);
        assert!(memory.is_full(), "there is no room for the first piece either");
    }

    #[test]
    fn it_counts_what_it_is_told_whatever_the_order() {
        let mut memory = MemtableMemory::new(50);
        let mut held = [0; 8];
        for step in 0..2_000_u64 {
            let (at, bytes) = ((step * 7 % 8) as usize, step * 31 % 40);
            held[at] = bytes;
            memory.note(key(at as u64), bytes);
            if step % 3 == 0 {
                memory.to_flush();
            }
            let asked = memory.held.len() - memory.by_size.len();
            assert_eq!(memory.total(), held.iter().sum::<u64>());
            assert_eq!(asked == 0, memory.leaving == 0);
        }
    }
}
