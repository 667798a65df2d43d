//! Changing who belongs to the group, by joint consensus (paper, §6; thesis, 4.3).

use std::collections::BTreeSet;

use thiserror::Error;

use crate::batch::BatchKind;
use crate::clock::Stamp;
use crate::configuration::Configuration;
use crate::ids::{Index, ReplicaId, Term};
use crate::membership::Membership;
use crate::message::Message;
use crate::mutant::mutant;
use crate::progress::Progress;
use crate::propose::{ProposeError, Proposed};
use crate::raft::Raft;
use crate::time::Time;

/// Why a change of the membership was not taken. It is in no log and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// This replica takes nothing into its log.
    #[error(transparent)]
    NotProposed(#[from] ProposeError),
    /// Nothing of the leader's own term is committed yet.
    #[error("the leader of term {term} has committed nothing in it yet; try again in a moment")]
    TermNotCommitted {
        /// The leader's term.
        term: Term,
    },
    /// The change before is not committed yet.
    #[error("the change of members at index {index} is not committed yet; try again when it is")]
    ChangeInProgress {
        /// Where the change before stands in the log.
        index: Index,
    },
    /// Nobody could decide anything any more.
    #[error("the change leaves no voters: a partition needs at least one")]
    NoVoters,
    /// Ids start at 1.
    #[error("the change names replica 0, and replica ids start at 1")]
    ZeroId,
    /// Both a voter and a learner.
    #[error("replica {0} cannot be both a voter and a learner after the change")]
    VotingLearner(ReplicaId),
    /// Voters change only by way of a joint configuration.
    #[error(
        "the voters can change only through a joint configuration, whose outgoing voters are those \
         of now"
    )]
    NotJoint,
    /// The joint configuration leaves behind others than the present voters.
    #[error("the outgoing voters of a joint configuration must be exactly the voters of now")]
    OutgoingDiffers,
    /// Two joint configurations in a row.
    #[error("a change of voters is half done: first propose the configuration it leads to")]
    AlreadyJoint,
    /// The change that is half done leads to other voters.
    #[error("a change of voters is half done, and leads to other voters than these")]
    VotersDiffer,
}

/// Whether `to` may directly follow `from`.
pub(crate) fn check_step(from: &Configuration, to: &Configuration) -> Result<(), ChangeError> {
    if to.voters.is_empty() {
        return Err(ChangeError::NoVoters);
    }
    if to.members().contains(&ReplicaId(0)) {
        return Err(ChangeError::ZeroId);
    }
    if let Some(&both) = to.voters.intersection(&to.learners).next() {
        return Err(ChangeError::VotingLearner(both));
    }
    match (from.is_joint(), to.is_joint()) {
        (false, false) if to.voters != from.voters => Err(ChangeError::NotJoint),
        (false, true) if to.outgoing != from.voters => Err(ChangeError::OutgoingDiffers),
        (true, true) => Err(ChangeError::AlreadyJoint),
        (true, false) if to.voters != from.voters => Err(ChangeError::VotersDiffer),
        _ => Ok(()),
    }
}

/// Peers that the latest membership leaves out, and that are still sent to so that they learn of
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Departing {
    ids: BTreeSet<ReplicaId>,
    /// Set once the change is committed.
    until: Option<Time>,
}

impl Departing {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Raft {
    /// Appends a membership to the leader's log, as the next step of a change. It is in force at
    /// once and committed when its batch is handed out; as long as it is not, a new leader may
    /// replace it by the one before.
    ///
    /// Legal steps: other learners or another context with the same voters; from a simple
    /// configuration to a joint one whose outgoing voters are the voters of now; and from there to
    /// a simple one of its incoming voters.
    pub fn propose_membership(
        &mut self,
        now: Time,
        membership: Membership,
    ) -> Result<Proposed, ChangeError> {
        self.advance_clock(now);
        self.check_takes_proposals()?;
        // Changes of single servers are unsafe without this (Ongaro, raft-dev, July 2015). Joint
        // ones are safe by the majority of outgoing voters alone; the rule keeps that from being
        // the only defence.
        let settled =
            self.has_committed_own_term() || mutant!(self.config, ChangeBeforeOwnTermCommit);
        if !settled {
            return Err(ChangeError::TermNotCommitted { term: self.term });
        }
        if !self.membership_is_committed() {
            return Err(ChangeError::ChangeInProgress { index: self.membership_index() });
        }
        check_step(self.configuration(), &membership.configuration)?;
        self.note_request();
        let proposed = self.append_own(BatchKind::Configuration, Stamp(0), &[membership.encode()]);
        self.track_members(proposed.base);
        Ok(proposed)
    }

    /// Sends to exactly the members from now on, to new ones from `next` on; and, so that they
    /// learn of it, to those whom a change leaves out that is not committed.
    pub(crate) fn track_members(&mut self, next: Index) {
        let members = self.configuration().members();
        let mut peers = members.clone();
        if !self.membership_is_committed() && !self.began_anew() {
            peers.extend(self.log.memberships().previous().configuration.members());
        }
        peers.remove(&self.config.id);
        self.lead.peers.retain(|id, _| peers.contains(id));
        let departing = peers.difference(&members).copied().collect();
        self.lead.departing = Departing { ids: departing, until: None };
        for id in peers {
            self.lead.peers.entry(id).or_insert_with(|| Progress::new(next, self.now));
        }
    }

    /// Whether the latest membership is that of a group which began anew: nobody of the lost one
    /// is told of it.
    fn began_anew(&self) -> bool {
        let batch = self.log.batch_at(self.membership_index());
        batch.is_some_and(|batch| batch.kind == BatchKind::Recovery)
    }

    /// Lets those go that the committed membership leaves out: once they were told, or did not
    /// answer for an election timeout.
    pub(crate) fn dismiss_departed(&mut self) {
        if self.lead.departing.ids.is_empty() || !self.membership_is_committed() {
            return;
        }
        let (now, change) = (self.now, self.membership_index());
        let give_up = now.after(self.config.election_timeout_max);
        let until = *self.lead.departing.until.get_or_insert(give_up);
        let (departing, peers) = (&mut self.lead.departing.ids, &mut self.lead.peers);
        departing.retain(|id| {
            let stays = now < until && peers.get(id).is_some_and(|peer| peer.commit_told < change);
            if !stays {
                peers.remove(id);
            }
            stays
        });
    }

    /// A leader that the committed configuration leaves out tells the others so much, asks the most
    /// advanced of them to campaign, and leads no more. Until then it leads without counting itself
    /// (thesis, 4.2.2).
    pub(crate) fn step_down_if_removed(&mut self) {
        let configuration = self.configuration();
        if configuration.is_voter(self.config.id) || !self.membership_is_committed() {
            return;
        }
        let matched = |id: &ReplicaId| self.lead.peers.get(id).map_or(0, |peer| peer.matched);
        let successor = configuration.voters.iter().copied().max_by_key(matched);
        for id in self.peer_ids() {
            self.tell_commit(id);
        }
        if let Some(successor) = successor {
            self.send(successor, Message::TimeoutNow { term: self.term });
        }
        self.become_follower(self.term, None);
    }
}
