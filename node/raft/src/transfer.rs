//! Handing leadership over (thesis, 3.10).

use thiserror::Error;

use crate::ids::ReplicaId;

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
    /// Another hand-over is under way.
    #[error("leadership is already being handed over to replica {0}")]
    InProgress(ReplicaId),
}
