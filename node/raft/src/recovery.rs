//! Beginning a group anew from one replica, because its quorum is lost for good (docs/recovery.md).
//!
//! It is the one place where a replica decides alone what is committed. So nothing of the lost
//! group may be taken for something of the new one: the new group's terms lie
//! [`RECOVERY_TERMS`] above those that this replica knows, and its indexes [`RECOVERY_INDEXES`]
//! above its log's end. What the lost group did meanwhile reaches neither.

use thiserror::Error;

use crate::batch::{BatchKind, RECOVERY_INDEXES};
use crate::clock::Stamp;
use crate::durability::Held;
use crate::ids::{Index, ReplicaId, Term};
use crate::membership::Membership;
use crate::propose::Proposed;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// The terms that are skipped, so that no replica of the lost group can be in a term of the new
/// one: each term costs it an election timeout at least.
pub const RECOVERY_TERMS: Term = 1 << 32;

/// Why a replica does not begin its group anew. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecoverError {
    /// The group has a leader, so it has not lost its quorum.
    #[error("replica {leader} leads: the group has not lost its quorum")]
    HasLeader {
        /// The leader.
        leader: ReplicaId,
    },
    /// The log's end is not what the caller has seen.
    #[error("the log ends at index {last_index} of term {last_term} by now: look again")]
    LogDiffers {
        /// Where it ends.
        last_index: Index,
        /// The term there.
        last_term: Term,
    },
    /// The new group is to begin with another replica, or with several.
    #[error("a group begins anew with the one replica that holds its log, as the only voter")]
    NotAlone,
}

impl Raft {
    /// Where the log ends: its last term and index. By these Raft compares logs (paper, §5.4.1).
    #[must_use]
    pub fn log_end(&self) -> (Term, Index) {
        (self.log.last_term(), self.log.last_index())
    }

    /// Begins the group anew from this replica's log, all of which is committed by it, and with
    /// `membership`, whose only member is this replica. `end` is where the caller has seen the log
    /// end. It has happened once the configuration at the place returned is committed; if another
    /// batch stands there, or this process ends before, nothing has happened.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn recover(
        &mut self,
        now: Time,
        end: (Term, Index),
        membership: Membership,
    ) -> Result<Proposed, RecoverError> {
        self.advance_clock(now);
        if let Some(leader) = self.leader {
            return Err(RecoverError::HasLeader { leader });
        }
        if end != self.log_end() {
            let (last_term, last_index) = self.log_end();
            return Err(RecoverError::LogDiffers { last_index, last_term });
        }
        let members = membership.configuration.members();
        if !members.iter().eq([&self.config.id])
            || !membership.configuration.is_voter(self.config.id)
        {
            return Err(RecoverError::NotAlone);
        }
        self.note_request();
        self.enter_term(self.term + RECOVERY_TERMS, Some(self.config.id));
        self.role = Role::Candidate;
        self.set_leader(None);
        self.election.clear_votes();
        // Not before its term and vote are durable does it lead; until then it asks nobody.
        self.election.deadline = self.now.after(100 * self.config.election_timeout_max);
        let base = self.log.last_index() + 1;
        self.do_when_durable(Held::Recovery(Box::new(membership)));
        Ok(Proposed { term: self.term, base, count: RECOVERY_INDEXES })
    }

    /// Term and vote are durable, and nobody has spoken in a later term: this replica leads, and
    /// its first entry is the configuration in which it is alone.
    pub(crate) fn lead_alone(&mut self, membership: &Membership) {
        assert!(self.role == Role::Candidate, "recovery holds only while this term does");
        self.lead_with(|raft| {
            let begun = raft.append_own(BatchKind::Recovery, Stamp(0), &[membership.encode()]);
            raft.track_members(begun.base);
        });
    }
}
