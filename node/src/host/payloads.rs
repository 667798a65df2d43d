//! Batches that the replicas of a host keep in memory.
//!
//! A follower that lags a little is sent them from there, not from the disk, and they are applied
//! from there. **Invariant:** all replicas together keep no more than their bound of what is
//! durable. A bound for each replica would be none: a node of four thousand partitions would keep
//! four thousand times as much. What is applied goes first, from the replicas that have been
//! silent longest; then what is not, which is read again when it is needed.

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// What each replica keeps, and when that last changed.
#[derive(Debug)]
pub(super) struct Payloads {
    most: u64,
    bytes: u64,
    held: FxHashMap<u64, Held>,
    /// Partitions by the moment of their last change.
    by_change: BTreeMap<u64, u64>,
    /// Counts changes.
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    changed: u64,
}

impl Payloads {
    /// Nothing is kept yet, of at most `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        let (held, by_change) = (FxHashMap::default(), BTreeMap::new());
        Self { most, bytes: 0, held, by_change, changes: 0 }
    }

    /// The partition's replica keeps so many bytes now.
    pub(super) fn note(&mut self, partition: u64, bytes: u64) {
        let before = self.held.get(&partition).copied();
        if before.map_or(0, |held| held.bytes) == bytes {
            return;
        }
        if let Some(held) = before {
            self.bytes -= held.bytes;
            self.by_change.remove(&held.changed);
        }
        if bytes == 0 {
            self.held.remove(&partition);
            return;
        }
        self.changes += 1;
        self.bytes += bytes;
        self.held.insert(partition, Held { bytes, changed: self.changes });
        self.by_change.insert(self.changes, partition);
    }

    /// While more is kept than there may be, the partition that has to let go of what it can, and
    /// the number of its last change: of those changed after `change`, the one silent longest.
    pub(super) fn over(&self, change: u64) -> Option<(u64, u64)> {
        let next = self.by_change.range(change + 1..).next();
        next.filter(|_| self.bytes > self.most).map(|(change, partition)| (*change, *partition))
    }

    /// The number of the last change of all.
    pub(super) fn last_change(&self) -> u64 {
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_replicas_count_together() {
        let mut payloads = Payloads::new(100);
        (1..=10).for_each(|partition| payloads.note(partition, 10));
        assert_eq!(payloads.over(0), None);
        payloads.note(3, 11);
        assert!(payloads.over(0).is_some());
        payloads.note(7, 0);
        assert_eq!(payloads.over(0), None);
    }

    #[test]
    fn whoever_has_been_silent_longest_lets_go_first() {
        let mut payloads = Payloads::new(1);
        [1, 2, 3].into_iter().for_each(|partition| payloads.note(partition, 5));
        payloads.note(1, 6);
        payloads.note(2, 5);
        let (first, partition) = payloads.over(0).unwrap();
        assert_eq!(partition, 2);
        let (second, partition) = payloads.over(first).unwrap();
        assert_eq!(partition, 3);
        payloads.note(2, 0);
        let (third, partition) = payloads.over(second).unwrap();
        assert_eq!((partition, third), (1, payloads.last_change()));
        assert_eq!(payloads.over(third), None);
    }
}
