//! Measures the node's volume, again and again.

use super::memory::keep_within_shares;
use super::shared::Shared;
use crate::volume::{Admission, Needs};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two measurements: a volume fills fast, and asking costs a system call.
const PAUSE: Duration = Duration::from_millis(250);

/// Measures until the node stops.
pub async fn run(shared: Arc<Shared>) {
    while !shared.is_stopping() {
        let node = shared.clone();
        if tokio::task::spawn_blocking(move || measure(&node)).await.is_err() {
            tracing::error!("measuring the volume panicked: it is not watched any more");
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Measures once.
pub fn measure(shared: &Shared) {
    let memtables = keep_within_shares(shared);
    // Where nothing can be known of it, the volume is left to whoever watches it.
    let Ok(space) = shared.store.space() else { return };
    let needs = Needs { log: shared.log_reader.growth(), memtables };
    let Some(admission) = shared.volume.observe(space, needs) else { return };
    let Some(room) = shared.volume.room() else { return };
    let (available, total) = (room.available, room.total);
    match admission {
        Admission::Writes => {
            tracing::info!(available, total, "the volume has room again: writes are taken");
        }
        Admission::Deletes => tracing::warn!(
            available,
            total,
            "the volume is full: writes are refused until it has grown or deletes have made room"
        ),
        Admission::Nothing => {
            tracing::error!(available, total, "the volume is full: deletes are refused too");
        }
    }
}
