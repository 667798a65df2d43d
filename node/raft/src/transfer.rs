//! Handing leadership over (thesis, 3.10).

use thiserror::Error;

use crate::ids::ReplicaId;
use crate::message::Message;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Only the leader can.
    #[error("this replica does not lead its partition, so it has nothing to hand over")]
    NotLeader {
        /// The leader as far as known.
        leader: Option<ReplicaId>,
    },
    /// The target leads already.
    #[error("replica {0} leads already")]
    AlreadyLeader(ReplicaId),
    /// The target is not a member.
    #[error("replica {0} is not a member of this partition")]
    Unknown(ReplicaId),
    /// The target does not vote.
    #[error("replica {0} is a learner: it can lead only after it has been made a voter")]
    Learner(ReplicaId),
    /// The target is being removed.
    #[error("replica {0} is being removed from this partition, so it cannot lead it for long")]
    Outgoing(ReplicaId),
    /// Another hand-over is under way.
    #[error("leadership is already being handed over to replica {0}")]
    InProgress(ReplicaId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    pub(crate) to: ReplicaId,
    pub(crate) give_up: Time,
    told: bool,
}

impl Raft {
    /// Hands leadership to `to`: proposals are refused, `to` is brought up to date and told to
    /// campaign. Given up after the longest election timeout; then proposals are taken again.
    /// [`Effect::RoleChanged`](crate::Effect::RoleChanged) tells of success.
    pub fn transfer(&mut self, now: Time, to: ReplicaId) -> Result<(), TransferError> {
        self.advance_clock(now);
        if self.role != Role::Leader {
            return Err(TransferError::NotLeader { leader: self.leader });
        }
        if to == self.config.id {
            return Err(TransferError::AlreadyLeader(to));
        }
        if self.configuration().is_learner(to) {
            return Err(TransferError::Learner(to));
        }
        if !self.configuration().is_voter(to) {
            return Err(TransferError::Unknown(to));
        }
        if !self.configuration().voters.contains(&to) {
            return Err(TransferError::Outgoing(to));
        }
        match &self.lead.transfer {
            Some(transfer) if transfer.to == to => return Ok(()),
            Some(transfer) => return Err(TransferError::InProgress(transfer.to)),
            None => {}
        }
        self.note_request();
        let give_up = self.now.after(self.config.election_timeout_max);
        self.lead.transfer = Some(Transfer { to, give_up, told: false });
        self.push_transfer();
        Ok(())
    }

    /// Tells the target to campaign once it holds everything, or it could not win.
    pub(crate) fn push_transfer(&mut self) {
        let Some(transfer) = &mut self.lead.transfer else { return };
        let to = transfer.to;
        let ready =
            self.lead.peers.get(&to).is_some_and(|peer| peer.matched == self.log.last_index());
        if ready && !transfer.told {
            transfer.told = true;
            self.lead.lease.forgone = true;
            self.send(to, Message::TimeoutNow { term: self.term });
        }
    }

    pub(crate) fn expire_transfer(&mut self) {
        if self.lead.transfer.as_ref().is_some_and(|transfer| self.now >= transfer.give_up) {
            self.lead.transfer = None;
        }
    }

    /// The leader itself asks, so there is nobody whom a pre-vote would protect.
    pub(crate) fn on_timeout_now(&mut self) {
        if self.role != Role::Leader && self.may_lead() {
            self.ask_votes(true);
        }
    }
}
