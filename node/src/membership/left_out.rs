//! Which replicas are gone for good, and what a damaged one asks its group for.

use doug_proto::map::{Goal, Partition, PartitionMap};
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;

/// Whether a replica is gone for good, by a descriptor that its group has
/// committed: its id was given before that, and is no member's any more. Ids are
/// given once, so no later descriptor can list it again, however old this one is;
/// and one whose id is yet to be given, by this descriptor, is of a newer one.
#[must_use]
pub fn is_left_out(descriptor: &Partition, replica: u64) -> bool {
    replica < descriptor.next_replica() && descriptor.member(replica).is_none()
}

/// Of a node's replicas those that the map's descriptors have left out: the host
/// lets go of each first, then its tombstone is stored.
pub fn left_out(
    map: &PartitionMap,
    replicas: impl IntoIterator<Item = ReplicaKey>,
) -> impl Iterator<Item = ReplicaKey> {
    // Thousands of replicas, each looked up in a list, would cost more than all else that idles.
    let by_id: BTreeMap<u64, &Partition> =
        map.partitions.iter().map(|partition| (partition.id, partition)).collect();
    replicas.into_iter().filter(move |replica| {
        let descriptor = by_id.get(&replica.partition);
        descriptor.is_some_and(|descriptor| is_left_out(descriptor, replica.replica))
    })
}

/// The goal that replaces a replica: the one there is, or to stay as it is; `None`
/// if that is under way, or done.
#[must_use]
pub fn without(descriptor: &Partition, replica: u64) -> Option<Goal> {
    descriptor.member(replica)?;
    let mut goal = descriptor.goal.clone().unwrap_or_else(|| Goal {
        nodes: descriptor.voters.iter().map(|voter| voter.node).collect(),
        cluster: descriptor.cluster.clone(),
        discarded: Vec::new(),
    });
    if goal.discarded.contains(&replica) {
        return None;
    }
    goal.discarded.push(replica);
    Some(goal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::ids::NodeId;
    use doug_proto::map::{KeyspaceId, Member};

    fn descriptor(voters: &[u64], next_replica: u64) -> Partition {
        let member =
            |replica: &u64| Member { node: NodeId::from_bits(*replica), replica: *replica };
        Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
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
            recoveries: Vec::new(),
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

    #[test]
    fn a_damaged_member_is_discarded_once_and_its_node_stays_in_the_goal() {
        let mut descriptor = descriptor(&[1, 2, 3], 4);
        let goal = without(&descriptor, 2).expect("a member");
        assert_eq!((goal.nodes.len(), &goal.discarded[..]), (3, &[2][..]));
        descriptor.goal = Some(goal);
        assert_eq!(without(&descriptor, 2), None);
        assert_eq!(without(&descriptor, 9), None, "no member any more");
    }
}
