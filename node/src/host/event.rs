//! What a host is told.

use crate::flow::Lane;
use crate::membership::RecoveryOrder;
use crate::work::{InstalledSnapshot, RequestId, Sequence};
use bytes::Bytes;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Partition};
use doug_proto::v1;
use doug_raft::{Batch, Clock, Index, ReplicaId, Stamp, Time};
use doug_storage::ReplicaKey;
use std::time::Duration;

/// Which promise a read needs the host for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    /// Only the leader serves it, after a round that proves it still leads.
    Linearizable,
    /// Any replica serves it once its data is at most this stale.
    Bounded {
        /// So far its data may be behind.
        max_lag: Duration,
    },
    /// The leader serves it once it has closed this time: all that is ever stamped at or below is
    /// applied.
    Closed {
        /// The time.
        stamp: Stamp,
    },
    /// Any replica serves it once it has applied this index.
    Applied {
        /// The revision of a session token.
        index: Index,
    },
}

impl Event {
    /// Which way into the host it takes.
    pub fn lane(&self) -> Lane {
        match self {
            Event::Write { .. } | Event::Read { .. } => Lane::Requests,
            _ => Lane::Consensus,
        }
    }
}

/// One thing that happened. Every event of a queue takes as much room as the largest,
/// so what is rare and large stands in a box.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed. At least every election timeout / 10.
    Tick {
        /// What this node's wall clock shows.
        wall: Clock,
    },
    /// A peer's turn arrived.
    Turn {
        /// The sender.
        from: NodeId,
        /// All it had to say.
        turn: v1::PeerTurn,
    },
    /// A client's write.
    Write {
        /// Its name.
        request: RequestId,
        /// The partition meant.
        partition: u64,
        /// An encoded [`v1::Command`].
        command: Bytes,
        /// The greatest stamp its client has seen: its batch gets a later one.
        seen: Stamp,
        /// When its outcome is reported unknown.
        deadline: Time,
    },
    /// A client's read.
    Read {
        /// Its name.
        request: RequestId,
        /// The partition meant.
        partition: u64,
        /// What it waits for.
        kind: ReadKind,
        /// When it is given up.
        deadline: Time,
    },
    /// Records are durable.
    Persisted {
        /// All up to this one.
        upto: Sequence,
        /// Later ones, ascending: they passed others that wait for room in the log.
        passed: Vec<Sequence>,
    },
    /// The replica has applied everything up to `index`.
    Applied {
        /// The replica.
        replica: ReplicaKey,
        /// A batch's last index.
        index: Index,
        /// The partition's feature level there.
        feature_level: u32,
        /// A command of the partition's own, encoded, that its leader should propose.
        wanted: Option<Bytes>,
        /// When a key of it may be due next.
        next_expiry: Option<Clock>,
    },
    /// Everything up to `index` is in SSTables.
    Flushed {
        /// The replica.
        replica: ReplicaKey,
        /// A batch's last index.
        index: Index,
    },
    /// The log is short of room, and this replica pins its oldest segment.
    LogPressure {
        /// The replica.
        replica: ReplicaKey,
    },
    /// Batches read back from the log.
    Fetched {
        /// The replica that asked.
        replica: ReplicaKey,
        /// In order.
        batches: Vec<Batch>,
    },
    /// A snapshot was sent, or could not be.
    SnapshotSent {
        /// The replica that led.
        replica: ReplicaKey,
        /// The receiver.
        to: ReplicaId,
        /// What the receiver has now; `None` if it failed.
        index: Option<Index>,
    },
    /// A snapshot's tables are complete on this node. Answered with
    /// [`super::Reply::Install`] once the replica stands still for it.
    SnapshotReceived {
        /// Its name.
        request: RequestId,
        /// The receiving replica.
        replica: ReplicaKey,
        /// Tells it from other snapshots that this node receives.
        id: u64,
    },
    /// What was received is installed, or given up. Must follow every
    /// [`Event::SnapshotReceived`], or the replica stands still for ever.
    SnapshotInstalled {
        /// The receiving replica.
        replica: ReplicaKey,
        /// Of the snapshot.
        id: u64,
        /// What the replica holds now; `None`: it is as it was.
        installed: Option<Box<InstalledSnapshot>>,
    },
    /// A node's program said which feature level it supports.
    Supports {
        /// The node.
        node: NodeId,
        /// Its greatest level.
        level: u32,
    },
    /// A stream was opened, and its hello named the process on the other node.
    Hello {
        /// The node.
        node: NodeId,
        /// Random number of its process.
        incarnation: u64,
    },
    /// Admin gives a partition another goal. Answered with [`super::Reply::Goal`]
    /// once that is committed.
    ChangeMembers {
        /// Its name.
        request: RequestId,
        /// The partition.
        partition: u64,
        /// Without nodes: gives up the present one. The caller has checked it
        /// against the map.
        goal: Goal,
        /// If not 0: the generation that the caller has seen.
        generation: u64,
        /// When the attempt is given up.
        deadline: Time,
    },
    /// Admin has a partition begin anew from the replica here, since its quorum is lost for good.
    /// Answered with [`super::Reply::Recovered`] once the new group has committed its descriptor.
    Recover {
        /// Its name.
        request: RequestId,
        /// What is asked for.
        order: Box<RecoveryOrder>,
        /// When the attempt is given up.
        deadline: Time,
    },
    /// The replica is to be gone, because its group has left it out or its files
    /// are damaged. Answered with [`super::Reply::Removed`] once it has applied what
    /// was given out, or when it is asked for again.
    Remove {
        /// Its name.
        request: RequestId,
        /// The replica.
        replica: ReplicaKey,
    },
    /// The peer's process died: its streams reset and its port refuses.
    Suspect {
        /// The peer.
        node: NodeId,
    },
    /// Admin creates a replica. One that joins a group begins with
    /// [`Partition::before_joining`]: it then listens to whoever leads.
    Create {
        /// The replica.
        replica: ReplicaKey,
        /// The partition's descriptor.
        descriptor: Box<Partition>,
        /// Seed of its timeouts.
        seed: u64,
    },
    /// Admin hands a leadership over.
    Transfer {
        /// Answered with an outcome of kind [`super::Reply::Transferred`].
        request: RequestId,
        /// The partition.
        partition: u64,
        /// Who is to lead; `None`: the most caught-up other voter.
        to: Option<NodeId>,
        /// When the attempt is given up.
        deadline: Time,
    },
    /// The node is about to stop: hand every leadership over.
    HandOver,
    /// Answered with [`super::Reply::Status`].
    Status {
        /// Its name.
        request: RequestId,
    },
}
