//! Members that come and go: goals taken up, and carried out by whoever leads.

use super::effects::{Effects, Reply, WantedReplica, encode_command};
use super::event::RequestId;
use super::faults::{not_here, not_leader, removed, transfer_expired};
use super::replica::Replica;
use super::{Host, membership};
use crate::apply::{FEATURE_LEVEL, MEMBERS_CHANGE};
use crate::membership::{Peer, Situation, Step, next_step, with_goal};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Partition};
use doug_proto::v1::{self, command};
use doug_raft::{ChangeError, Index, Term, Time};
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;
use tonic::Code;

/// Pause before something is asked for again, in microseconds.
const AGAIN: u64 = 500_000;

/// A goal that Admin waits for, until it is committed.
#[derive(Debug)]
pub(super) struct AwaitedGoal {
    request: RequestId,
    goal: Goal,
    generation: u64,
    deadline: Time,
    /// Where it stands in the log, and what it says.
    proposed: Option<(Term, Index, Box<Partition>)>,
}

impl Host {
    pub(super) fn supports(&mut self, now: Time, node: NodeId, level: u32) {
        if self.supports.insert(node, level) != Some(level) {
            self.wake_to_raise_level(now, node);
        }
    }

    pub(super) fn change_members(
        &mut self,
        request: RequestId,
        partition: u64,
        goal: Goal,
        generation: u64,
        deadline: Time,
    ) {
        let old = goal
            .nodes
            .iter()
            .find(|node| self.supports.get(node).is_some_and(|level| *level < MEMBERS_CHANGE));
        let fault = match self.replicas.get_mut(&partition) {
            None => not_here(self.config.node, partition),
            Some(replica) if !replica.leads() => not_leader(replica),
            Some(replica) if replica.feature_level < MEMBERS_CHANGE => too_old(replica),
            Some(_) if old.is_some() => program_too_old(old),
            Some(replica) if replica.goal.is_some() => Fault::unavailable(format!(
                "another change of the members of partition {partition} is just being taken up: \
                 try again"
            )),
            Some(replica) => {
                replica.goal =
                    Some(AwaitedGoal { request, goal, generation, deadline, proposed: None });
                self.touched.insert(partition);
                return;
            }
        };
        self.effects.replies.push((request, Err(fault)));
    }

    /// Does what the goals of the partitions led from here ask for next.
    pub(super) fn move_members(&mut self, now: Time) {
        for partition in &self.awake {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.goal.is_some() {
                self.touched.insert(*partition);
            }
            if !replica.leads() {
                continue;
            }
            if raise_level(now, replica, &self.supports, self.config.node)
                || carry_on(now, replica, &mut self.effects)
            {
                self.touched.insert(*partition);
            }
        }
    }

    pub(super) fn remove(&mut self, now: Time, request: RequestId, key: ReplicaKey) {
        let own = |replica: &Replica| replica.key == key;
        if self.replicas.get(&key.partition).is_some_and(own)
            && let Some(replica) = self.replicas.remove(&key.partition)
        {
            // Its successor under the same partition must not take these for its own.
            self.persisting.retain(|(_, partition, _)| *partition != key.partition);
            self.stop_vouching_for(&replica);
            self.file(now, key.partition);
            dismiss(replica, &mut self.effects);
        }
        self.effects.replies.push((request, Ok(Reply::Removed)));
    }
}

/// Answers everyone who waits for a replica that is gone.
fn dismiss(mut replica: Replica, effects: &mut Effects) {
    let end = Time(u64::MAX - 1);
    let partition = replica.key.partition;
    let refused = replica.queue.expire(end).into_iter().chain(replica.reads.expire(end));
    let refused = refused.chain(replica.snapshot.and_then(|snapshot| snapshot.waiting()));
    effects.replies.extend(refused.map(|request| (request, Err(removed(partition)))));
    let unknown = replica.pending.expire(end);
    let outcome = |request| (request, Err(super::faults::outcome_unknown(partition)));
    effects.replies.extend(unknown.into_iter().map(outcome));
    if let Some(transfer) = replica.transfer {
        effects.replies.push((transfer.request, Err(transfer_expired(partition))));
    }
    if let Some(goal) = replica.goal {
        effects.replies.push((goal.request, Err(removed(partition))));
    }
}

/// Takes up the goal that Admin waits for, as soon as the members may change;
/// and answers once it is committed.
pub(super) fn pursue_goal(now: Time, replica: &mut Replica, effects: &mut Effects) {
    let Some(mut awaited) = replica.goal.take() else { return };
    let answer = match answer_goal(now, replica, &mut awaited) {
        Some(answer) => answer,
        None if awaited.deadline <= now => Err(goal_expired(replica, &awaited)),
        None => {
            replica.goal = Some(awaited);
            return;
        }
    };
    effects.replies.push((awaited.request, answer));
}

fn answer_goal(
    now: Time,
    replica: &mut Replica,
    awaited: &mut AwaitedGoal,
) -> Option<Result<Reply, Fault>> {
    if let Some((term, index, descriptor)) = &awaited.proposed {
        let committed = replica.raft.commit() >= *index;
        if committed && replica.raft.term_at(*index).is_none_or(|there| there == *term) {
            return Some(Ok(Reply::Goal(descriptor.clone())));
        }
        return (!replica.leads()).then(|| Err(goal_expired(replica, awaited)));
    }
    if !replica.leads() {
        return Some(Err(not_leader(replica)));
    }
    // A joint configuration ends where it leads to; the goal is taken up then.
    let busy = !replica.raft.membership_is_committed() || !replica.descriptor.outgoing.is_empty();
    if busy {
        return None;
    }
    let now_at = replica.descriptor.generation;
    if awaited.generation != 0 && awaited.generation != now_at {
        return Some(Err(generation_differs(replica, awaited.generation)));
    }
    let next = match with_goal(&replica.descriptor, &awaited.goal) {
        Ok(Some(next)) => next,
        Ok(None) => return Some(Ok(Reply::Goal(Box::new(replica.descriptor.clone())))),
        Err(fault) => return Some(Err(fault)),
    };
    match replica.raft.propose_membership(now, membership(&next)) {
        Ok(at) => {
            awaited.proposed = Some((at.term, at.base, Box::new(next)));
            None
        }
        Err(ChangeError::NotLeader { .. }) => Some(Err(not_leader(replica))),
        // It passes: a hand-over, the first entry of the term, a change before.
        Err(_) => None,
    }
}

/// One step of the change that the descriptor asks for. Whether anything happened.
fn carry_on(now: Time, replica: &mut Replica, effects: &mut Effects) -> bool {
    if replica.descriptor.is_at_rest() {
        return false;
    }
    let peers: Vec<Peer> = replica.raft.peers().iter().map(peer).collect();
    let step = next_step(&Situation {
        descriptor: &replica.descriptor,
        committed: replica.raft.membership_is_committed(),
        own: replica.key.replica,
        last_index: replica.raft.last_index(),
        peers: &peers,
    });
    match step {
        Step::Rest | Step::Wait => false,
        Step::Change(next) => {
            // Refused while something else is under way: the next tick tries again.
            replica.raft.propose_membership(now, membership(&next)).is_ok()
        }
        Step::HandOver(to) => replica.raft.transfer(now, doug_raft::ReplicaId(to)).is_ok(),
        Step::Create(members) => {
            if now.since(replica.nudged) >= AGAIN {
                replica.nudged = now;
                let (descriptor, feature_level) = (&replica.descriptor, replica.feature_level);
                effects.creations.extend(members.into_iter().map(|member| WantedReplica {
                    member,
                    descriptor: descriptor.clone(),
                    feature_level,
                }));
            }
            false
        }
    }
}

fn peer(status: &doug_raft::PeerStatus) -> Peer {
    Peer { replica: status.id.0, matched: status.matched, active: status.recently_active }
}

/// Raises the partition's feature level once the program of every member supports
/// more: those that stay behind would stop at what the log may hold then.
fn raise_level(
    now: Time,
    replica: &mut Replica,
    supports: &BTreeMap<NodeId, u32>,
    own: NodeId,
) -> bool {
    if replica.feature_level >= FEATURE_LEVEL || now.since(replica.nudged) < AGAIN {
        return false;
    }
    let of = |node: NodeId| match node == own {
        true => FEATURE_LEVEL,
        false => supports.get(&node).copied().unwrap_or(1),
    };
    let levels = replica.descriptor.members().map(|member| of(member.node));
    let level = levels.min().unwrap_or(1).min(FEATURE_LEVEL);
    if level <= replica.feature_level {
        return false;
    }
    replica.nudged = now;
    let raise = v1::RaiseFeatureLevelCommand { level };
    let command = v1::Command { command: Some(command::Command::RaiseFeatureLevel(raise)) };
    replica.raft.propose(now, &[encode_command(&command)]).is_ok()
}

fn too_old(replica: &Replica) -> Fault {
    let (partition, level) = (replica.key.partition, replica.feature_level);
    Fault::new(
        Code::FailedPrecondition,
        format!(
            "partition {partition} is at feature level {level}, and its members can change from \
             {MEMBERS_CHANGE} on: it gets there by itself once every node that holds it runs a \
             program of this version and is in touch"
        ),
    )
    .not_executed()
}

fn program_too_old(node: Option<&NodeId>) -> Fault {
    let node = node.map(NodeId::to_string).unwrap_or_default();
    Fault::new(
        Code::FailedPrecondition,
        format!("the program on node {node} is too old to take the partition in: upgrade it first"),
    )
    .not_executed()
}

fn generation_differs(replica: &Replica, given: u64) -> Fault {
    let (partition, now) = (replica.key.partition, replica.descriptor.generation);
    Fault::new(
        Code::FailedPrecondition,
        format!(
            "partition {partition} is at generation {now}, not {given}: look at it again, and \
             decide anew"
        ),
    )
    .not_executed()
}

/// Whether it was proposed decides what can be promised.
fn goal_expired(replica: &Replica, awaited: &AwaitedGoal) -> Fault {
    let partition = replica.key.partition;
    if awaited.proposed.is_none() {
        return Fault::unavailable(format!(
            "the members of partition {partition} could not change in time: an earlier change, or \
             a hand-over, is still under way"
        ));
    }
    Fault::deadline_unknown(format!(
        "the goal of partition {partition} was not committed in time; it may still be, so look at \
         the partition before trying again"
    ))
}
