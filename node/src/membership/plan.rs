//! The next step of a change of members. Pure: the leader's host asks again and
//! again, and whatever has happened meanwhile is in the descriptor.
//!
//! A change runs: learners on the nodes that lack a replica, all at once; wait
//! until they have caught up; a joint configuration of the voters to be and those
//! of now; and the end of it. A replica not to be trusted is voted out first,
//! because its node can hold its successor only once it is gone.

use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition};

/// A learner has caught up once it lacks at most this many entries: what a joint
/// configuration waits for must be a moment's work.
pub const LAG: u64 = 4_096;

/// Another member as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its replica.
    pub replica: u64,
    /// Everything up to here is durable there.
    pub matched: u64,
    /// Whether it answered within the last election timeout.
    pub active: bool,
}

/// What a leader knows when it looks for the next step.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The descriptor in force: the last in the log.
    pub descriptor: &'a Partition,
    /// Whether that is committed.
    pub committed: bool,
    /// The replica that leads.
    pub own: u64,
    /// The end of its log.
    pub last_index: u64,
    /// The other members.
    pub peers: &'a [Peer],
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The partition is where it is to be.
    Rest,
    /// Something must happen first that nobody here can hurry.
    Wait,
    /// Learners that do not answer: their nodes may not have made them yet.
    Create(Vec<Member>),
    /// Commit this descriptor.
    Change(Box<Partition>),
    /// Hand the leadership to this replica: the one that leads is on its way out.
    HandOver(u64),
}

/// Decides.
#[must_use]
pub fn next_step(situation: &Situation) -> Step {
    let descriptor = situation.descriptor;
    if descriptor.is_at_rest() {
        Step::Rest
    } else if !situation.committed {
        Step::Wait
    } else if !descriptor.outgoing.is_empty() {
        leave_joint(situation)
    } else if let Some(goal) = &descriptor.goal {
        pursue(situation, goal)
    } else {
        // The goal was given up: nobody needs the learners any more.
        change(Partition { learners: Vec::new(), ..descriptor.clone() })
    }
}

/// A joint configuration leads to its incoming voters, whatever the goal is now.
/// A leader that is none of them would have to step down with requests in its
/// hands, so it hands over while its successor can still answer them all.
fn leave_joint(situation: &Situation) -> Step {
    let descriptor = situation.descriptor;
    if descriptor.voters.iter().any(|voter| voter.replica == situation.own) {
        let mut next = descriptor.clone();
        next.outgoing.clear();
        if descriptor.goal.as_ref().is_some_and(|goal| reached(&next, goal)) {
            next.goal = None;
        }
        return change(next);
    }
    let incoming = descriptor.voters.iter().filter_map(|voter| situation.peer(voter.replica));
    let able = incoming.filter(|peer| situation.caught_up(peer));
    // Of the equally able the first, which is preferred anyway.
    let best = able.reduce(|best, peer| if peer.matched > best.matched { peer } else { best });
    best.map_or(Step::Wait, |best| Step::HandOver(best.replica))
}

fn pursue(situation: &Situation, goal: &Goal) -> Step {
    let descriptor = situation.descriptor;
    let discarded = |member: &Member| goal.discarded.contains(&member.replica);
    if descriptor.voters.iter().any(discarded) {
        let trusted = descriptor.voters.iter().copied().filter(|voter| !discarded(voter));
        return enter_joint(situation, trusted.collect(), descriptor.cluster.clone());
    }
    let wanted: Vec<Option<Member>> =
        goal.nodes.iter().map(|node| trusted_on(descriptor, goal, *node)).collect();
    let stale = descriptor.learners.iter().any(|learner| !wanted.contains(&Some(*learner)));
    if stale || wanted.contains(&None) {
        return gather(descriptor, &goal.nodes, &wanted);
    }
    let wanted: Vec<Member> = wanted.into_iter().flatten().collect();
    let learners = wanted.iter().filter(|member| descriptor.learners.contains(member));
    let (mut silent, mut lagging) = (Vec::new(), false);
    for learner in learners {
        match situation.peer(learner.replica) {
            Some(peer) if peer.active && peer.matched > 0 => lagging |= !situation.caught_up(&peer),
            _ => silent.push(*learner),
        }
    }
    if !silent.is_empty() {
        return Step::Create(silent);
    }
    if lagging {
        return Step::Wait;
    }
    let same = wanted.len() == descriptor.voters.len()
        && wanted.iter().all(|member| descriptor.voters.contains(member));
    if same {
        let cluster = goal.cluster.clone();
        return change(Partition { voters: wanted, cluster, goal: None, ..descriptor.clone() });
    }
    enter_joint(situation, wanted, goal.cluster.clone())
}

/// The replica on `node` that may become (or stay) a voter.
fn trusted_on(descriptor: &Partition, goal: &Goal, node: NodeId) -> Option<Member> {
    let mut members = descriptor.voters.iter().chain(&descriptor.learners).copied();
    members.find(|member| member.node == node && !goal.discarded.contains(&member.replica))
}

/// Lets learners go that nobody wants, and takes in new ones, in one change. An
/// id once given is never given again, so a message of a replica that is gone
/// can never be taken for one of its successor.
fn gather(descriptor: &Partition, nodes: &[NodeId], wanted: &[Option<Member>]) -> Step {
    let mut next = descriptor.clone();
    let mut replica = descriptor.next_replica();
    next.learners.retain(|learner| wanted.contains(&Some(*learner)));
    for (node, member) in nodes.iter().zip(wanted) {
        if member.is_none() {
            next.learners.push(Member { node: *node, replica });
            replica += 1;
        }
    }
    next.next_replica = replica;
    change(next)
}

/// Once it is joint nothing commits without a majority of the incoming voters, so
/// that must be there.
fn enter_joint(situation: &Situation, voters: Vec<Member>, cluster: String) -> Step {
    let there = voters.iter().filter(|voter| {
        voter.replica == situation.own
            || situation.peer(voter.replica).is_some_and(|peer| situation.caught_up(&peer))
    });
    if there.count() <= voters.len() / 2 {
        return Step::Wait;
    }
    let mut next = situation.descriptor.clone();
    next.learners.retain(|learner| !voters.contains(learner));
    next.outgoing = std::mem::replace(&mut next.voters, voters);
    // From here there is no way back but another change.
    next.cluster = cluster;
    change(next)
}

fn reached(descriptor: &Partition, goal: &Goal) -> bool {
    let voters = descriptor.voters.iter();
    voters.clone().map(|voter| voter.node).eq(goal.nodes.iter().copied())
        && descriptor.cluster == goal.cluster
        && !voters.clone().any(|voter| goal.discarded.contains(&voter.replica))
}

fn change(next: Partition) -> Step {
    // Kept from the first change on, so that no id comes back with the members
    // that had it gone.
    let next_replica = next.next_replica();
    Step::Change(Box::new(Partition { generation: next.generation + 1, next_replica, ..next }))
}

impl Situation<'_> {
    fn peer(&self, replica: u64) -> Option<Peer> {
        self.peers.iter().copied().find(|peer| peer.replica == replica)
    }

    fn caught_up(&self, peer: &Peer) -> bool {
        // A member that has just come counts as active before it was ever heard.
        peer.active && peer.matched > 0 && peer.matched + LAG >= self.last_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_proto::map::KeyspaceId;

    fn member(node: u64, replica: u64) -> Member {
        Member { node: NodeId::from_bits(node), replica }
    }

    /// Replicas 1 to 3 on nodes 1 to 3, on the way to nodes 3, 4 and 5.
    fn descriptor() -> Partition {
        Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
            start: Bytes::new(),
            end: Bytes::new(),
            generation: 7,
            cluster: "a".into(),
            voters: (1..=3).map(|i| member(i, i)).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 4,
            goal: Some(Goal {
                nodes: [3, 4, 5].map(NodeId::from_bits).to_vec(),
                cluster: "b".into(),
                discarded: Vec::new(),
            }),
            recoveries: Vec::new(),
        }
    }

    fn with_learners() -> Partition {
        let learners = vec![member(4, 4), member(5, 5)];
        Partition { learners, next_replica: 6, ..descriptor() }
    }

    fn joint() -> Partition {
        let (voters, outgoing) =
            (vec![member(3, 3), member(4, 4), member(5, 5)], descriptor().voters);
        Partition { voters, outgoing, cluster: "b".into(), next_replica: 6, ..descriptor() }
    }

    /// The step of a leader, replica `own`, with a log of 10,000 entries.
    fn step(descriptor: &Partition, own: u64, matched: &[(u64, u64)]) -> Step {
        let peer = |&(replica, matched): &(u64, u64)| Peer { replica, matched, active: true };
        let peers: Vec<Peer> = matched.iter().map(peer).collect();
        let committed = true;
        next_step(&Situation { descriptor, committed, own, last_index: 10_000, peers: &peers })
    }

    fn changed(step: Step) -> Partition {
        let Step::Change(next) = step else { panic!("{step:?}") };
        assert_eq!(next.generation, 8);
        *next
    }

    #[test]
    fn a_partition_without_goal_rests() {
        assert_eq!(step(&Partition { goal: None, ..descriptor() }, 1, &[]), Step::Rest);
    }

    #[test]
    fn nodes_without_a_replica_get_learners_all_at_once_with_ids_never_given() {
        let next = changed(step(&descriptor(), 1, &[(2, 10_000), (3, 10_000)]));
        assert_eq!(next.learners, [member(4, 4), member(5, 5)]);
        assert_eq!(next.next_replica, 6);
        assert_eq!(next.voters, descriptor().voters);
    }

    #[test]
    fn learners_never_heard_of_are_to_be_made() {
        let made = step(&with_learners(), 1, &[(3, 10_000), (4, 10_000), (5, 0)]);
        assert_eq!(made, Step::Create(vec![member(5, 5)]));
    }

    #[test]
    fn a_learner_that_lags_is_waited_for() {
        let lags = 10_000 - LAG - 1;
        assert_eq!(step(&with_learners(), 1, &[(3, 10_000), (4, lags), (5, 9_999)]), Step::Wait);
    }

    #[test]
    fn once_all_have_caught_up_old_and_new_voters_decide_together() {
        let next = changed(step(&with_learners(), 1, &[(3, 10_000), (4, 9_000), (5, 9_999)]));
        assert_eq!((&next.voters, &next.outgoing), (&joint().voters, &joint().outgoing));
        assert!(next.learners.is_empty());
        assert_eq!(next.cluster, "b");
    }

    #[test]
    fn a_leader_on_its_way_out_hands_over_to_the_most_advanced_that_stays() {
        let peers = [(2, 10_000), (3, 9_990), (4, 9_995), (5, 9_000)];
        assert_eq!(step(&joint(), 1, &peers), Step::HandOver(4));
    }

    #[test]
    fn a_leader_that_stays_ends_the_joint_configuration_and_the_goal() {
        let next = changed(step(&joint(), 3, &[(4, 10_000), (5, 10_000)]));
        assert!(next.outgoing.is_empty() && next.goal.is_none());
    }

    #[test]
    fn a_goal_replaced_half_way_outlives_the_joint_configuration() {
        let mut descriptor = joint();
        descriptor.goal.as_mut().unwrap().nodes = [1, 2, 3].map(NodeId::from_bits).to_vec();
        let next = changed(step(&descriptor, 3, &[(4, 10_000), (5, 10_000)]));
        assert!(next.outgoing.is_empty());
        assert_eq!(next.goal, descriptor.goal);
    }

    #[test]
    fn learners_of_a_goal_given_up_are_let_go() {
        let next = changed(step(&Partition { goal: None, ..with_learners() }, 1, &[]));
        assert!(next.learners.is_empty());
        assert_eq!(next.next_replica, 6, "their ids are never given again");
    }

    #[test]
    fn a_discarded_replica_is_voted_out_before_its_node_gets_another() {
        let mut descriptor = descriptor();
        let goal = descriptor.goal.as_mut().unwrap();
        goal.nodes = [1, 2, 3].map(NodeId::from_bits).to_vec();
        goal.discarded = vec![3];
        let next = changed(step(&descriptor, 1, &[(2, 10_000)]));
        assert_eq!(next.voters, [member(1, 1), member(2, 2)]);
        let without = Partition { outgoing: Vec::new(), generation: 7, ..next };
        let next = changed(step(&without, 1, &[(2, 10_000)]));
        assert_eq!(next.learners, [member(3, 4)]);
    }

    #[test]
    fn nothing_happens_before_the_last_step_is_committed() {
        let descriptor = joint();
        let situation = Situation {
            descriptor: &descriptor,
            committed: false,
            own: 3,
            last_index: 10,
            peers: &[],
        };
        assert_eq!(next_step(&situation), Step::Wait);
    }
}
