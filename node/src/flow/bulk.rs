//! Which messages between nodes are bulk: appends with batches.

use doug_proto::v1::{RaftMessage, raft_message::Message};

/// Bytes of batches in a message.
pub fn bulk_bytes(message: &RaftMessage) -> usize {
    match &message.message {
        Some(Message::Append(append)) => append.batches.iter().map(|batch| batch.len()).sum(),
        _ => 0,
    }
}

/// Whether a message carries batches.
pub fn is_bulk(message: &RaftMessage) -> bool {
    matches!(&message.message, Some(Message::Append(append)) if !append.batches.is_empty())
}
