//! Forgetting the beginning of the log, and helping those who still need it.

use crate::clock::BatchTime;
use crate::ids::{Index, ReplicaId, Term};
use crate::membership::Membership;
use crate::mutant::mutant;
use crate::quiesce::UnquiesceCause;
use crate::raft::{Raft, Role};
use crate::time::Time;

impl Raft {
    /// Forgets the log up to the last batch end at or below both `index` and what is applied. Peers
    /// that need more get a snapshot.
    pub fn compact(&mut self, index: Index) {
        let upto = index.min(self.applied);
        if upto > self.log.base().0 {
            self.log.compact(self.log.boundary_at_or_below(upto));
        }
    }

    /// The snapshot asked for by [`Effect::SnapshotNeeded`](crate::Effect::SnapshotNeeded) was
    /// installed at `to` (`ok`) and holds everything up to `index`, or it failed; then it is asked
    /// for again once the peer answers a heartbeat.
    pub fn snapshot_sent(&mut self, now: Time, to: ReplicaId, ok: bool, index: Index) {
        self.advance_clock(now);
        let last_index = self.log.last_index();
        let Some(peer) = self.lead.peers.get_mut(&to) else { return };
        if !peer.is_awaiting_snapshot() {
            return;
        }
        if ok {
            peer.probe_from(index.min(last_index).max(peer.matched) + 1);
        } else {
            peer.probe_from(peer.next);
            peer.pause_until_heard(last_index);
        }
    }

    /// Whether this log holds a snapshot's very entry, so that what follows it may stay. Otherwise
    /// the snapshot's installation has to discard the whole log, durably and in one step with
    /// taking the snapshot in: entries that came back after a restart would follow something they
    /// were never meant to follow.
    #[must_use]
    pub fn agrees_with(&self, (index, term): (Index, Term)) -> bool {
        let same = self.log.term_at(index) == Some(term)
            || mutant!(self.config, SnapshotKeepsConflictingLog);
        same && self.log.is_boundary(index)
    }

    /// Whether everything this replica asked to be persisted is durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.hard_state_changed && self.durability.is_settled()
    }

    /// The host has durably installed a snapshot of everything up to `index`, whose entry was of
    /// `term` and `time`, with the membership as of that point; the log stays after it or is gone,
    /// as [`agrees_with`](Raft::agrees_with) said.
    ///
    /// Wait until [`is_settled`](Raft::is_settled) before asking, install, and call this before any
    /// other message: a record still being written could replace what was asked about. Nothing
    /// happens if so much is applied already. Panics if something is still being written, and on a
    /// snapshot that contradicts what is committed, or a leader's log: a leader holds everything
    /// committed.
    pub fn restore(
        &mut self,
        now: Time,
        (index, term): (Index, Term),
        time: BatchTime,
        membership: Membership,
    ) {
        self.advance_clock(now);
        if index <= self.applied {
            return;
        }
        self.unquiesce_for(UnquiesceCause::Message);
        let partition = self.config.partition;
        assert!(
            self.is_settled(),
            "partition {partition}: a snapshot at index {index} was installed while records were \
             being written"
        );
        if term > self.term {
            self.become_follower(term, None);
        }
        let stale = mutant!(self.config, SnapshotKeepsStaleMembership);
        let membership = if stale { self.membership().clone() } else { membership };
        if self.agrees_with((index, term)) {
            self.log.compact_to_snapshot(index, membership);
        } else {
            assert!(
                self.role != Role::Leader && index > self.commit && index > self.verified,
                "partition {partition}: a snapshot at index {index} of term {term} contradicts the \
                 log, committed up to {} and verified up to {}",
                self.commit,
                self.verified
            );
            self.log.reset((index, term), time, membership);
        }
        assert!(
            self.log.term_at(index) == Some(term),
            "partition {partition}: a snapshot at index {index} of term {term} was installed under \
             a log that holds {:?} there",
            self.log.term_at(index)
        );
        assert!(
            self.log.time_at(index) == Some(time),
            "partition {partition}: a snapshot at index {index} of {time:?} was installed under a \
             log that holds {:?} there",
            self.log.time_at(index)
        );
        self.commit = self.commit.max(index);
        self.applying = self.applying.max(index);
        self.applied = index;
        // Committed, so every leader that can still be heard has it.
        self.verified = self.verified.max(index);
        if self.role == Role::Leader {
            self.lead.uncommitted_bytes =
                self.log.bytes_between(self.commit, self.log.last_index());
        }
    }
}
