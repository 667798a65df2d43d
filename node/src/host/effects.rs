//! What a host asks its node to do, gathered over one turn.

use super::replay::Replayed;
use crate::membership::WantedReplica;
use crate::work::{ApplyWork, RequestId, Sequence};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use doug_proto::v1;
use doug_raft::{Index, ReplicaId, Term, UnquiesceCause};
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::time::Duration;

/// All that one turn asks for. The groups may be carried out side by side;
/// inside a group, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be appended to the log, in order. [`super::Event::Persisted`] names the last one that
    /// is durable.
    pub records: Vec<(Sequence, Record)>,
    /// To be sent, one message per peer, in the order in which they were first written to.
    pub turns: Vec<(NodeId, v1::PeerTurn)>,
    /// To be applied, in order.
    pub apply: Vec<ApplyWork>,
    /// Reads that may be served now.
    pub ready: Vec<ReadyRead>,
    /// Answers to requests that end here.
    pub replies: Vec<(RequestId, Result<Reply, Fault>)>,
    /// Batches to be read back from the log.
    pub fetch: Vec<Fetch>,
    /// Snapshots to be sent.
    pub snapshots: Vec<SendSnapshot>,
    /// What the log need not keep any longer: everything up to the index.
    pub floors: Vec<(ReplicaKey, Index)>,
    /// Memtables to be flushed, although they are small, to free the log.
    pub flush: Vec<ReplicaKey>,
    /// Replicas whose role, term or leader changed.
    pub roles: Vec<RoleChange>,
    /// Replicas that may serve reads from now on: before, they might go back behind what
    /// they have served.
    pub replayed: Vec<(ReplicaKey, Replayed)>,
    /// Replicas that hold again all that they acknowledged before the log was cut: no later start
    /// needs to doubt it.
    pub repaired: Vec<ReplicaKey>,
    /// Replicas to be made on other nodes, by `Admin.CreateReplica`. Asked for
    /// again until they answer their leader.
    pub creations: Vec<WantedReplica>,
    /// Appends of leaders that were not taken in, since too much waits already.
    pub dropped_appends: u64,
    /// How many replicas unquiesced, by cause.
    pub unquiesces: Vec<(UnquiesceCause, u64)>,
}

impl Effects {
    /// What a peer is sent this turn, to be added to. Peers of one turn are few.
    pub(super) fn turn_for(&mut self, node: NodeId) -> &mut v1::PeerTurn {
        let known = self.turns.iter().position(|(peer, _)| *peer == node);
        let place = known.unwrap_or_else(|| {
            self.turns.push((node, v1::PeerTurn::default()));
            self.turns.len() - 1
        });
        &mut self.turns[place].1
    }

    /// Counts a replica that unquiesced.
    pub(super) fn unquiesced(&mut self, cause: UnquiesceCause) {
        match self.unquiesces.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => self.unquiesces.push((cause, 1)),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.turns.is_empty()
            && self.apply.is_empty()
            && self.ready.is_empty()
            && self.replies.is_empty()
            && self.fetch.is_empty()
            && self.snapshots.is_empty()
            && self.floors.is_empty()
            && self.flush.is_empty()
            && self.roles.is_empty()
            && self.creations.is_empty()
            && self.replayed.is_empty()
            && self.repaired.is_empty()
            && self.dropped_appends == 0
            && self.unquiesces.is_empty()
    }
}

/// A read that may be served from what its replica has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyRead {
    /// Its name.
    pub request: RequestId,
    /// The replica that serves.
    pub replica: ReplicaKey,
    /// How long before the read came to this node a write may have been answered that the read
    /// does not see, at most. Proven by a read round or a lease; `None`: nothing proves it.
    pub staleness: Option<Duration>,
    /// Whether the replica leads, as far as it knows.
    pub leader: bool,
}

/// An answer that needs no data.
#[derive(Clone, Debug)]
pub enum Reply {
    /// State of all replicas of the host.
    Status(Vec<v1::ReplicaStatus>),
    /// The leadership is with this node now.
    Transferred(NodeId),
    /// The command that was to be written is applied.
    Applied,
    /// The goal is committed, with this descriptor; or it was reached already.
    Goal(Box<Partition>),
    /// The partition has begun anew from the replica here, with this descriptor.
    Recovered(Box<Partition>),
    /// The host has let go of the replica, and gave out nothing that is yet to be applied.
    Removed,
    /// The snapshot may be installed now; nothing else happens to its replica until then.
    Install,
}

/// Batches to be read back from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The replica.
    pub replica: ReplicaKey,
    /// Base of the first.
    pub from: Index,
    /// Last index of the last.
    pub to: Index,
}

/// A snapshot to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSnapshot {
    /// The leading replica.
    pub replica: ReplicaKey,
    /// The receiver.
    pub to: ReplicaId,
    /// Its node.
    pub node: NodeId,
    /// The leader's term.
    pub term: Term,
    /// What the snapshot must contain at least: the leader's log begins after it.
    pub at_least: Index,
}

/// A change of role, term or leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The replica.
    pub replica: ReplicaKey,
    /// Whether it leads.
    pub leads: bool,
    /// The term.
    pub term: Term,
    /// Node of the leader, as far as known.
    pub leader: Option<NodeId>,
}
