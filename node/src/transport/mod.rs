//! Streams between nodes.

pub mod chunk;
mod hello;
mod incoming;
mod outgoing;
mod replacement;
mod share_map;
mod snapshot_receive;
mod snapshot_send;

pub use incoming::RaftService;
pub use outgoing::send_turns;
pub use replacement::{create_replicas, replace_damaged};
pub use share_map::share as share_map;
pub use snapshot_send::send_snapshots;

use crate::engine::Engine;
use doug_proto::access::AccessToken;
use doug_proto::v1::raft_client::RaftClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// A client of another node's Raft port. It shows the token, if there is one.
fn raft_client(
    engine: &Engine,
    channel: Channel,
) -> RaftClient<InterceptedService<Channel, AccessToken>> {
    RaftClient::with_interceptor(channel, engine.config.access.clone())
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// Largest message between nodes, in bytes: a turn holds many batches.
pub const MESSAGE_BYTES: usize = 64 << 20;
