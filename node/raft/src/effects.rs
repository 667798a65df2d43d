//! What the core asks its host to do.

use crate::batch::Batch;
use crate::ids::{Index, ReadId, ReplicaId, Term, Ticket};
use crate::message::Message;
use crate::quiesce::UnquiesceCause;
use crate::raft::Role;

/// One write to the replica's Raft log: what must be durable before what promises it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogWrite {
    /// Append this batch. If its base is at or below the last index, everything from its base on is
    /// replaced by it.
    Append(Batch),
    /// The term and the vote given in it. The last one written counts.
    HardState {
        /// The current term.
        term: Term,
        /// Whom this replica voted for in that term.
        vote: Option<ReplicaId>,
    },
}

/// One thing for the host to do. Effects are to be done in order, except that sending need not wait
/// for persisting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write the record, in ticket order, and call [`persisted`](crate::Raft::persisted) once it is
    /// durable.
    Persist {
        /// The record's place in the order. Strictly increasing.
        ticket: Ticket,
        /// What to write.
        record: LogWrite,
    },
    /// Send a message. It may be lost, delayed, duplicated or overtaken.
    Send {
        /// The receiver.
        to: ReplicaId,
        /// What to send.
        message: Message,
    },
    /// Apply these batches: committed and locally durable, in log order, each exactly once per
    /// process.
    Apply {
        /// Adjacent batches; the first follows the last of the previous `Apply`.
        batches: Vec<Batch>,
    },
    /// These reads may be served as soon as everything up to `index` is applied here.
    ReadReady {
        /// The reads.
        reads: Vec<ReadId>,
        /// What must be applied first.
        index: Index,
    },
    /// No index could be had for these reads: no leader, a changed one, or silence. They may be
    /// tried again anywhere.
    ReadAborted {
        /// The reads.
        reads: Vec<ReadId>,
    },
    /// Role, term or the leader this replica believes in changed.
    RoleChanged {
        /// The role now.
        role: Role,
        /// The term now.
        term: Term,
        /// The leader now believed in.
        leader: Option<ReplicaId>,
    },
    /// It is quiesced from now on: no [`tick`](crate::Raft::tick) until it unquiesces.
    Quiesced,
    /// It is quiesced no longer.
    Unquiesced {
        /// Why.
        cause: UnquiesceCause,
    },
    /// It holds again, durably, all that it ever acknowledged: the host may forget that the
    /// log's tail was cut ambiguously.
    TailRepaired,
    /// Read the batches from index `from` to index `to` (both inclusive, batch boundaries) from the
    /// log and call [`fetched`](crate::Raft::fetched). Asked once. Batches compacted or replaced
    /// since may be left out; a host that cannot read the others must stop.
    FetchPayloads {
        /// Base of the first batch wanted.
        from: Index,
        /// Last index of the last batch wanted.
        to: Index,
    },
    /// This peer needs entries that are compacted away. Send it a snapshot, then call
    /// [`snapshot_sent`](crate::Raft::snapshot_sent); until then nothing but heartbeats goes to it.
    SnapshotNeeded {
        /// The peer.
        to: ReplicaId,
    },
}
