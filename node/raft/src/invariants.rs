//! What holds of a replica between any two calls: the list at [`Raft`], as assertions.

use crate::raft::{LeaderState, Raft, Role};

impl Raft {
    /// Asserts what is listed at [`Raft`]. Costs a walk over the peers, not over the log. Tests and
    /// the simulator call it after every step.
    ///
    /// # Panics
    /// If an invariant does not hold: the program is wrong.
    pub fn check_invariants(&self) {
        self.check_log();
        self.check_role();
        self.check_progress();
        self.check_quiescence();
    }

    fn check_log(&self) {
        let (base, last, durable) = (self.log.base().0, self.log.last_index(), self.log.durable());
        assert!(
            base <= self.applied && self.applied <= self.applying && self.applying <= self.commit,
            "{}: base {base}, applied {}, applying {}, commit {} are out of order",
            self.who(),
            self.applied,
            self.applying,
            self.commit
        );
        assert!(
            self.commit <= last && durable <= last && self.verified <= last,
            "{}: commit {}, durable {durable} or verified {} is beyond the log's end at {last}",
            self.who(),
            self.commit,
            self.verified
        );
        assert!(
            self.log.memberships_stand_in_batches(),
            "{}: a membership is in force that is not in the log: {:?}",
            self.who(),
            self.log.memberships()
        );
        assert!(
            self.applying <= durable,
            "{}: {} is applied, and only {durable} is durable",
            self.who(),
            self.applying
        );
        assert!(
            self.log.last_term() <= self.term,
            "{}: the log ends in term {}, later than its term {}",
            self.who(),
            self.log.last_term(),
            self.term
        );
    }

    fn check_role(&self) {
        let own = self.config.id;
        assert!(
            self.leader.is_none() || self.leader == self.term_leader,
            "{}: follows {:?}, and {:?} leads its term",
            self.who(),
            self.leader,
            self.term_leader
        );
        match self.role {
            Role::Follower => {
                assert!(self.election.votes.is_empty(), "{}: a follower counts votes", self.who());
            }
            Role::PreCandidate => {}
            Role::Candidate => {
                assert_eq!(self.vote, Some(own), "{}: a candidate votes for itself", self.who());
            }
            Role::Leader => {
                assert!(
                    self.leader == Some(own) && self.vote == Some(own) && self.term_is_durable(),
                    "{}: leads without a durable vote for itself",
                    self.who()
                );
                assert!(
                    !self.has_ambiguous_tail(),
                    "{}: leads, and doubts whether it holds what it acknowledged",
                    self.who()
                );
            }
        }
        assert!(
            self.role == Role::Leader || self.lead == LeaderState::default(),
            "{}: holds what only a leader has",
            self.who()
        );
        assert!(
            self.forwarded.is_empty() || (self.role == Role::Follower && self.leader.is_some()),
            "{}: forwards reads to nobody",
            self.who()
        );
    }

    fn check_progress(&self) {
        if self.role != Role::Leader {
            return;
        }
        let (own, last) = (self.config.id, self.log.last_index());
        let peers = &self.lead.peers;
        let mut members = self.configuration().members().into_iter();
        assert!(
            !peers.contains_key(&own) && members.all(|id| id == own || peers.contains_key(&id)),
            "{}: keeps the progress of other peers than its members",
            self.who()
        );
        for (id, peer) in peers {
            assert!(
                peer.matched < peer.next && peer.matched <= last && peer.next <= last + 1,
                "{}: peer {id} has acknowledged {}, is sent {} next, and the log ends at {last}",
                self.who(),
                peer.matched,
                peer.next
            );
            assert!(
                peer.commit_told <= self.commit,
                "{}: peer {id} was told that {} is committed, and only {} is",
                self.who(),
                peer.commit_told,
                self.commit
            );
        }
    }

    fn check_quiescence(&self) {
        if self.is_quiesced() {
            let last = self.log.last_index();
            assert!(
                self.leader.is_some() && !self.quiescence.has_proposed(),
                "{}: is quiesced without a leader, or while its own proposal to quiesce waits",
                self.who()
            );
            assert!(
                [self.commit, self.applied, self.log.durable()] == [last; 3],
                "{}: is quiesced, and of {last} entries {} are committed, {} applied, {} durable",
                self.who(),
                self.commit,
                self.applied,
                self.log.durable()
            );
        }
        let most = self.config.election_timeout_max;
        assert!(
            self.election.compensated <= most
                && self.lead.peers.values().all(|peer| peer.compensated <= most),
            "{}: pauses have put timeouts off for longer than one timeout",
            self.who()
        );
    }

    fn who(&self) -> String {
        format!("partition {}, replica {}, {:?}", self.config.partition, self.config.id, self.role)
    }
}
