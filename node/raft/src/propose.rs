//! Taking commands into the leader's log.

use bytes::Bytes;
use thiserror::Error;

use crate::batch::{Batch, BatchKind};
use crate::clock::Stamp;
use crate::effects::LogWrite;
use crate::ids::{Index, ReplicaId, Term};
use crate::raft::{Raft, Role};
use crate::time::Time;

/// Where proposed commands stand in the log. They are committed if a batch of this term and base is
/// applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proposed {
    /// The leader's term.
    pub term: Term,
    /// Index of the first command.
    pub base: Index,
    /// How many there are.
    pub count: u32,
}

/// Why nothing was taken into the log. What was proposed is in no log and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Another replica leads, or none.
    #[error("this replica does not lead its partition; the leader it knows of is \
        {}", name(*leader))]
    NotLeader {
        /// The leader as far as known.
        leader: Option<ReplicaId>,
    },
    /// Leadership is being handed over.
    #[error("leadership is being handed over to replica {to}; try again in a moment")]
    TransferInProgress {
        /// The next leader.
        to: ReplicaId,
    },
    /// Proposals come faster than a majority takes them in.
    #[error(
        "{waiting} bytes wait for a majority, the limit is {limit}: followers are slow or \
         unreachable"
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

impl Raft {
    /// Appends commands to the leader's log, as one batch, in order. Being taken is no promise:
    /// they are committed when a batch of this term and base is handed out, and lost when another
    /// stands there.
    ///
    /// Panics if there are none.
    pub fn propose(&mut self, now: Time, commands: &[Bytes]) -> Result<Proposed, ProposeError> {
        self.propose_after(now, Stamp(0), commands)
    }

    /// [`propose`](Raft::propose) for clients that have seen batches of stamps up to `seen`, also
    /// of
    /// other partitions: the batch gets a later one.
    pub fn propose_after(
        &mut self,
        now: Time,
        seen: Stamp,
        commands: &[Bytes],
    ) -> Result<Proposed, ProposeError> {
        self.advance_clock(now);
        self.check_takes_proposals()?;
        let (waiting, limit) = (self.lead.uncommitted_bytes, self.config.max_uncommitted_bytes);
        let bytes: u64 = commands.iter().map(|command| command.len() as u64).sum();
        if waiting > 0 && waiting + bytes > limit {
            return Err(ProposeError::TooManyUncommitted { waiting, limit });
        }
        self.note_request();
        Ok(self.append_own(BatchKind::Commands, seen, commands))
    }

    /// Only the leader takes anything into its log, and nothing while it hands over: the target
    /// must hold all of the log, or it could not win.
    pub(crate) fn check_takes_proposals(&self) -> Result<(), ProposeError> {
        if self.role != Role::Leader {
            return Err(ProposeError::NotLeader { leader: self.leader });
        }
        if let Some(transfer) = &self.lead.transfer {
            return Err(ProposeError::TransferInProgress { to: transfer.to });
        }
        Ok(())
    }

    pub(crate) fn append_own(
        &mut self,
        kind: BatchKind,
        seen: Stamp,
        commands: &[Bytes],
    ) -> Proposed {
        let base = self.log.last_index() + 1;
        let time = self.next_time(seen);
        let batch = Batch::encode(self.config.partition, kind, self.term, base, time, commands);
        let proposed = Proposed { term: self.term, base, count: batch.count };
        self.lead.uncommitted_bytes += batch.size();
        self.persist(LogWrite::Append(batch));
        proposed
    }
}
