//! Replicas that leave this node because their group has left them out.

use crate::engine::Engine;
use crate::engine::fatal::storage_fault;
use crate::host::{Event, host_of};
use crate::membership::left_out;
use doug_storage::ReplicaKey;
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
    engine.let_go(replica);
    word.is_ok()
}
