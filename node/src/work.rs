//! What hosts and state machines exchange, so that neither needs to know the other: commands,
//! the requests that wait for their outcomes, batches that are committed, and what a snapshot has
//! put in their place.

use bytes::Bytes;
use doug_proto::map::Partition;
use doug_proto::v1;
use doug_raft::{Batch, BatchTime, Index, Term};
use doug_storage::ReplicaKey;

/// Names one client request while its node works on it. Never used again by
/// the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Position of a record among all that one host hands to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Committed batches, with the requests that wait for their outcomes.
#[derive(Clone, Debug)]
pub struct ApplyWork {
    /// The replica.
    pub replica: ReplicaKey,
    /// Adjacent batches, in order.
    pub batches: Vec<ApplyBatch>,
}

impl ApplyWork {
    /// Everyone who waits for an outcome.
    pub fn waiting(self) -> impl Iterator<Item = RequestId> {
        self.batches.into_iter().flat_map(|apply| apply.waiting)
    }
}

/// One batch and who waits for each of its commands.
#[derive(Clone, Debug)]
pub struct ApplyBatch {
    /// The batch.
    pub batch: Batch,
    /// Empty, or one request per command.
    pub waiting: Vec<RequestId>,
}

/// What a replica holds once a snapshot is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledSnapshot {
    /// The last index it holds.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Clock and stamp of the batch that ends there.
    pub time: BatchTime,
    /// The partition's descriptor at that index.
    pub descriptor: Partition,
    /// Its feature level there.
    pub feature_level: u32,
}

/// The encoded command of a write, for adapters that build one.
pub fn encode_command(command: &v1::Command) -> Bytes {
    use prost::Message;
    command.encode_to_vec().into()
}
