//! Replicas that leave this node: those that their group has left out, and those
//! whose files are damaged.

use super::fatal::storage_fault;
use super::shared::Shared;
use crate::host::{Event, RequestId, host_of};
use doug_proto::map::Partition as Descriptor;
use doug_storage::{ReplicaKey, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a host may take to let go of a replica.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between looks, should the news of a change be missed.
const LOOK: Duration = Duration::from_secs(5);

/// Whether a replica is gone for good, by a descriptor that its group has
/// committed: its id was given before that, and is no member's any more. Ids are
/// given once, so no later descriptor can list it again, however old this one is;
/// and one whose id is yet to be given, by this descriptor, is of a newer one.
pub fn is_left_out(descriptor: &Descriptor, replica: u64) -> bool {
    replica < descriptor.next_replica() && descriptor.member(replica).is_none()
}

/// Removes replicas that the map's descriptors have left out, until the node
/// stops; at its start too, for the process may have ended before it was done.
pub async fn remove_left_out(shared: Arc<Shared>) {
    let mut maps = shared.maps.watch();
    while !shared.is_stopping() {
        let map = maps.borrow_and_update().clone();
        if let Some(map) = map {
            // Thousands of replicas, each looked up in a list, would cost more than all else that idles.
            let by_id: BTreeMap<u64, &Descriptor> =
                map.partitions.iter().map(|partition| (partition.id, partition)).collect();
            for replica in shared.store.replicas().into_keys() {
                let descriptor = by_id.get(&replica.partition).copied();
                if descriptor.is_some_and(|d| is_left_out(d, replica.replica)) {
                    remove(&shared, replica).await;
                }
            }
        }
        drop(tokio::time::timeout(LOOK, maps.changed()).await);
    }
}

/// The host first: from then on nobody hears of the replica any more. Its tables
/// and log go with the tombstone, in one edit.
async fn remove(shared: &Arc<Shared>, replica: ReplicaKey) {
    if !let_go(shared, replica).await {
        return;
    }
    let node = shared.clone();
    let removed = tokio::task::spawn_blocking(move || node.store.remove_replica(replica)).await;
    match removed {
        Ok(Ok(())) => {
            shared.fenced.lock().remove(&replica);
            tracing::info!(%replica, "removed a replica that its group has left out");
        }
        Ok(Err(error)) => tracing::warn!(%replica, why = %storage_fault(error), "not removed yet"),
        Err(error) => tracing::error!(%replica, %error, "removing a replica panicked"),
    }
}

async fn let_go(shared: &Shared, replica: ReplicaKey) -> bool {
    let host = host_of(replica.partition, shared.hosts.len());
    let word = shared.ask(host, PATIENCE, |request| Event::Remove { request, replica }).await;
    let mut partitions = shared.partitions.write();
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
    shared: &Shared,
    replica: ReplicaKey,
    error: StorageError,
) -> Result<(), StorageError> {
    let why = match shared.store.fence_if_damaged(replica, error) {
        StorageError::Fenced { why, .. } => why,
        other => return Err(other),
    };
    tracing::error!(%replica, why, "a replica is damaged and leaves its group");
    shared.fenced.lock().insert(replica, why);
    let mut partitions = shared.partitions.write();
    if partitions.get(&replica.partition).is_some_and(|held| held.key() == replica) {
        partitions.remove(&replica.partition);
    }
    drop(partitions);
    // Nobody waits for the word: what it acknowledges until it hears this stands in
    // the log, which is sound.
    let request = RequestId(0);
    shared.host(replica.partition).send(Event::Remove { request, replica });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::ids::NodeId;
    use doug_proto::map::Member;

    fn descriptor(voters: &[u64], next_replica: u64) -> Descriptor {
        let member =
            |replica: &u64| Member { node: NodeId::from_bits(*replica), replica: *replica };
        Descriptor {
            id: 1,
            start: Default::default(),
            end: Default::default(),
            generation: 4,
            cluster: "a".into(),
            voters: voters.iter().map(member).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica,
            goal: None,
        }
    }

    #[test]
    fn one_whose_id_was_given_and_that_is_no_member_is_left_out() {
        assert!(is_left_out(&descriptor(&[4, 5, 6], 7), 2));
        assert!(!is_left_out(&descriptor(&[4, 5, 6], 7), 5));
    }

    #[test]
    fn one_that_the_descriptor_is_too_old_to_know_stays() {
        assert!(!is_left_out(&descriptor(&[1, 2, 3], 4), 4));
    }
}
