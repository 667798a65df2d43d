//! What a replica tells about itself and, as leader, about its peers.

use std::time::Duration;

use crate::configuration::Configuration;
use crate::ids::{Index, PartitionId, ReplicaId, Term};
use crate::membership::Membership;
use crate::progress::ProgressState;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// A peer as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerStatus {
    /// The peer.
    pub id: ReplicaId,
    /// Everything up to here is known durable there and equal.
    pub matched: Index,
    /// The next index to send to it.
    pub next: Index,
    /// How it is sent to.
    pub state: ProgressState,
    /// Heard from within the longest election timeout.
    pub recently_active: bool,
    /// Heard from within the longest election timeout by this leader itself: neither becoming its
    /// peer counts, nor the end of a sleep.
    pub recently_spoke: bool,
    /// For how long it was not heard; becoming a peer of this leader counts as hearing it.
    pub silence: Duration,
    /// Whether it only listens.
    pub learner: bool,
}

impl Raft {
    /// Whether [`Raft::take_effects`] has something to give even if nothing else happens first.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
            || self.hard_state_changed
            || (self.role == Role::Leader && !self.is_quiesced())
    }

    /// The group.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.config.partition
    }

    /// This replica.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.config.id
    }

    /// What it is now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whom it voted for in its term.
    #[must_use]
    pub fn vote(&self) -> Option<ReplicaId> {
        self.vote
    }

    /// The leader it believes in; itself if it leads.
    #[must_use]
    pub fn leader(&self) -> Option<ReplicaId> {
        self.leader
    }

    /// Everything up to here is committed, as far as it knows.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// Everything up to here was given out to be applied.
    #[must_use]
    pub fn applying(&self) -> Index {
        self.applying
    }

    /// What [`applied`](Raft::applied) last said.
    #[must_use]
    pub fn applied_index(&self) -> Index {
        self.applied
    }

    /// Everything up to here is durable in its own log.
    #[must_use]
    pub fn durable_index(&self) -> Index {
        self.log.durable()
    }

    /// The first index its log still holds; one past the end if it holds none.
    #[must_use]
    pub fn first_index(&self) -> Index {
        self.log.base().0 + 1
    }

    /// The last index of its log, durable or not.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.log.last_index()
    }

    /// Term of the entry at `index`; `None` if it is compacted away or beyond the log. The last
    /// compacted entry's is known.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term_at(index)
    }

    /// Place of the batch that holds `index`: its term, first and last index. `None` if compacted
    /// away or beyond the log.
    #[must_use]
    pub fn batch_bounds(&self, index: Index) -> Option<(Term, Index, Index)> {
        self.log.batch_at(index).map(|batch| (batch.term, batch.base, batch.last()))
    }

    /// The members now: the latest configuration in the log, committed or not.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.membership().configuration
    }

    /// The latest membership in the log, committed or not: it is in force.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.log.memberships().latest()
    }

    /// Index of the batch that brought the latest membership; once that is compacted away, the last
    /// compacted index.
    #[must_use]
    pub fn membership_index(&self) -> Index {
        self.log.memberships().latest_index().unwrap_or(self.log.base().0)
    }

    /// Whether the latest membership is known committed here.
    #[must_use]
    pub fn membership_is_committed(&self) -> bool {
        self.membership_index() <= self.commit
    }

    /// The membership before the latest, while that is not known committed here.
    #[must_use]
    pub fn membership_before(&self) -> Option<&Membership> {
        (!self.membership_is_committed()).then(|| self.log.memberships().previous())
    }

    /// Whom leadership is being handed to.
    #[must_use]
    pub fn transferring_to(&self) -> Option<ReplicaId> {
        self.lead.transfer.as_ref().map(|transfer| transfer.to)
    }

    /// The peers, in order of their ids. Empty unless it leads.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let recent = self.config.election_timeout_max;
        let peers = self.lead.peers.iter();
        peers
            .map(|(&id, peer)| {
                let silence = self.now.since(peer.heard);
                PeerStatus {
                    id,
                    matched: peer.matched,
                    next: peer.next,
                    state: peer.state,
                    recently_active: silence <= recent,
                    recently_spoke: peer.spoke && silence <= recent,
                    silence,
                    learner: self.configuration().is_learner(id),
                }
            })
            .collect()
    }

    /// When [`tick`](Raft::tick) next has something to do. Calling it earlier or more often is
    /// harmless.
    #[must_use]
    pub fn next_tick(&self) -> Time {
        if self.is_quiesced() {
            return Time(u64::MAX);
        }
        if self.role == Role::Leader {
            let give_up = self.lead.transfer.as_ref().map(|transfer| transfer.give_up);
            return give_up.map_or(self.lead.heartbeat_at, |at| at.min(self.lead.heartbeat_at));
        }
        self.forwarded
            .next_deadline()
            .map_or(self.election.deadline, |at| at.min(self.election.deadline))
    }
}
