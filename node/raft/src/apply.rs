//! Committing and handing out: what is committed and durable here goes to the state machine, once
//! and in order.

use crate::batch::Batch;
use crate::effects::Effect;
use crate::ids::Index;
use crate::log::Limits;
use crate::mutant::mutant;
use crate::raft::{Raft, Role};

impl Raft {
    /// The state machine holds everything up to `index`, the end of a batch handed out. Allows
    /// compaction up to there.
    pub fn applied(&mut self, index: Index) {
        assert!(
            index <= self.applying,
            "partition {}: {index} is called applied, but only {} was handed out",
            self.config.partition,
            self.applying
        );
        self.applied = self.applied.max(index);
    }

    /// Drops the bytes of durable batches up to `index`; their places stay. They are asked for
    /// again when needed.
    pub fn evict_payloads(&mut self, index: Index) {
        self.log.evict(index);
    }

    /// The batches asked for by [`Effect::FetchPayloads`], as read from the log.
    pub fn fetched(&mut self, batches: Vec<Batch>) {
        for batch in batches {
            self.log.fetched(batch);
        }
    }

    /// Bytes of the batches that it does not know committed. As follower it may know late.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> u64 {
        match self.role {
            Role::Leader => self.lead.uncommitted_bytes,
            _ => self.log.bytes_between(self.commit, self.log.last_index()),
        }
    }

    /// Bytes of the batches held in memory.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.log.payload_bytes()
    }

    /// Paper, §5.4.2: a quorum decides only about an entry of the leader's own term. The leader
    /// counts itself up to what its own disk holds.
    pub(crate) fn advance_commit(&mut self) {
        let counts_early = mutant!(self.config, OwnLogCountedBeforeDurable);
        let durable = if counts_early { self.log.last_index() } else { self.log.durable() };
        let own = self.config.id;
        let reached = self.deciding().reached(|id| {
            if id == own {
                durable
            } else {
                self.lead.peers.get(&id).map_or(0, |peer| peer.matched)
            }
        });
        let of_own_term = self.log.term_at(reached) == Some(self.term)
            || mutant!(self.config, OlderTermCommittedByCounting);
        if reached > self.commit && of_own_term {
            self.lead.uncommitted_bytes -= self.log.bytes_between(self.commit, reached);
            self.set_commit(reached);
        }
    }

    /// Whether the commit index covers whatever earlier leaders committed.
    pub(crate) fn has_committed_own_term(&self) -> bool {
        self.log.term_at(self.commit) == Some(self.term)
    }

    pub(crate) fn set_commit(&mut self, commit: Index) {
        assert!(
            self.commit <= commit && commit <= self.log.last_index(),
            "partition {}: the commit index would go from {} to {commit}, the log ends at {}",
            self.config.partition,
            self.commit,
            self.log.last_index()
        );
        self.commit = commit;
    }

    pub(crate) fn hand_out_committed(&mut self) {
        let to = self.commit.min(self.log.durable());
        if to <= self.applying {
            return;
        }
        let fetch_bytes = self.config.max_append_bytes;
        let limits = Limits { to, batches: usize::MAX, bytes: u64::MAX, fetch_bytes };
        let gathered = self.log.gather(self.applying + 1, limits);
        if let Some((from, to)) = gathered.ask {
            self.effects.push(Effect::FetchPayloads { from, to });
        }
        if let Some(last) = gathered.batches.last() {
            self.applying = last.last();
            self.effects.push(Effect::Apply { batches: gathered.batches });
            // An evicted batch may follow the last one handed out: ask for it now, not at some
            // later call.
            self.hand_out_committed();
        }
    }
}
