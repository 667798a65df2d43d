//! What a replica tells about itself and, as leader, about its peers.

use crate::ids::{Index, ReplicaId};
use crate::progress::ProgressState;

/// A peer as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub id: ReplicaId,
    /// Everything up to here is known durable there and equal.
    pub matched: Index,
    /// The next index to send to it.
    pub next: Index,
    /// How it is sent to.
    pub state: ProgressState,
    /// Heard from within the longest election timeout.
    pub recently_active: bool,
    /// Whether it only listens.
    pub learner: bool,
}
