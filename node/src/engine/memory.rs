//! Memtables and client sessions of all replicas together stay within their shares of the memory.
//!
//! Each replica bounds its own; a node of many replicas may hold too much before any of them does.
//! Then memtables are flushed (see [`MemtableMemory`](crate::flow::MemtableMemory)), and no leader
//! here registers another session.

use super::maintenance::Task;
use super::parts::Engine;
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

/// A replica's memtables have changed: flushes what is too much of all replicas together.
pub fn note_memtables(engine: &Engine, replica: ReplicaKey, bytes: u64) {
    let mut memtables = engine.memtables.lock();
    memtables.note(replica, bytes);
    flush(engine, memtables.to_flush());
}

/// Measures sessions, and forgets the memtables of replicas that are gone. Asks again for flushes
/// that have not happened. Returns the bytes of all memtables.
pub fn measure(engine: &Engine) -> u64 {
    let held: Vec<_> = engine.partitions.read().values().cloned().collect();
    engine.session_memory.measured(held.iter().map(|held| held.session_bytes()).sum());
    let mut memtables = engine.memtables.lock();
    memtables.retain(&held.iter().map(|held| held.key()).collect());
    // Two threads that noted one replica at the same time may have done so in the wrong order.
    held.iter().for_each(|held| memtables.note(held.key(), held.memtable_bytes()));
    memtables.ask_again();
    flush(engine, memtables.to_flush());
    memtables.total()
}

fn flush(engine: &Engine, replicas: Vec<ReplicaKey>) {
    for replica in replicas {
        // The receiver is gone only while the process ends.
        drop(engine.maintenance.send(Task::Flush(replica)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
