//! Measures the node's volume, again and again.

use super::memory;
use crate::engine::Engine;
use crate::engine::tasks::MaintenanceTask;
use crate::volume::{Needs, WriteAdmission};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two measurements: a volume fills fast, and asking costs a system call.
const PAUSE: Duration = Duration::from_millis(250);

/// Measures until the node stops.
pub async fn run(engine: Arc<Engine>) {
    while !engine.is_stopping() {
        let node = engine.clone();
        if tokio::task::spawn_blocking(move || measure(&node)).await.is_err() {
            tracing::error!("measuring the volume panicked: it is not watched any more");
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What deletes wrote frees nothing while it is in memory, where it is too little to be flushed
/// for its own sake.
fn flush_deletes(engine: &Engine) {
    for partition in engine.partitions.read().values().filter(|held| !held.is_flushed()) {
        // The receiver is gone only while the process ends.
        drop(engine.maintenance.send(MaintenanceTask::Flush(partition.key())));
    }
}

/// Measures once.
pub fn measure(engine: &Engine) {
    let memtables = memory::measure(engine);
    let needs = Needs { log: engine.log_reader.growth(), memtables };
    // Where nothing can be known of it, the volume is left to whoever watches it.
    let Ok(changed) = engine.volume.measure(|| engine.store.space(), needs) else { return };
    memory::limit(engine, engine.volume.room_for_memtables());
    if engine.volume.wants_flushes(engine.clock.now()) {
        flush_deletes(engine);
    }
    let Some(admission) = changed else { return };
    let Some(room) = engine.volume.room() else { return };
    let (available, total) = (room.available, room.total);
    match admission {
        WriteAdmission::Writes => {
            tracing::info!(available, total, "the volume has room again: writes are taken");
        }
        WriteAdmission::Deletes => tracing::warn!(
            available,
            total,
            "the volume is full: writes are refused until it has grown or deletes have made room"
        ),
        WriteAdmission::Nothing => {
            tracing::error!(available, total, "the volume is full: deletes are refused too");
        }
    }
}
