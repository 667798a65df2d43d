//! A group at one moment, and its steps.

use crate::actions::Action;
use crate::history::History;
use crate::network::{Envelope, Network};
use crate::replica::Replica;
use crate::scope::Scope;
use bytes::Bytes;
use doug_raft::{Batch, Configuration, Effect, LivenessEpoch, Membership, ReadId, ReplicaId, Role};
use std::collections::BTreeMap;

/// How much has happened of what the scope limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Spent {
    campaigns: u8,
    writes: u8,
    reads: u8,
    crashes: u8,
    quiesces: u8,
}

/// Replicas, messages under way, and what has happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    replicas: BTreeMap<ReplicaId, Replica>,
    network: Network,
    /// What was ever led, committed and read.
    pub history: History,
    spent: Spent,
}

fn membership(configuration: Configuration) -> Membership {
    Membership { configuration, context: Bytes::new() }
}

impl State {
    /// The beginning: the voters know each other, later members nobody.
    #[must_use]
    pub fn new(scope: &Scope) -> State {
        let first = Configuration::of_voters(scope.voters.iter().copied());
        let replica = |id| {
            let known =
                if scope.voters.contains(&id) { first.clone() } else { Configuration::default() };
            (id, Replica::new(id, membership(known)))
        };
        State {
            replicas: scope.members().into_iter().map(replica).collect(),
            network: Network::default(),
            history: History::default(),
            spent: Spent::default(),
        }
    }

    /// Everything that may happen next.
    pub fn actions(&self, scope: &Scope, actions: &mut Vec<Action>) {
        actions.extend(self.network.distinct().cloned().map(Action::Deliver));
        for (&id, replica) in &self.replicas {
            let (raft, spent) = (&replica.raft, &self.spent);
            if replica.is_writing() {
                actions.push(Action::Sync(id));
            }
            if spent.crashes < scope.crashes {
                actions.push(Action::Crash(id));
            }
            if raft.role() != Role::Leader {
                if spent.campaigns < scope.campaigns && raft.configuration().is_voter(id) {
                    actions.push(Action::Campaign(id));
                }
                continue;
            }
            if spent.writes < scope.writes {
                actions.push(Action::Write(id));
            }
            if spent.reads < scope.reads {
                actions.push(Action::Read(id));
            }
            if spent.quiesces < scope.quiesces && !raft.is_quiesced() {
                actions.push(Action::Quiesce(id));
            }
            if self.next_membership(scope, id).is_some() {
                actions.push(Action::Change(id));
            }
        }
    }

    /// Lets one thing happen.
    pub fn act(&mut self, scope: &Scope, action: Action) {
        let id = match action {
            Action::Deliver(envelope) => {
                self.network.take(&envelope);
                let Envelope { from, to, message } = envelope;
                self.replica(to).act(|raft, now| raft.step(now, from, message));
                to
            }
            Action::Sync(id) => {
                self.replica(id).sync();
                id
            }
            Action::Campaign(id) => {
                self.spent.campaigns += 1;
                self.replica(id).act(|raft, now| raft.campaign(now));
                id
            }
            Action::Write(id) => {
                self.spent.writes += 1;
                let command = Bytes::from(vec![self.spent.writes]);
                // A refusal changes nothing, which is one of the things that may happen.
                let _ = self.replica(id).act(|raft, now| raft.propose(now, &[command]));
                id
            }
            Action::Read(id) => {
                self.spent.reads += 1;
                let read = ReadId(self.history.read_begins());
                self.replica(id).act(|raft, now| raft.read(now, read));
                id
            }
            Action::Change(id) => {
                if let Some(next) = self.next_membership(scope, id) {
                    // Refused while the last change is not committed, and before the leader's own
                    // term is.
                    let _ = self.replica(id).act(|raft, now| raft.propose_membership(now, next));
                }
                id
            }
            Action::Quiesce(id) => {
                self.spent.quiesces += 1;
                // Refused while anything is left to do or to tell.
                let _ = self
                    .replica(id)
                    .act(|raft, now| raft.propose_quiesce(now, LivenessEpoch::default()));
                id
            }
            Action::Crash(id) => {
                self.spent.crashes += 1;
                self.replica(id).crash();
                id
            }
        };
        self.carry_out(scope, id);
        self.prune();
    }

    fn replica(&mut self, id: ReplicaId) -> &mut Replica {
        self.replicas.get_mut(&id).expect("messages and actions name members only")
    }

    /// What follows the membership that a replica knows, on the scope's path.
    fn next_membership(&self, scope: &Scope, id: ReplicaId) -> Option<Membership> {
        let known = self.replicas[&id].raft.configuration();
        let position = scope.path.iter().position(|step| step == known).map_or(0, |at| at + 1);
        scope.path.get(position).cloned().map(membership)
    }

    /// Does what a replica asks for until it asks for nothing more.
    fn carry_out(&mut self, scope: &Scope, id: ReplicaId) {
        loop {
            let replica = self.replica(id);
            let mut effects = replica.take_effects();
            if !scope.slow_disks && replica.is_writing() {
                replica.sync();
                effects.extend(replica.take_effects());
            }
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.effect(id, effect);
            }
        }
    }

    fn effect(&mut self, id: ReplicaId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                self.network.send(Envelope { from: id, to, message });
            }
            Effect::Apply { batches } => {
                for batch in batches {
                    let number = self.replica(id).apply(&batch);
                    if self.history.applied(number, &batch) {
                        let held = self.is_held_by_a_quorum(id, &batch);
                        self.history.check_durable(held);
                    }
                }
            }
            Effect::ReadReady { reads, index } => {
                reads.into_iter().for_each(|read| self.history.read_ends(read.0, index));
            }
            Effect::ReadAborted { reads } => {
                reads.into_iter().for_each(|read| self.history.read_aborted(read.0));
            }
            Effect::RoleChanged { role: Role::Leader, .. } => {
                self.history.led(&self.replicas[&id].raft);
            }
            Effect::RoleChanged { .. } => {}
            Effect::Quiesced if self.all_quiesced() => {
                let replicas = self.replicas.values().map(|replica| &replica.raft);
                self.history.all_quiesced(replicas);
            }
            Effect::Quiesced | Effect::Unquiesced { .. } => {}
            Effect::TailRepaired => unreachable!("no log is cut ambiguously here"),
            Effect::Persist { .. } => unreachable!("the replica keeps what is to be written"),
            Effect::FetchPayloads { .. } | Effect::SnapshotNeeded { .. } => {
                unreachable!("nothing is evicted or compacted here")
            }
        }
    }

    fn is_held_by_a_quorum(&self, id: ReplicaId, batch: &Batch) -> bool {
        let configuration = self.replicas[&id].raft.configuration();
        configuration.reached(|member| u64::from(self.replicas[&member].holds(batch))) == 1
    }

    /// Answers to what their receiver does not wait for any more change nothing, whenever they
    /// arrive.
    fn prune(&mut self) {
        use doug_raft::Message::{AppendResponse, HeartbeatResponse, VoteResponse};
        let replicas = &self.replicas;
        self.network.prune(|Envelope { to, message, .. }| {
            let receiver = &replicas[to].raft;
            let answer = matches!(
                message,
                AppendResponse { .. } | HeartbeatResponse { .. } | VoteResponse { .. }
            );
            let old = message.term() < receiver.term();
            let decided = matches!(message, VoteResponse { .. })
                && message.term() == receiver.term()
                && receiver.role() != Role::Candidate;
            answer && (old || decided)
        });
    }

    /// Whether all writes and changes that the scope allows were made and are committed everywhere
    /// they belong.
    pub(crate) fn everything_is_committed(&self, scope: &Scope) -> bool {
        let last = scope.path.last();
        self.spent.writes == scope.writes
            && self.replicas.values().any(|replica| {
                let raft = &replica.raft;
                raft.commit() == raft.last_index()
                    && raft.commit() > 0
                    && last.is_none_or(|last| raft.configuration() == last)
            })
    }

    /// Whether no replica has a timer running or anything to say.
    pub(crate) fn all_quiesced(&self) -> bool {
        self.replicas.values().all(|replica| replica.raft.is_quiesced())
    }

    pub(crate) fn a_second_leader_commits(&self) -> bool {
        self.replicas.values().any(|replica| {
            let raft = &replica.raft;
            raft.term_at(raft.commit()).is_some_and(|term| term > 1)
        })
    }
}
