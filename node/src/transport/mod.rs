//! Streams between nodes.

mod chunk;
mod hello;
mod incoming;
mod outgoing;
mod share_map;
mod snapshot_receive;
mod snapshot_send;

pub use incoming::RaftService;
pub use outgoing::Peers;
pub use share_map::share as share_map;
pub use snapshot_send::send_snapshots;

/// Largest message between nodes, in bytes: a turn holds many batches.
pub const MESSAGE_BYTES: usize = 64 << 20;
