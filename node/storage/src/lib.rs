//! DougDB's storage engine: log, memtable, SSTables, compaction, manifest.
//!
//! Everything here is synchronous and goes through a [`disk::Disk`], so that the
//! simulator can drive the same code over a disk that loses power. Threads,
//! timers and queues belong to the adapters of the node.
#![deny(missing_docs)]

pub mod cache;
mod codec;
pub mod compaction;
pub mod disk;
pub mod error;
pub mod log;
pub mod manifest;
mod memtable;
mod merge;
pub mod simulation;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod tree;

pub use error::{Corruption, Result, StorageError};

/// Names one replica on a node: the partition and the id its Raft group gave it.
///
/// A replica id is never used again, so a key names the same replica for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The partition the replica is a copy of.
    pub partition: u64,
    /// The replica's id inside its Raft group.
    pub replica: u64,
}

impl std::fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.partition, self.replica)
    }
}

/// Up to where a replica's tree holds everything: the last command applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Its Raft index; 0 before the first.
    pub index: u64,
    /// Its term.
    pub term: u64,
}
