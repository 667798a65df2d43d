//! Taking commands into the leader's log.

use thiserror::Error;

use crate::ids::{Index, ReplicaId, Term};

/// Where proposed commands stand in the log. They are committed if a batch of this term and base is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The leader's term.
    pub term: Term,
    /// Index of the first command.
    pub base: Index,
    /// How many there are.
    pub count: u32,
}

/// Why commands were not taken. They are in no log and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Another replica leads, or none.
    #[error("this replica does not lead its partition; the leader it knows of is {}", name(*leader))]
    NotLeader {
        /// The leader as far as known.
        leader: Option<ReplicaId>,
    },
    /// Leadership is being handed over; try again in a moment.
    #[error("leadership is being handed over to replica {to}; try again in a moment")]
    TransferInProgress {
        /// The next leader.
        to: ReplicaId,
    },
    /// Proposals come faster than a majority takes them in.
    #[error(
        "{waiting} bytes wait for a majority, the limit is {limit}: followers are slow or unreachable"
    )]
    TooManyUncommitted {
        /// Bytes proposed and not yet committed.
        waiting: u64,
        /// `max_uncommitted_bytes`.
        limit: u64,
    },
}

fn name(leader: Option<ReplicaId>) -> String {
    leader.map_or_else(|| "none".to_owned(), |id| format!("replica {id}"))
}
