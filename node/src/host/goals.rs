//! Members that come and go: goals taken up, and carried out by whoever leads.

use super::effects::{Effects, Reply};
use super::faults::{not_here, not_leader, removed, transfer_expired, undecided};
use super::levels::{Programs, level_of_log, raise_level};
use super::members::membership;
use super::replica::Replica;
use super::{AGAIN, Host};
use crate::membership::WantedReplica;
use crate::membership::{Peer, Situation, Step, next_step, with_goal};
use crate::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Partition};
use doug_raft::{ChangeError, Index, ProposeError, Term, Time};
use doug_storage::ReplicaKey;
use tonic::Code;

/// A goal that Admin waits for, until it is committed.
#[derive(Debug)]
pub(super) struct AwaitedGoal {
    pub(super) request: RequestId,
    goal: Goal,
    generation: u64,
    deadline: Time,
    /// The node whose program has to be known first.
    pub(super) waits_for: Option<NodeId>,
    /// Where it stands in the log, and what it says.
    proposed: Option<(Term, Index, Box<Partition>)>,
}

impl AwaitedGoal {
    pub(super) fn is_proposed(&self) -> bool {
        self.proposed.is_some()
    }
}

impl Host {
    pub(super) fn change_members(
        &mut self,
        request: RequestId,
        partition: u64,
        goal: Goal,
        generation: u64,
        deadline: Time,
    ) {
        let fault = match self.replicas.get_mut(&partition) {
            None => not_here(self.config.node, partition),
            Some(replica) if !replica.leads() => not_leader(replica),
            Some(replica)
                if replica.goal.as_ref().is_some_and(|other| other.waits_for.is_none()) =>
            {
                Fault::unavailable(format!(
                    "another change of the members of partition {partition} is just being taken \
                     up: \
                 try again"
                ))
            }
            Some(replica) => {
                // One that waits for a node, which may be dead, must not stand in the way.
                if let Some(other) = replica.goal.take() {
                    let fault = goal_expired(replica, &other);
                    self.effects.replies.push((other.request, Err(fault)));
                }
                let (waits_for, proposed) = (None, None);
                replica.goal =
                    Some(AwaitedGoal { request, goal, generation, deadline, waits_for, proposed });
                self.dirty.insert(partition);
                return;
            }
        };
        self.effects.replies.push((request, Err(fault)));
    }

    /// Does what the goals of the partitions led from here ask for next.
    pub(super) fn move_members(&mut self, now: Time) {
        let asks = now.since(self.programs.asked) >= AGAIN;
        if asks {
            self.programs.asked = now;
        }
        for partition in &self.ticking {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.goal.is_some() || replica.recovery.is_some() {
                self.dirty.insert(*partition);
            }
            if !replica.leads() {
                continue;
            }
            if asks {
                let goals = replica.goal.iter().map(|awaited| &awaited.goal);
                let goals = goals.chain(&replica.descriptor.goal);
                let nodes = goals.flat_map(|goal| &goal.nodes);
                for node in nodes.filter(|node| self.programs.of(**node).is_none()) {
                    // A stream is opened for it, and the hello at its opening says.
                    self.effects.turn_for(*node);
                }
            }
            if raise_level(now, replica, &self.programs, &self.liveness)
                || carry_on(now, replica, &self.programs, &mut self.effects)
            {
                self.dirty.insert(*partition);
            }
        }
    }

    pub(super) fn remove(&mut self, now: Time, request: RequestId, key: ReplicaKey) {
        let own = |replica: &Replica| replica.key == key;
        if self.replicas.get(&key.partition).is_some_and(own)
            && let Some(mut replica) = self.replicas.remove(&key.partition)
        {
            self.persisting.forget(key.partition);
            self.uncommitted.recount(&mut replica.uncommitted, 0);
            self.applying -= replica.applying_counted;
            self.payloads.note(key.partition, 0);
            self.end_liveness_of(&replica);
            self.update_indexes(now, key.partition);
            let (applied, until) = (replica.applied, replica.raft.applying());
            dismiss(replica, &mut self.effects);
            if applied < until {
                self.leaving.push(Leaving { request, replica: key, until });
                return;
            }
        }
        // Whoever asks again waits no longer: a damaged replica applies nothing more.
        self.end_leaving(|leaving| leaving.replica == key);
        self.effects.replies.push((request, Ok(Reply::Removed)));
    }

    pub(super) fn end_leaving(&mut self, ends: impl Fn(&Leaving) -> bool) {
        for left in self.leaving.extract_if(.., |leaving| ends(leaving)) {
            self.effects.replies.push((left.request, Ok(Reply::Removed)));
        }
    }
}

/// A replica that was let go of, whose clients wait for the outcomes of what was given
/// out to be applied: a map may leave it out before it has got that far itself.
#[derive(Debug)]
pub(super) struct Leaving {
    request: RequestId,
    pub(super) replica: ReplicaKey,
    pub(super) until: Index,
}

/// Answers everyone who waits for a replica that is gone.
fn dismiss(mut replica: Replica, effects: &mut Effects) {
    let end = Time(u64::MAX - 1);
    let partition = replica.key.partition;
    let refused = replica.queue.expire(end).into_iter().chain(replica.reads.expire(end));
    let refused = refused.chain(replica.snapshot.and_then(|snapshot| snapshot.waiting()));
    effects.replies.extend(refused.map(|request| (request, Err(removed(partition)))));
    // Those that are committed are answered by whoever applies them.
    let unknown = replica.pending.expire(end);
    let outcome = |request| (request, Err(undecided(partition)));
    effects.replies.extend(unknown.into_iter().map(outcome));
    if let Some(transfer) = replica.transfer {
        effects.replies.push((transfer.request, Err(transfer_expired(partition))));
    }
    effects.replies.extend(replica.recovery.map(|recovery| recovery.dismissed(partition)));
    if let Some(goal) = replica.goal {
        let fault = if goal.is_proposed() { undecided(partition) } else { removed(partition) };
        effects.replies.push((goal.request, Err(fault)));
    }
}

/// Takes up the goal that Admin waits for, as soon as the members may change;
/// and answers once it is committed.
pub(super) fn pursue_goal(
    now: Time,
    replica: &mut Replica,
    programs: &Programs,
    effects: &mut Effects,
) {
    let Some(mut awaited) = replica.goal.take() else { return };
    let answer = match answer_goal(now, replica, programs, &mut awaited) {
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
    programs: &Programs,
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
    let level = level_of_log(replica)?;
    let nodes = awaited.goal.nodes.iter().copied();
    awaited.waits_for = programs.unready(&replica.descriptor, nodes, level);
    match awaited.waits_for {
        Some(node) if programs.of(node).is_some() => {
            return Some(Err(program_too_old(node, replica.key.partition, level)));
        }
        Some(_) => return None,
        None => {}
    }
    match replica.raft.propose_membership(now, membership(&next)) {
        Ok(at) => {
            awaited.proposed = Some((at.term, at.base, Box::new(next)));
            None
        }
        Err(ChangeError::NotProposed(ProposeError::NotLeader { .. })) => {
            Some(Err(not_leader(replica)))
        }
        // It passes: a hand-over, the first entry of the term, a change before.
        Err(_) => None,
    }
}

/// One step of the change that the descriptor asks for. Whether anything happened.
fn carry_on(now: Time, replica: &mut Replica, programs: &Programs, effects: &mut Effects) -> bool {
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
            let taken_in = next.learners.iter().map(|learner| learner.node);
            let ready = level_of_log(replica).is_some_and(|level| {
                programs.unready(&replica.descriptor, taken_in, level).is_none()
            });
            // Refused while something else is under way: the next tick tries again.
            ready && replica.raft.propose_membership(now, membership(&next)).is_ok()
        }
        Step::HandOver(to) => replica.raft.transfer(now, doug_raft::ReplicaId(to)).is_ok(),
        Step::Create(members) => {
            if now.since(replica.nudged) >= AGAIN {
                replica.nudged = now;
                let (descriptor, feature_level) = (&replica.descriptor, level_of_log(replica));
                let feature_level = feature_level.unwrap_or(replica.feature_level);
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

fn program_too_old(node: NodeId, partition: u64, level: u32) -> Fault {
    Fault::new(
        Code::FailedPrecondition,
        format!(
            "partition {partition} is at feature level {level}, and the program on node {node} is \
             too old to take it in: upgrade that node first"
        ),
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
    if let Some(node) = awaited.waits_for {
        return Fault::unavailable(format!(
            "the members of partition {partition} could not change in time: node {node} is \
             not heard, so it has not said which feature level its program supports: start it, or \
             choose another node"
        ));
    }
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
