//! Memtables of all replicas together stay within their share of the memory and the volume: they
//! are flushed as [`MemtableMemory`](crate::flow::MemtableMemory) decides.

use crate::engine::Engine;
use crate::engine::tasks::MaintenanceTask;
use doug_storage::ReplicaKey;

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

/// The volume has room for so many bytes of memtables: what is beyond that is flushed.
pub fn limit(engine: &Engine, room: u64) {
    let mut memtables = engine.memtables.lock();
    memtables.has_room(room);
    flush(engine, memtables.to_flush());
}

fn flush(engine: &Engine, replicas: Vec<ReplicaKey>) {
    for replica in replicas {
        // The receiver is gone only while the process ends.
        drop(engine.maintenance.send(MaintenanceTask::Flush(replica)));
    }
}
