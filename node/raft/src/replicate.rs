//! Sending the log to the peers (paper, §5.3: AppendEntries, leader's side), pipelined and within a
//! window.

use crate::effects::Effect;
use crate::ids::{Index, ReplicaId, Term};
use crate::log::Limits;
use crate::message::{Message, Verdict};
use crate::progress::{Progress, ProgressState};
use crate::raft::Raft;
use crate::time::Time;

impl Raft {
    pub(crate) fn tick_leader(&mut self) {
        if self.config.check_quorum && !self.has_quorum() {
            self.become_follower(self.term, None);
            return;
        }
        self.expire_transfer();
        if self.now >= self.lead.heartbeat_at {
            self.begin_heartbeat_round();
        }
    }

    /// Thesis, 6.2: a leader cut off from a quorum would keep its clients waiting for ever.
    fn has_quorum(&self) -> bool {
        let (own, now) = (self.config.id, self.now);
        let heard = self.deciding().reached(|id| {
            if id == own { now.0 } else { self.lead.peers.get(&id).map_or(0, |peer| peer.heard.0) }
        });
        now.since(Time(heard)) <= self.config.election_timeout_max
    }

    pub(crate) fn begin_heartbeat_round(&mut self) {
        self.cancel_quiesce_proposal();
        self.lead.round += 1;
        self.lead.heartbeat_at = self.now.after(self.config.heartbeat_interval);
        self.note_round();
        let round = self.lead.round;
        for (&to, peer) in &mut self.lead.peers {
            // An unanswered mark stays: rounds may begin faster than answers return.
            if peer.mark.is_none() && peer.awaits_answer() {
                peer.mark = Some((round, peer.sent));
            }
            let message = heartbeat(peer, self.term, self.commit, round);
            self.effects.push(Effect::Send { to, message });
        }
    }

    pub(crate) fn peer_ids(&self) -> Vec<ReplicaId> {
        self.lead.peers.keys().copied().collect()
    }

    /// Sends to every peer what its window allows, and the commit index to those who would
    /// otherwise learn it only at the next heartbeat.
    pub(crate) fn send_appends(&mut self) {
        // Turn after turn most leaders owe nobody anything: they only look.
        if !self.lead.peers.values().any(|peer| self.owes(peer)) {
            return;
        }
        for id in self.peer_ids() {
            while self.send_append(id) {}
            let peer = &self.lead.peers[&id];
            if peer.state == ProgressState::Replicate && !peer.awaits_answer() {
                self.tell_commit(id);
            }
        }
    }

    /// Whether a peer may be sent batches or a probe, or the commit index by itself.
    fn owes(&self, peer: &Progress) -> bool {
        let settled = peer.state == ProgressState::Replicate && !peer.awaits_answer();
        room(peer, self.log.last_index(), &self.config).is_some()
            || (settled && peer.commit_told < self.commit.min(peer.matched))
    }

    /// Sends the commit index, unless it is known there.
    pub(crate) fn tell_commit(&mut self, to: ReplicaId) {
        let Some(peer) = self.lead.peers.get_mut(&to) else { return };
        if peer.commit_told < self.commit.min(peer.matched) {
            let message = heartbeat(peer, self.term, self.commit, self.lead.round);
            self.send(to, message);
        }
    }

    /// Sends one append if there is reason and room. Says whether another may follow.
    fn send_append(&mut self, to: ReplicaId) -> bool {
        let last_index = self.log.last_index();
        let Some(peer) = self.lead.peers.get_mut(&to) else { return false };
        let Some(limits) = room(peer, last_index, &self.config) else { return false };
        let prev_index = peer.next - 1;
        let Some(prev_term) = self.log.term_at(prev_index) else {
            peer.await_snapshot();
            self.effects.push(Effect::SnapshotNeeded { to });
            return false;
        };
        let gathered = self.log.gather(peer.next, limits);
        if let Some((from, to)) = gathered.ask {
            self.effects.push(Effect::FetchPayloads { from, to });
        }
        if gathered.batches.is_empty() && peer.next <= last_index {
            return false;
        }
        let batches = gathered.batches;
        let last = batches.last().map_or(prev_index, |batch| batch.last());
        peer.sent = last;
        peer.commit_told = peer.commit_told.max(self.commit.min(last));
        if peer.state == ProgressState::Replicate {
            peer.next = last + 1;
            peer.inflight.add(last, batches.len(), batches.iter().map(|batch| batch.size()).sum());
        } else {
            peer.probing = true;
        }
        let message = Message::Append {
            term: self.term,
            prev_index,
            prev_term,
            commit: self.commit,
            batches,
        };
        self.send(to, message);
        true
    }

    pub(crate) fn on_append_response(&mut self, from: ReplicaId, verdict: Verdict) {
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        peer.note_heard(self.now);
        match verdict {
            Verdict::Accepted { matched } => self.acknowledged(from, matched),
            Verdict::Rejected { prev_index, conflict_term, first_index } => {
                let stale = match peer.state {
                    ProgressState::Probe => prev_index + 1 != peer.next,
                    ProgressState::Replicate => false,
                    ProgressState::Snapshot => true,
                };
                // A peer never forgets what it acknowledged, so a refusal at or below that is an
                // old one.
                if !stale && prev_index > peer.matched {
                    self.back_off(from, prev_index, (conflict_term, first_index));
                }
            }
        }
    }

    fn acknowledged(&mut self, from: ReplicaId, matched: Index) {
        assert!(
            matched <= self.log.last_index(),
            "partition {}: replica {from} acknowledges {matched}, which this leader never had",
            self.config.partition
        );
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        peer.acknowledge(matched);
        self.advance_commit();
        self.push_transfer();
    }

    /// Skips a whole term of conflicting entries at a time (paper, §5.3, end). Where this log has
    /// entries of the follower's conflicting term, the logs part no earlier than after the last of
    /// them; else before the first of them there.
    fn back_off(
        &mut self,
        from: ReplicaId,
        prev_index: Index,
        (conflict_term, first_index): (Term, Index),
    ) {
        let own_term = self.log.term_at(prev_index).unwrap_or(0);
        let candidate = if 0 < conflict_term && conflict_term < own_term {
            self.log.last_of_term(conflict_term).map_or(first_index, |last| last + 1)
        } else {
            first_index
        };
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        let candidate = candidate.clamp(peer.matched + 1, prev_index);
        // The follower's batches may begin where ours do not.
        let next = self.log.batch_at(candidate).map_or(candidate, |batch| batch.base);
        peer.probe_from(next);
    }

    pub(crate) fn on_heartbeat_response(
        &mut self,
        from: ReplicaId,
        round: u64,
        verified: Index,
        matched: Index,
    ) {
        self.note_not_quiesced(from, round);
        let last_index = self.log.last_index();
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        let newest = round > peer.acked_round;
        peer.note_heard(self.now);
        peer.acked_round = peer.acked_round.max(round);
        let marked = peer.mark.take_if(|(marked, _)| *marked <= round);
        let arrived = marked.is_some_and(|(_, sent)| matched >= sent);
        if matched > peer.matched || arrived {
            self.acknowledged(from, matched);
        }
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        let lost = marked.is_some_and(|(_, sent)| verified < sent);
        // A peer that restarted verifies anew, or it could not learn what is committed before the
        // next write.
        let restarted = newest && verified < peer.matched && !peer.awaits_answer();
        if peer.state != ProgressState::Snapshot && (lost || restarted) {
            let next = verified.max(peer.matched).min(last_index) + 1;
            peer.probe_from(next);
        }
        self.confirm_reads();
    }
}

fn heartbeat(peer: &mut Progress, term: Term, commit: Index, round: u64) -> Message {
    // Never beyond what the receiver acknowledged: the rest of its log may be another leader's.
    let commit = commit.min(peer.matched);
    peer.commit_told = peer.commit_told.max(commit);
    Message::Heartbeat { term, commit, round }
}

/// How much may be sent to the peer now; nothing if it has to wait or has everything.
fn room(peer: &Progress, last_index: Index, config: &crate::Config) -> Option<Limits> {
    let batches = (config.max_inflight_batches as usize).saturating_sub(peer.inflight.batches());
    let bytes = config.max_inflight_bytes.saturating_sub(peer.inflight.bytes());
    let allowed = match peer.state {
        ProgressState::Snapshot => false,
        ProgressState::Probe => !peer.probing,
        ProgressState::Replicate => peer.next <= last_index && batches > 0 && bytes > 0,
    };
    allowed.then_some(Limits {
        to: last_index,
        batches,
        bytes: bytes.min(config.max_append_bytes),
        fetch_bytes: config.max_append_bytes,
    })
}
