//! Taking a goal up: what may be asked of a partition.

use doug_proto::error::Fault;
use doug_proto::map::{Goal, Partition, PartitionMap};
use std::collections::BTreeSet;
use tonic::Code;

/// Why a goal cannot be taken up, whatever state the partition is in.
#[must_use]
pub fn refusal(goal: &Goal, map: &PartitionMap) -> Option<Fault> {
    let count = goal.nodes.len();
    let wrong = |message: String| Some(Fault::invalid(message));
    if goal.nodes.is_empty() {
        return None;
    }
    if count.is_multiple_of(2) {
        return wrong(format!(
            "the goal names {count} nodes; give an odd number: an even one needs as many for a \
             majority, and survives no more failures"
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
                "node {node} ({}) belongs to cluster {:?}, and the goal is in cluster {:?}",
                entry.name, entry.cluster, goal.cluster
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
