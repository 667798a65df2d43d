//! Taking a goal up: what may be asked of a partition.

use doug_proto::error::Fault;
use doug_proto::map::{Goal, Partition, PartitionMap};
use doug_proto::quote;
use std::collections::BTreeSet;
use tonic::Code;

/// Why a partition cannot be given a goal, whatever else is under way in it.
#[must_use]
pub fn refusal(partition: u64, goal: &Goal, map: &PartitionMap) -> Option<Fault> {
    let count = goal.nodes.len();
    let wrong = |message: String| Some(Fault::invalid(message));
    if goal.nodes.is_empty() {
        return None;
    }
    // A goal given up half way leaves as many voters as it finds: among them, too, one that
    // is damaged or lost must be replaced.
    // One that began anew from a few grows again as its lost nodes are replaced, one by one.
    let as_many = map.partition(partition).is_some_and(|now| {
        let wanted = now.goal.as_ref().map_or(0, |goal| goal.nodes.len());
        let grows = !now.recoveries.is_empty() && count > now.voters.len();
        now.voters.len() == count || wanted == count || grows
    });
    if count.is_multiple_of(2) && !as_many {
        return wrong(format!(
            "the goal names {count} nodes; give an odd number: an even one needs as many for a \
             majority, and survives no more failures"
        ));
    }
    if let Some(cluster) = map.cluster(&goal.cluster)
        && count < cluster.nodes as usize
        && !as_many
    {
        return wrong(format!(
            "the goal names {count} nodes, and cluster {} is to have {}: a partition is never \
             placed on fewer; let more nodes join, or declare the cluster smaller",
            cluster.name, cluster.nodes
        ));
    }
    let distinct: BTreeSet<_> = goal.nodes.iter().collect();
    if distinct.len() != count {
        return wrong("the goal names a node twice: a node holds one replica".to_owned());
    }
    for node in &goal.nodes {
        let Some(entry) = map.node(*node) else {
            return wrong(format!(
                "the map does not list node {node}: let it join the database first"
            ));
        };
        if entry.is_removed() {
            return wrong(format!(
                "node {node} ({}) was removed from the database for good: name another one",
                entry.name
            ));
        }
        if entry.cluster != goal.cluster {
            return wrong(format!(
                "node {node} ({}) belongs to cluster {}, and the goal is in cluster {}",
                entry.name,
                quote::text(&entry.cluster),
                quote::text(&goal.cluster)
            ));
        }
    }
    None
}

/// The descriptor with another goal; `None` if it would say the same.
///
/// # Errors
/// A goal that would leave no replica to be trusted.
pub fn with_goal(descriptor: &Partition, goal: &Goal) -> Result<Option<Partition>, Fault> {
    let mut next = descriptor.clone();
    next.goal = (!goal.nodes.is_empty()).then(|| goal.clone());
    if descriptor.voters.iter().all(|voter| goal.discarded.contains(&voter.replica)) {
        return Err(Fault::new(
            Code::FailedPrecondition,
            "the goal discards every voter: one whose data can be trusted must stay",
        )
        .not_executed());
    }
    let at_rest = descriptor.outgoing.is_empty() && descriptor.learners.is_empty();
    let there = at_rest
        && descriptor.cluster == goal.cluster
        && descriptor.voters.iter().map(|voter| voter.node).eq(goal.nodes.iter().copied())
        && !descriptor.voters.iter().any(|voter| goal.discarded.contains(&voter.replica));
    if there {
        next.goal = None;
    }
    if next.goal == descriptor.goal {
        return Ok(None);
    }
    next.generation += 1;
    next.next_replica = descriptor.next_replica();
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_proto::ids::{DatabaseId, NodeId};
    use doug_proto::map::{Cluster, Keyspace, KeyspaceId, Member, Node, Ports, Recovery};

    /// Four nodes, and a partition with these voters.
    fn map(voters: u64) -> PartitionMap {
        let node = |number| Node {
            id: NodeId::from_bits(number),
            name: format!("a-{number}"),
            cluster: "a".into(),
            address: "host".into(),
            ports: Ports::default(),
            version: 1,
        };
        let member = |number| Member { node: NodeId::from_bits(number), replica: number };
        let partition = Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
            start: Bytes::new(),
            end: Bytes::new(),
            generation: 1,
            cluster: "a".into(),
            voters: (1..=voters).map(member).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        };
        PartitionMap {
            epoch: 1,
            keyspaces: vec![Keyspace::default_by_hash()],
            clusters: Vec::new(),
            nodes: (1..=4).map(node).collect(),
            partitions: vec![partition],
            ..PartitionMap::empty(DatabaseId::from_bits(1))
        }
    }

    fn goal(nodes: u64) -> Goal {
        let nodes = (1..=nodes).map(NodeId::from_bits).collect();
        Goal { nodes, cluster: "a".into(), discarded: Vec::new() }
    }

    #[test]
    fn an_even_number_of_nodes_is_refused() {
        assert!(refusal(1, &goal(2), &map(3)).is_some());
        assert!(refusal(1, &goal(3), &map(3)).is_none());
    }

    #[test]
    fn fewer_voters_than_the_cluster_was_declared_with_are_refused_where_there_were_more() {
        let mut map = map(1);
        map.clusters = vec![Cluster { name: "a".into(), nodes: 5, version: 1 }];
        let fault = refusal(1, &goal(3), &map).expect("three of five");
        assert!(fault.message.contains("is to have 5"), "{fault}");
        // One of the three that it has can be replaced all the same.
        map.partitions[0].voters =
            goal(3).nodes.iter().map(|node| Member { node: *node, replica: 1 }).collect();
        assert!(refusal(1, &goal(3), &map).is_none());
        map.clusters[0].nodes = 3;
        map.partitions[0].voters.truncate(1);
        assert!(refusal(1, &goal(3), &map).is_none());
    }

    #[test]
    fn a_partition_that_began_anew_may_grow_one_by_one() {
        let mut map = map(2);
        map.clusters = vec![Cluster { name: "a".into(), nodes: 4, version: 1 }];
        assert!(refusal(1, &goal(3), &map).is_some());
        let recovery = Recovery {
            at_milliseconds: 1,
            by: "ann".into(),
            replica: 1,
            node: NodeId::from_bits(1),
            committed: 5,
            kept: 6,
            kept_term: 1,
            resumed: 1_000,
            first_replica: 100,
            lost: vec![NodeId::from_bits(9)],
        };
        map.partitions[0] = map.partitions[0].clone().recovered(recovery);
        assert!(refusal(1, &goal(3), &map).is_none());
        map.partitions[0].voters.truncate(1);
        assert!(refusal(1, &goal(2), &map).is_none());
    }

    #[test]
    fn one_of_four_voters_that_a_goal_given_up_has_left_can_be_replaced() {
        assert!(refusal(1, &goal(4), &map(4)).is_none());
        // The damaged one is voted out first, and another may be lost meanwhile.
        let mut map = map(3);
        map.partitions[0].goal = Some(goal(4));
        assert!(refusal(1, &goal(4), &map).is_none());
    }
}
