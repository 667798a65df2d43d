//! Snapshots: the tables of one tree version, on their way from a leader to a replica
//! that has fallen behind the log.
//!
//! The sender hard-links the tables into `outgoing/` ([`Snapshot`]), so that compaction may
//! replace them meanwhile, and cuts them into chunks ([`Sending`]). The receiver collects
//! them in `incoming/` ([`Incoming`]); when all are whole and verified, one manifest edit
//! replaces the tree. Tables are known by their identity, wherever they come from: whatever
//! the receiver has of a table, be it after a broken stream, a restart of either side or from
//! another leader, is not sent again. Who connects when, and how bytes travel, is the
//! node's business. Byte layout: docs/formats.md.

mod incoming;
mod info;
mod names;
mod outgoing;
mod partial;
mod sending;
mod source;

use bytes::Bytes;
use std::time::Duration;

pub use incoming::Incoming;
pub(crate) use incoming::{IncomingFiles, OwnTable};
pub use info::{SnapshotInfo, SnapshotTable};
pub(crate) use names::replica_in as replica_of;
pub(crate) use outgoing::Outgoing;
pub use sending::Sending;
pub use source::Snapshot;

/// Bytes of a chunk, but for a table's last.
pub const CHUNK_BYTES: usize = 512 << 10;
/// The largest chunk that is accepted.
pub const MAX_CHUNK_BYTES: usize = 4 << 20;
/// A snapshot that nobody sends or receives is kept for so long, for the sender or the receiver
/// to come back.
pub const IDLE: Duration = Duration::from_secs(5 * 60);
/// The same where the volume is short of room. A snapshot keeps tables that compactions have
/// replaced long since; to make it anew costs less than to refuse writes for want of their room.
pub const IDLE_SHORT_OF_ROOM: Duration = Duration::from_secs(10);

/// A piece of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which table, by its place in [`SnapshotInfo::tables`].
    pub table: u32,
    /// Where in the table it begins.
    pub offset: u64,
    /// Its bytes.
    pub data: Bytes,
    /// See [`chunk_checksum`].
    pub checksum: u32,
}

/// CRC-32 of the table's identity, the offset (64-bit little-endian each) and the bytes:
/// a chunk in the wrong place is noticed too.
pub fn chunk_checksum(identity: u64, offset: u64, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(data);
    hasher.finalize()
}
