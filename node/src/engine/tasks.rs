//! What the node's threads are given to do, beside what is committed
//! ([`ApplyWork`](crate::work::ApplyWork)).

use super::requests::Request;
use crate::host::{Fetch, ReadyRead};
use crate::work::{RequestId, Sequence};
use doug_proto::map::Partition as Descriptor;
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::sync::Arc;

/// Records of one turn of one host, in order.
#[derive(Debug)]
pub struct LogWork {
    /// Number of the host.
    pub host: usize,
    /// What to append.
    pub records: Vec<(Sequence, Record)>,
}

/// A read that may be served now.
#[derive(Debug)]
pub enum ReadTask {
    /// Its host has established what it must see.
    Ready(ReadyRead),
    /// It may see whatever is applied.
    Now(Box<Request>),
    /// A watch has waited, and is to look once more.
    Woken(RequestId),
}

/// Something to do behind the scenes.
#[derive(Clone, Debug)]
pub enum MaintenanceTask {
    /// See whether a flush or a compaction is due.
    Jobs(ReplicaKey),
    /// Flush, however little there is, to free the log.
    Flush(ReplicaKey),
    /// Take a committed descriptor into the node's map.
    Publish(Arc<Descriptor>),
    /// Note that the replica holds again all that it acknowledged before the log was cut.
    TailRepaired(ReplicaKey),
    /// Read batches back from the log.
    Fetch {
        /// Number of the host that asked.
        host: usize,
        /// What it needs.
        fetch: Fetch,
    },
}
