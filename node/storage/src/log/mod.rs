//! The one log of a node: write-ahead log and Raft log in one.
//!
//! The batches, terms and votes of *all* replicas of a node go to one sequence
//! of checksummed records in preallocated, recycled segments. Byte layouts and
//! the argument why nothing lost ever comes back are in docs/formats.md.
//!
//! Three ideas carry the rest:
//! - A segment's header is durable before the segment has its name, and says
//!   where its predecessor ends. So a tail is sealed by the birth of the next
//!   segment, and only the last segment can have a doubtful tail.
//! - Every record says which records were durable when it was written (its
//!   *mark*). Damage at or below the greatest mark is corruption, above it a
//!   power loss.
//! - Relocated records keep their original position, and replay goes by that.

mod envelope;
mod index;
mod reader;
mod recover;
mod retire;
mod scan;
mod segment;
mod state;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{Applied, Corruption, ReplicaKey};

pub use reader::LogReader;
pub use recover::open;
pub(crate) use recover::{examine, exists, holds_records};
pub use writer::LogWriter;

/// Position of a record in the log: 1, 2, 3, … over the life of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// What a replica's Raft core must never forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The current term.
    pub term: u64,
    /// The replica voted for in that term.
    pub vote: Option<u64>,
}

/// One thing to be written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A batch of entries; what the replica logged at `base` and above is gone with it.
    Batch {
        /// The replica that appends.
        replica: ReplicaKey,
        /// Index of the first entry.
        base: u64,
        /// Number of entries, at least 1.
        count: u32,
        /// Term of every entry.
        term: u64,
        /// The commit index known when this was appended; informative.
        commit: u64,
        /// The encoded batch, opaque to the log.
        data: Bytes,
    },
    /// A new term or vote.
    HardState {
        /// The replica whose state it is.
        replica: ReplicaKey,
        /// Its term.
        term: u64,
        /// Its vote in that term.
        vote: Option<u64>,
    },
    /// The replica installed a snapshot: must be appended after
    /// [`Store::install_snapshot`](crate::store::Store::install_snapshot) and before the replica's
    /// next batch.
    ///
    /// What was logged is discarded, unless the entry at `index` has that `term`.
    Reset {
        /// The replica.
        replica: ReplicaKey,
        /// Last index covered by the snapshot.
        index: u64,
        /// Term of the entry at that index.
        term: u64,
    },
}

impl Record {
    /// The replica this record belongs to.
    pub fn replica(&self) -> ReplicaKey {
        match self {
            Self::Batch { replica, .. }
            | Self::HardState { replica, .. }
            | Self::Reset { replica, .. } => *replica,
        }
    }
}

/// A batch that the log holds: its bytes are read by [`LogReader::read`]. A log can be larger than
/// the memory that its node may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// Index of the first entry.
    pub base: u64,
    /// Number of entries.
    pub count: u32,
    /// Term of every entry.
    pub term: u64,
}

impl LoggedBatch {
    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.base + u64::from(self.count) - 1
    }
}

/// Sizes of the log. All in bytes.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Size of a segment; a record must fit into one (default 16 MiB).
    pub segment_bytes: u64,
    /// The log's limit `L`: beyond it, batches are refused as busy (default 512 MiB).
    pub limit_bytes: u64,
    /// Most that waits for the next sync before batches are refused as busy (default 8 MiB).
    pub buffer_bytes: u64,
    /// Random bits that salt the checksums, so that no client can forge a record inside a value.
    pub salt: u64,
}

impl LogOptions {
    /// Most bytes of batches that no majority has, of all replicas together, that the log can
    /// bear: no flush frees them, so they are moved on from segment to segment, and what is
    /// moved must leave room. An eighth less than half of the limit: records are somewhat
    /// larger than their batches.
    pub fn uncommitted_bytes(&self) -> u64 {
        self.limit_bytes / 8 * 3
    }

    /// Bytes of the largest batch that a segment holds.
    pub fn largest_batch(&self) -> u64 {
        self.segment_bytes - segment::HEADER - envelope::padded(0) as u64
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, limit_bytes: 512 << 20, buffer_bytes: 8 << 20, salt: 0 }
    }
}

/// What the manifest knows when the log is opened.
#[derive(Clone, Debug, Default)]
pub struct KnownReplicas {
    /// Living replicas, and up to where their trees hold everything.
    pub live: BTreeMap<ReplicaKey, Applied>,
    /// Removed and fenced replicas: their records are dead.
    pub removed: BTreeSet<ReplicaKey>,
}

/// What the log remembers of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredLog {
    /// The last term and vote, if any was ever written.
    pub hard_state: Option<HardState>,
    /// The greatest commit index found in its records; may exceed the last batch after a cut tail.
    pub commit: u64,
    /// Batches above the applied index, contiguous, in order.
    pub batches: Vec<LoggedBatch>,
}

/// A tail that was cut where a record had been begun. A power loss during a write leaves this;
/// so does damage to a batch that was durable, and acknowledged, if no mark came after it. The
/// log cannot tell one from the other. Terms and votes are marked before anybody is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailCut {
    /// Where, and what is wrong there.
    pub damage: Corruption,
    /// Position of the first record that is lost.
    pub lsn: Lsn,
}

/// An opened log.
pub struct OpenedLog {
    /// The single writer.
    pub writer: LogWriter,
    /// Reads batches and sets floors, from any thread.
    pub reader: LogReader,
    /// One entry per living replica.
    pub replicas: BTreeMap<ReplicaKey, RecoveredLog>,
    /// Whether, and where, records may be lost that were acknowledged.
    pub cut: Option<TailCut>,
}
