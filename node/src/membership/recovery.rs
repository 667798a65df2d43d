//! The descriptor with which a group begins anew from one replica (docs/recovery.md).

use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition, RECOVERY_STRIDE, Recovery};
use doug_raft::{Index, RECOVERY_INDEXES, Term};
use std::collections::BTreeSet;
use tonic::Code;

/// What an operator asks for who gives nodes up: that a partition begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryOrder {
    /// The partition.
    pub partition: u64,
    /// The replica to begin with, as the operator has seen it.
    pub replica: u64,
    /// The generation of its descriptor.
    pub generation: u64,
    /// Where its log ends: last term and index.
    pub end: (Term, Index),
    /// The greatest commit index that any survivor knows.
    pub committed: Index,
    /// Nodes that are given up.
    pub lost: Vec<NodeId>,
    /// Replicas that are given up although their nodes are there: their files are damaged.
    pub discarded: Vec<u64>,
    /// Who asks.
    pub by: String,
    /// When, by the wall clock of this node: milliseconds since 1970.
    pub at_milliseconds: u64,
}

/// The first descriptor of the new group, whose only voter is `own`; its goal are the nodes of the
/// voters that are not given up.
///
/// # Errors
/// A replica that is no member, one that has moved on since it was looked at, or a group that can
/// still decide.
pub fn begin_anew(
    descriptor: &Partition,
    own: u64,
    order: &RecoveryOrder,
) -> Result<Partition, Fault> {
    if order.replica != own || order.generation != descriptor.generation {
        return Err(refused(format!(
            "partition {} is at generation {} here, as replica {own}, not at generation {} as \
             replica {}: look at it again, and decide anew",
            descriptor.id, descriptor.generation, order.generation, order.replica
        )));
    }
    let Some(survivor) = descriptor.member(own) else {
        return Err(refused(format!(
            "replica {own} is no member of partition {}: it cannot speak for it",
            descriptor.id
        )));
    };
    let is_lost = |member: &Member| order.lost.contains(&member.node);
    if is_lost(&survivor) {
        return Err(refused(format!(
            "node {} is given up itself: begin with another",
            survivor.node
        )));
    }
    let is_there = |voter: &&Member| !is_lost(voter) && !order.discarded.contains(&voter.replica);
    let can_decide = |voters: &[Member]| voters.iter().filter(is_there).count() > voters.len() / 2;
    if can_decide(&descriptor.voters)
        && (descriptor.outgoing.is_empty() || can_decide(&descriptor.outgoing))
    {
        return Err(refused(format!(
            "a majority of the voters of partition {} is not given up: it goes on by itself once \
             they run",
            descriptor.id
        )));
    }
    let mut nodes: Vec<NodeId> =
        descriptor.voters.iter().filter(|voter| !is_lost(voter)).map(|voter| voter.node).collect();
    if nodes.is_empty() {
        nodes.push(survivor.node);
    }
    let voters = descriptor.voters.iter().chain(&descriptor.outgoing);
    let lost: BTreeSet<NodeId> = voters.filter(|v| is_lost(v)).map(|voter| voter.node).collect();
    let first_replica = descriptor.next_replica() + RECOVERY_STRIDE;
    let recovery = Recovery {
        at_milliseconds: order.at_milliseconds,
        by: order.by.clone(),
        replica: own,
        node: survivor.node,
        committed: order.committed,
        kept: order.end.1,
        kept_term: order.end.0,
        resumed: order.end.1 + u64::from(RECOVERY_INDEXES),
        first_replica,
        lost: lost.into_iter().collect(),
    };
    let goal = (nodes != [survivor.node]).then(|| Goal {
        nodes,
        cluster: descriptor.cluster.clone(),
        discarded: Vec::new(),
    });
    let next = Partition {
        generation: descriptor.generation + RECOVERY_STRIDE,
        voters: vec![survivor],
        learners: Vec::new(),
        outgoing: Vec::new(),
        next_replica: first_replica,
        goal,
        ..descriptor.clone()
    };
    Ok(next.recovered(recovery))
}

fn refused(message: String) -> Fault {
    Fault::new(Code::FailedPrecondition, message).not_executed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::map::KeyspaceId;

    fn node(number: u64) -> NodeId {
        NodeId::from_bits(number)
    }

    fn member(number: u64) -> Member {
        Member { node: node(number), replica: number }
    }

    /// Replicas 1 to 5 on nodes 1 to 5, at generation 7.
    fn descriptor() -> Partition {
        Partition {
            id: 4,
            keyspace: KeyspaceId::DEFAULT,
            start: Default::default(),
            end: Default::default(),
            generation: 7,
            cluster: "a".into(),
            voters: (1..=5).map(member).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 9,
            goal: None,
            recoveries: Vec::new(),
        }
    }

    fn order(lost: &[u64]) -> RecoveryOrder {
        RecoveryOrder {
            partition: 4,
            replica: 4,
            generation: 7,
            end: (3, 120),
            committed: 118,
            lost: lost.iter().copied().map(node).collect(),
            discarded: Vec::new(),
            by: "ann".into(),
            at_milliseconds: 5,
        }
    }

    #[test]
    fn the_survivor_is_alone_and_its_goal_are_all_nodes_that_are_left() {
        let next = begin_anew(&descriptor(), 4, &order(&[1, 2, 3])).unwrap();
        assert_eq!((&next.voters[..], next.outgoing.len()), (&[member(4)][..], 0));
        assert_eq!(next.goal.unwrap().nodes, [node(4), node(5)]);
    }

    #[test]
    fn whatever_the_lost_group_may_have_done_since_is_older() {
        let next = begin_anew(&descriptor(), 4, &order(&[1, 2, 3])).unwrap();
        assert_eq!(next.generation, 7 + RECOVERY_STRIDE);
        assert_eq!(next.next_replica(), 9 + RECOVERY_STRIDE);
        for replica in [1, 2, 3, 5, 9, 1_000] {
            assert!(next.is_of_lost_group(replica), "{replica}");
        }
        assert!(!next.is_of_lost_group(4));
    }

    #[test]
    fn the_record_says_what_was_kept_from_which_replica_and_who_was_given_up() {
        let next = begin_anew(&descriptor(), 4, &order(&[1, 2, 3, 77])).unwrap();
        let [record] = &next.recoveries[..] else { panic!("{:?}", next.recoveries) };
        assert_eq!((record.replica, record.node), (4, node(4)));
        assert_eq!((record.committed, record.kept, record.kept_term), (118, 120, 3));
        assert_eq!(record.resumed, 120 + (1 << 30));
        assert_eq!(record.lost, [1, 2, 3].map(node));
    }

    #[test]
    fn a_group_of_which_one_is_left_has_nowhere_to_go() {
        let next = begin_anew(&descriptor(), 4, &order(&[1, 2, 3, 5])).unwrap();
        assert_eq!(next.goal, None);
    }

    #[test]
    fn a_group_of_which_a_majority_is_left_is_left_alone() {
        assert!(begin_anew(&descriptor(), 4, &order(&[1, 2])).is_err());
    }

    #[test]
    fn a_damaged_replica_counts_as_lost_and_its_node_gets_another() {
        let order = RecoveryOrder { discarded: vec![5], ..order(&[1, 2]) };
        let next = begin_anew(&descriptor(), 4, &order).unwrap();
        assert_eq!(next.goal.unwrap().nodes, [3, 4, 5].map(node));
    }

    #[test]
    fn of_a_change_half_done_both_halves_must_be_able_to_decide() {
        let joint =
            Partition { outgoing: (6..=8).map(member).collect(), next_replica: 9, ..descriptor() };
        assert!(begin_anew(&joint, 4, &order(&[1, 6])).is_err());
        let next = begin_anew(&joint, 4, &order(&[6, 7])).unwrap();
        assert_eq!(next.outgoing, []);
        assert_eq!(next.goal.unwrap().nodes.len(), 5);
    }

    #[test]
    fn one_that_has_moved_on_or_is_no_member_is_refused() {
        let lost = order(&[1, 2, 3]);
        assert!(begin_anew(&descriptor(), 5, &lost).is_err());
        let later = Partition { generation: 8, ..descriptor() };
        assert!(begin_anew(&later, 4, &lost).is_err());
        let left_out = Partition { voters: vec![member(1)], ..descriptor() };
        assert!(begin_anew(&left_out, 4, &lost).is_err());
    }
}
