//! A replica whose log was cut where a record had been begun, see docs/consensus.md.
//!
//! Such a cut is *ambiguous*: a power loss during a write leaves it, and so does damage to the
//! last records that were made durable. In the second case the replica no longer holds entries
//! that it acknowledged. Until it knows that it holds them again, its vote is marked, and
//! counts only beside one vote more than a majority.

use std::ops::Range;

use crate::ids::{Index, ReplicaId, Term};
use crate::message::Message;
use crate::raft::{Raft, Role};

/// What a replica with an ambiguous tail has found out since it started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AmbiguousTail {
    /// The requests sent. They begin at random, so that no answer to a former life fits.
    requests: Range<u64>,
    /// A term, and where the log of its leader ended after this replica had started.
    leader_end: Option<(Term, Index)>,
    /// Whether it has asked since the last heartbeat.
    has_asked: bool,
}

impl AmbiguousTail {
    pub(crate) fn starting_at(random: u64) -> AmbiguousTail {
        // Half the range is left to count up in.
        let first = random >> 1;
        AmbiguousTail { requests: first..first, leader_end: None, has_asked: false }
    }
}

impl Raft {
    /// Whether entries that this replica acknowledged may be missing at the end of its log.
    #[must_use]
    pub fn has_ambiguous_tail(&self) -> bool {
        self.ambiguous_tail.is_some()
    }

    /// Whether its votes are marked. Not for ever: a group in which too few are left to outvote
    /// the doubt goes on after [`Config::ambiguity_patience`](crate::Config::ambiguity_patience).
    pub(crate) fn votes_ambiguously(&self) -> bool {
        self.ambiguous_tail.is_some()
            && self.now.since(self.election.heard) < self.config.ambiguity_patience
    }

    /// After a heartbeat: asks the leader where its log ends, until it has said so.
    pub(crate) fn ask_for_unknown_log_end(&mut self, leader: ReplicaId) {
        if let Some(tail) = &mut self.ambiguous_tail {
            tail.has_asked = false;
        }
        if self.is_log_end_unknown() {
            self.ask_for_log_end(leader);
        }
    }

    /// Asks the leader where its log ends, also when it sends what does not fit. The leader then
    /// finds anew where the logs part, and sends again what was acknowledged and is lost. Once a
    /// heartbeat: each question makes it send, and each of two answers to what does not fit again
    /// would make it send twice, and so on without a pause.
    pub(crate) fn ask_for_log_end(&mut self, leader: ReplicaId) {
        let (term, last_index) = (self.term, self.log.last_index());
        let Some(tail) = self.ambiguous_tail.as_mut().filter(|tail| !tail.has_asked) else {
            return;
        };
        tail.has_asked = true;
        let request = tail.requests.end;
        tail.requests.end += 1;
        self.send(leader, Message::LogEndRequest { term, request, last_index });
    }

    pub(crate) fn is_log_end_unknown(&self) -> bool {
        let known = |tail: &AmbiguousTail| tail.leader_end.is_some_and(|(of, _)| of == self.term);
        self.ambiguous_tail.as_ref().is_some_and(|tail| !known(tail))
    }

    /// A cut may also bring back entries that later ones had replaced. So nothing the peer has
    /// acknowledged counts any more, whatever its log's length.
    pub(crate) fn on_log_end_request(&mut self, from: ReplicaId, request: u64, last_index: Index) {
        if self.role != Role::Leader {
            return;
        }
        let (term, own_end) = (self.term, self.log.last_index());
        let next = last_index.min(own_end) + 1;
        // The follower's batches may begin where ours do not.
        let next = self.log.batch_at(next).map_or(next, |batch| batch.base);
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        peer.note_heard(self.now);
        peer.distrust(next);
        self.send(from, Message::LogEndResponse { term, request, last_index: own_end });
    }

    pub(crate) fn on_log_end_response(&mut self, request: u64, last_index: Index) {
        let (term, unknown) = (self.term, self.is_log_end_unknown());
        let Some(tail) = &mut self.ambiguous_tail else { return };
        if tail.requests.contains(&request) && unknown {
            tail.leader_end = Some((term, last_index));
        }
    }

    /// Notes the end of the doubt: this log holds, durably, all that its leader's held after this
    /// replica had started.
    ///
    /// Why that is enough: what was lost was acknowledged to the leader of the term that this
    /// replica remembers, for a term is marked in the log before anything is acknowledged in it.
    /// That leader has it all. A leader of a later term has all of it that is or will be
    /// committed: its votes, without this one, met every quorum that this replica was part of.
    pub(crate) fn end_ambiguity(&mut self) {
        let Some(tail) = &self.ambiguous_tail else { return };
        let holds = |end: Index| self.verified.min(self.log.durable()) >= end;
        let repaired = tail.leader_end.is_some_and(|(of, end)| of == self.term && holds(end));
        if repaired && self.leader.is_some() {
            self.note_tail_repaired();
        }
    }

    pub(crate) fn note_tail_repaired(&mut self) {
        if self.ambiguous_tail.take().is_some() {
            self.effects.push(crate::Effect::TailRepaired);
        }
    }
}
