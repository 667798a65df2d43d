//! What may happen next.

use crate::network::Envelope;
use doug_raft::ReplicaId;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A message arrives.
    Deliver(Envelope),
    /// What a replica has written becomes durable.
    Sync(ReplicaId),
    /// A replica campaigns.
    Campaign(ReplicaId),
    /// A client writes at this leader.
    Write(ReplicaId),
    /// A client reads at this leader.
    Read(ReplicaId),
    /// This leader proposes the group's next membership.
    Change(ReplicaId),
    /// This leader asks its group to quiesce.
    Quiesce(ReplicaId),
    /// A replica's process dies and starts again.
    Crash(ReplicaId),
}
