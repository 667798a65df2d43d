//! The end of a turn: proposals, read rounds, and the core's effects carried on.

use super::backlog::{Persisting, is_full};
use super::effects::{Effects, Fetch, ReadyRead, RoleChange, SendSnapshot};
use super::faults::{not_leader, overwritten};
use super::goals::pursue_goal;
use super::replica::{self, AwaitedTransfer, Replica};
use super::snapshots::let_in;
use super::{Host, Reply, wire};
use crate::work::RequestId;
use doug_raft::{Effect, LogWrite, ReplicaId, Role, Term, Time};
use doug_storage::log;

impl Host {
    pub(super) fn finish_turn(&mut self, now: Time, partition: u64) {
        let Some(replica) = self.replicas.get_mut(&partition) else { return };
        self.clocks.show_to(now, replica);
        pursue_goal(now, replica, &self.programs, &mut self.effects);
        let full = is_full(&self.config, &self.persisting, (self.applying, &replica.applying));
        let room = if full { 0 } else { self.uncommitted.room_to_propose() };
        for (request, error) in replica.propose_queued(now, self.config.batch_bytes, room) {
            let fault = replica::refusal(error, || not_leader(replica));
            self.effects.replies.push((request, Err(fault)));
        }
        if let Some(read) = replica.reads.ask(now) {
            self.liveness.refresh_leader_heard(replica);
            replica.raft.read(now, read);
        }
        loop {
            #[cfg(feature = "simulation")]
            replica.raft.check_invariants();
            let effects = replica.raft.take_effects();
            if effects.is_empty() {
                break;
            }
            let changed = replica.follow_membership();
            if changed {
                self.effects.replies.extend(replica.refuse_lost_reads());
            }
            self.liveness.peers_changed |= changed;
            for effect in effects {
                carry_out(effect, replica, now, &mut self.effects, &mut self.persisting);
            }
        }
        for (request, begun) in replica.reads.applied(replica.applied) {
            let ready = ready_read(replica, request, begun);
            self.effects.ready.push(ready);
        }
        self.liveness.peers_changed |= replica.follow_membership();
        pursue_goal(now, replica, &self.programs, &mut self.effects);
        replica.answer_recovery(now, &mut self.effects);
        replica.note_caught_up();
        if let Some(replayed) = replica.note_replayed(now) {
            self.effects.replayed.push((replica.key, replayed));
        }
        replica.recount_uncommitted(&mut self.uncommitted);
        replica.recount_applying(&mut self.applying);
        self.payloads.note(partition, replica.raft.payload_bytes());
        self.effects.replies.extend(let_in(replica));
    }
}

/// The record as the log takes it; shares the batch's bytes.
fn into_log(write: LogWrite, replica: &Replica) -> log::Record {
    match write {
        LogWrite::Append(batch) => log::Record::Batch {
            replica: replica.key,
            base: batch.base,
            count: batch.count,
            term: batch.term,
            commit: replica.raft.commit(),
            data: batch.encoded,
        },
        LogWrite::HardState { term, vote } => {
            log::Record::HardState { replica: replica.key, term, vote: vote.map(|vote| vote.0) }
        }
    }
}

fn carry_out(
    effect: Effect,
    replica: &mut Replica,
    now: Time,
    effects: &mut Effects,
    persisting: &mut Persisting,
) {
    match effect {
        Effect::Persist { ticket, record } => {
            let bytes = match &record {
                LogWrite::Append(batch) => batch.size(),
                LogWrite::HardState { .. } => 0,
            };
            let sequence = persisting.give(replica.key.partition, ticket, bytes);
            effects.records.push((sequence, into_log(record, replica)));
        }
        Effect::Send { to, message } => {
            let Some(node) = replica.node_of(to) else { return };
            let from = ReplicaId(replica.key.replica);
            let route = wire::Route { partition: replica.key.partition, from, to };
            wire::pack(effects.turn_for(node), route, message);
        }
        Effect::Apply { batches } => {
            let (work, lost) = replica.commit(batches);
            effects.apply.push(work);
            let partition = replica.key.partition;
            effects.replies.extend(lost.into_iter().map(|r| (r, Err(overwritten(partition)))));
        }
        Effect::ReadReady { reads, index } => {
            // A quiesced leader has no proof that it still leads.
            assert!(
                !(replica.leads() && replica.raft.is_quiesced()),
                "partition {}: a quiesced leader answers reads",
                replica.key.partition
            );
            replica.reads.index_known(&reads, index);
        }
        Effect::ReadAborted { reads } => {
            let fault = not_leader(replica);
            let aborted = replica.reads.aborted(&reads);
            effects.replies.extend(aborted.into_iter().map(|r| (r, Err(fault.clone()))));
        }
        Effect::RoleChanged { role, term, leader } => {
            role_changed(replica, now, effects, role, term, leader);
        }
        // Nobody needs the bytes until it unquiesces, and thousands may be quiesced.
        Effect::Quiesced => replica.raft.evict_payloads(replica.applied),
        Effect::Unquiesced { cause } => effects.unquiesced(cause),
        Effect::TailRepaired => effects.repaired.push(replica.key),
        Effect::FetchPayloads { from, to } => {
            effects.fetch.push(Fetch { replica: replica.key, from, to });
        }
        Effect::SnapshotNeeded { to } => {
            if let Some(node) = replica.node_of(to) {
                let (term, at_least) = (replica.raft.term(), replica.raft.first_index() - 1);
                let key = replica.key;
                effects.snapshots.push(SendSnapshot { replica: key, to, node, term, at_least });
            }
        }
    }
}

fn role_changed(
    replica: &mut Replica,
    now: Time,
    effects: &mut Effects,
    role: Role,
    term: Term,
    leader: Option<ReplicaId>,
) {
    let before = std::mem::replace(&mut replica.follows, leader);
    let led = before.is_some();
    if let Some(before) = before {
        replica.hand_overs.led(before, now.since(replica.since));
    }
    // Attempts to elect one do not end the time without a leader.
    if leader.is_some() || led {
        replica.since = now;
    }
    let leader = leader.and_then(|leader| replica.node_of(leader));
    let leads = role == Role::Leader;
    effects.roles.push(RoleChange { replica: replica.key, leads, term, leader });
    let handed_over = |t: &mut AwaitedTransfer| t.from_term < term && leader.is_some();
    if let (Some(transfer), Some(leader)) = (replica.transfer.take_if(handed_over), leader) {
        effects.replies.push((transfer.request, Ok(Reply::Transferred(leader))));
    }
}

pub(super) fn ready_read(replica: &Replica, request: RequestId, begun: Time) -> ReadyRead {
    let staleness = replica.reads.staleness(begun);
    ReadyRead { request, replica: replica.key, staleness, leader: replica.leads() }
}
