//! Memtables and client sessions of all replicas together stay within their shares of the memory.
//!
//! Each replica flushes its own memtable when it is full, and bounds its own sessions; a node of
//! many replicas may hold too much before any of them does. Then the largest memtables are flushed,
//! however small they are, and no leader here registers another session.

use super::maintenance::Task;
use super::parts::Engine;
use crate::budget::Share;
use doug_proto::error::Fault;
use doug_storage::ReplicaKey;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the client sessions of all replicas count for.
#[derive(Debug)]
pub struct SessionMemory {
    share: u64,
    used: AtomicU64,
}

impl SessionMemory {
    /// Sessions may take `share` bytes.
    pub fn new(share: u64) -> Self {
        Self { share, used: AtomicU64::new(0) }
    }

    /// Whether another session may be registered. Those that are there go on: their partitions
    /// forget the least recently used ones by themselves.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, not executed.
    pub fn admit(&self) -> Result<(), Fault> {
        let used = self.used.load(Ordering::Relaxed);
        if used <= self.share {
            return Ok(());
        }
        Err(Fault::exhausted(format!(
            "the client sessions on this node take {used} bytes, and {} are meant for them: write \
             without sessions, keep clients instead of making new ones, or give the node a larger \
             memory budget",
            self.share
        )))
    }

    fn measured(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Bytes, as last measured.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes in memtables; asks for flushes where that is more than their share, and stops
/// applying where it is a quarter more. Measures sessions.
pub fn keep_within_shares(engine: &Engine) -> u64 {
    let share = engine.budget.of(Share::Memtables);
    let held: Vec<_> = engine.partitions.read().values().cloned().collect();
    engine.session_memory.measured(held.iter().map(|held| held.session_bytes()).sum());
    let sizes: Vec<_> = held.iter().map(|held| (held.memtable_bytes(), held.key())).collect();
    let total = sizes.iter().map(|(bytes, _)| bytes).sum();
    engine.memtables_full.store(total > share + share / 4, Ordering::Relaxed);
    for replica in to_flush(sizes, share) {
        // The receiver is gone only while the process ends.
        drop(engine.maintenance.send(Task::Flush(replica)));
    }
    total
}

/// The largest memtables, so many that the rest use no more than three quarters of the
/// share; none while all are within it.
fn to_flush(mut sizes: Vec<(u64, ReplicaKey)>, share: u64) -> Vec<ReplicaKey> {
    let mut total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
    if total <= share {
        return Vec::new();
    }
    sizes.sort_unstable();
    let mut flushed = Vec::new();
    while let Some((bytes, replica)) = sizes.pop_if(|_| total > share / 4 * 3) {
        total -= bytes;
        flushed.push(replica);
    }
    flushed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[u64]) -> Vec<(u64, ReplicaKey)> {
        let key = |partition: u64| ReplicaKey { partition, replica: 1 };
        bytes.iter().zip(1..).map(|(bytes, partition)| (*bytes, key(partition))).collect()
    }

    fn flushed(bytes: &[u64], share: u64) -> Vec<u64> {
        to_flush(sizes(bytes), share).into_iter().map(|key| key.partition).collect()
    }

    #[test]
    fn beyond_their_share_no_session_is_registered_until_others_have_gone() {
        let memory = SessionMemory::new(100);
        memory.measured(100);
        assert!(memory.admit().is_ok());
        memory.measured(101);
        let refused = memory.admit().unwrap_err();
        assert!(refused.is_not_executed() && refused.message.contains("101"), "{refused}");
        memory.measured(90);
        assert!(memory.admit().is_ok());
    }

    #[test]
    fn within_the_share_nothing_is_flushed() {
        assert!(flushed(&[40, 30, 30], 100).is_empty());
    }

    #[test]
    fn beyond_it_the_largest_go_until_there_is_room_again() {
        assert_eq!(flushed(&[10, 60, 30, 20], 100), [2]);
        assert_eq!(flushed(&[50, 60, 30, 20], 100), [2, 1]);
    }

    #[test]
    fn many_small_ones_count_like_a_large_one() {
        assert_eq!(flushed(&[1; 200], 100).len(), 125);
    }
}
