//! Replicas whose files are damaged leave this node.

use super::Engine;
use crate::host::Event;
use crate::work::RequestId;
use doug_storage::{ReplicaKey, StorageError};

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
    engine.let_go(replica);
    // Nobody waits for the word: what it acknowledges until it hears this stands in
    // the log, which is sound.
    let request = RequestId(0);
    engine.host(replica.partition).send(Event::Remove { request, replica });
    Ok(())
}
