//! Replicas that leave this node: those that their group has left out, and those
//! whose files are damaged.

use super::fatal::storage_fault;
use super::parts::Engine;
use crate::host::{Event, RequestId, host_of};
use crate::membership::left_out;
use doug_storage::{ReplicaKey, StorageError};
use std::sync::Arc;
use std::time::Duration;

/// How long a host may take to let go of a replica.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between looks, should the news of a change be missed.
const LOOK: Duration = Duration::from_secs(5);

/// Removes replicas that the map's descriptors have left out, until the node
/// stops; at its start too, for the process may have ended before it was done.
pub async fn remove_left_out(engine: Arc<Engine>) {
    let mut maps = engine.maps.watch();
    while !engine.is_stopping() {
        let map = maps.borrow_and_update().clone();
        if let Some(map) = map {
            for replica in left_out(&map, engine.store.replicas().into_keys()) {
                remove(&engine, replica).await;
            }
        }
        drop(tokio::time::timeout(LOOK, maps.changed()).await);
    }
}

/// The host first: from then on nobody hears of the replica any more. Its tables
/// and log go with the tombstone, in one edit.
async fn remove(engine: &Arc<Engine>, replica: ReplicaKey) {
    if !let_go(engine, replica).await {
        return;
    }
    let node = engine.clone();
    let removed = tokio::task::spawn_blocking(move || node.store.remove_replica(replica)).await;
    match removed {
        Ok(Ok(())) => {
            engine.fenced.lock().remove(&replica);
            tracing::info!(%replica, "removed a replica that its group has left out");
        }
        Ok(Err(error)) => tracing::warn!(%replica, why = %storage_fault(error), "not removed yet"),
        Err(error) => tracing::error!(%replica, %error, "removing a replica panicked"),
    }
}

async fn let_go(engine: &Engine, replica: ReplicaKey) -> bool {
    let host = host_of(replica.partition, engine.hosts.len());
    let word = engine.ask(host, PATIENCE, |request| Event::Remove { request, replica }).await;
    let mut partitions = engine.partitions.write();
    if partitions.get(&replica.partition).is_some_and(|held| held.key() == replica) {
        partitions.remove(&replica.partition);
    }
    word.is_ok()
}

/// Takes a replica out of its group if `error` says that its tables are damaged:
/// what it has acknowledged may be lost, so it neither votes nor acknowledges any
/// more. The process goes on, and the group is asked for a successor.
///
/// # Errors
/// Any other error, as it is.
pub fn leave_if_damaged(
    engine: &Engine,
    replica: ReplicaKey,
    error: StorageError,
) -> Result<(), StorageError> {
    let why = match engine.store.fence_if_damaged(replica, error) {
        StorageError::Fenced { why, .. } => why,
        other => return Err(other),
    };
    tracing::error!(%replica, why, "a replica is damaged and leaves its group");
    engine.fenced.lock().insert(replica, why);
    let mut partitions = engine.partitions.write();
    if partitions.get(&replica.partition).is_some_and(|held| held.key() == replica) {
        partitions.remove(&replica.partition);
    }
    drop(partitions);
    // Nobody waits for the word: what it acknowledges until it hears this stands in
    // the log, which is sound.
    let request = RequestId(0);
    engine.host(replica.partition).send(Event::Remove { request, replica });
    Ok(())
}
