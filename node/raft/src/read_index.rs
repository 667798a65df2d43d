//! Reads that see every write answered before them (thesis, 6.4: ReadIndex), many to a round.

use std::collections::{BTreeMap, VecDeque};

use crate::effects::Effect;
use crate::ids::{Index, ReadId, ReplicaId};
use crate::message::Message;
use crate::mutant::mutant;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// Rounds under way at once. Reads that come when so many are open share the next one.
const MAX_ROUNDS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Here(ReadId),
    There { replica: ReplicaId, request: u64 },
}

/// The leader's reads: first without a round, then in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LeaderReads {
    waiting: Vec<Reader>,
    rounds: VecDeque<ReadRound>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ReadRound {
    round: u64,
    index: Index,
    readers: Vec<Reader>,
}

impl LeaderReads {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.rounds.is_empty()
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.rounds.iter().map(|round| round.readers.len()).sum::<usize>()
    }
}

/// A follower's reads: first to be sent, then under way to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ForwardedReads {
    waiting: Vec<ReadId>,
    /// By request, which is also the order of giving up.
    asked: BTreeMap<u64, Asked>,
    next_request: u64,
    /// Reads in all of it.
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    reads: Vec<ReadId>,
    give_up: Time,
}

impl ForwardedReads {
    /// Requests are numbered from a random start: an answer to this replica before its restart must
    /// fit none of them.
    pub(crate) fn starting_at(random: u64) -> ForwardedReads {
        // Half the range is left to count up in, so the order holds.
        ForwardedReads {
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            next_request: random >> 1,
            count: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, id: ReadId) {
        self.count += 1;
        self.waiting.push(id);
    }

    fn take(&mut self, request: u64) -> Vec<ReadId> {
        let reads = self.asked.remove(&request).map(|asked| asked.reads).unwrap_or_default();
        self.count -= reads.len();
        reads
    }

    fn take_expired(&mut self, now: Time) -> Vec<ReadId> {
        let mut reads = Vec::new();
        while let Some(first) = self.asked.first_entry().filter(|first| first.get().give_up <= now)
        {
            reads.append(&mut first.remove().reads);
        }
        self.count -= reads.len();
        reads
    }

    fn take_all(&mut self) -> Vec<ReadId> {
        self.count = 0;
        let asked = std::mem::take(&mut self.asked);
        asked
            .into_values()
            .flat_map(|asked| asked.reads)
            .chain(std::mem::take(&mut self.waiting))
            .collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.asked.values().next().map(|asked| asked.give_up)
    }
}

impl Raft {
    /// Asks for an index such that whoever has applied it sees every write answered before this
    /// call. The leader's next round finds it; a follower asks the leader. Answered by
    /// [`Effect::ReadReady`] or [`Effect::ReadAborted`].
    pub fn read(&mut self, now: Time, id: ReadId) {
        self.advance_clock(now);
        if self.is_quiesced()
            && self.role == Role::Leader
            && mutant!(self.config, ReadServedQuiesced)
        {
            self.effects.push(Effect::ReadReady { reads: vec![id], index: self.commit });
            return;
        }
        self.note_request();
        let limit = self.config.max_waiting_reads as usize;
        if self.role == Role::Leader && self.lead.reads.len() < limit {
            self.lead.reads.waiting.push(Reader::Here(id));
        } else if self.role == Role::Follower
            && self.leader.is_some()
            && self.forwarded.count < limit
        {
            self.forwarded.add(id);
        } else {
            self.effects.push(Effect::ReadAborted { reads: vec![id] });
        }
    }

    /// Begins a round for the reads that came since the last one. Not before this term has
    /// committed: only then is the commit index sure to cover every write an earlier leader
    /// answered.
    pub(crate) fn begin_read_round(&mut self) {
        let reads = &self.lead.reads;
        if reads.waiting.is_empty() || reads.rounds.len() >= MAX_ROUNDS {
            return;
        }
        let settled =
            self.has_committed_own_term() || mutant!(self.config, ReadBeforeOwnTermCommit);
        if !settled {
            return;
        }
        assert!(
            !self.is_quiesced(),
            "partition {}: a quiesced leader would answer reads",
            self.config.partition
        );
        if self.holds_lease() {
            let readers = std::mem::take(&mut self.lead.reads.waiting);
            self.answer(readers, self.commit);
            return;
        }
        self.begin_heartbeat_round();
        let reads = &mut self.lead.reads;
        let readers = std::mem::take(&mut reads.waiting);
        reads.rounds.push_back(ReadRound { round: self.lead.round, index: self.commit, readers });
        self.confirm_reads();
    }

    /// Answers the rounds that a quorum has answered: at their beginning, nobody else could have
    /// committed anything.
    pub(crate) fn confirm_reads(&mut self) {
        if self.lead.reads.rounds.is_empty() {
            return;
        }
        let (own, round) = (self.config.id, self.lead.round);
        let confirmed = self.deciding().reached(|id| {
            if id == own {
                round
            } else {
                self.lead.peers.get(&id).map_or(0, |peer| peer.acked_round)
            }
        });
        let confirmed = confirmed + u64::from(mutant!(self.config, ReadAcknowledgedByOlderRound));
        while self.lead.reads.rounds.front().is_some_and(|first| first.round <= confirmed) {
            let Some(ReadRound { index, readers, .. }) = self.lead.reads.rounds.pop_front() else {
                return;
            };
            self.answer(readers, index);
        }
    }

    fn answer(&mut self, readers: Vec<Reader>, index: Index) {
        let reads = self.answer_remote(readers, Some(index));
        if !reads.is_empty() {
            self.effects.push(Effect::ReadReady { reads, index });
        }
    }

    /// Answers the readers elsewhere and returns those here.
    fn answer_remote(&mut self, readers: Vec<Reader>, index: Option<Index>) -> Vec<ReadId> {
        let mut here = Vec::new();
        for reader in readers {
            match reader {
                Reader::Here(id) => here.push(id),
                Reader::There { replica, request } => {
                    self.send(
                        replica,
                        Message::ReadIndexResponse { term: self.term, request, index },
                    );
                }
            }
        }
        here
    }

    /// A leader that steps down can promise nothing about what is committed.
    pub(crate) fn abort_reads(&mut self) {
        let reads = std::mem::take(&mut self.lead.reads);
        let readers =
            reads.rounds.into_iter().flat_map(|round| round.readers).chain(reads.waiting).collect();
        let reads = self.answer_remote(readers, None);
        self.abort(reads);
    }

    pub(crate) fn on_read_index_request(&mut self, from: ReplicaId, request: u64) {
        if self.role == Role::Leader
            && self.lead.reads.len() < self.config.max_waiting_reads as usize
        {
            self.note_activity();
            self.lead.reads.waiting.push(Reader::There { replica: from, request });
        } else {
            self.send(from, Message::ReadIndexResponse { term: self.term, request, index: None });
        }
    }

    /// Puts the reads that came since the last call into one request to the leader.
    pub(crate) fn forward_reads(&mut self) {
        let Some(leader) = self.leader.filter(|_| !self.forwarded.waiting.is_empty()) else {
            return;
        };
        let reads = std::mem::take(&mut self.forwarded.waiting);
        let request = self.forwarded.next_request;
        self.forwarded.next_request += 1;
        let give_up = self.now.after(self.config.election_timeout_max);
        self.forwarded.asked.insert(request, Asked { reads, give_up });
        self.send(leader, Message::ReadIndexRequest { term: self.term, request });
    }

    pub(crate) fn on_read_index_response(&mut self, request: u64, index: Option<Index>) {
        let reads = self.forwarded.take(request);
        match index {
            Some(index) if !reads.is_empty() => {
                self.effects.push(Effect::ReadReady { reads, index })
            }
            _ => self.abort(reads),
        }
    }

    pub(crate) fn expire_forwarded_reads(&mut self) {
        let reads = self.forwarded.take_expired(self.now);
        self.abort(reads);
    }

    pub(crate) fn abort_forwarded_reads(&mut self) {
        let reads = self.forwarded.take_all();
        self.abort(reads);
    }

    fn abort(&mut self, reads: Vec<ReadId>) {
        if !reads.is_empty() {
            self.effects.push(Effect::ReadAborted { reads });
        }
    }
}
