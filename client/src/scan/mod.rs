//! Scans: pages of partitions put together in key order, and a stream of pages.
//!
//! A page token is stateless: the last key returned, and of each partition the
//! revision of its snapshot. So any client or facade can go on with it.

mod bounds;
mod merge;
mod page;
mod stream;

pub(crate) use page::merged_page;
pub use stream::ScanStream;

use crate::options::Range;
use doug_proto::map::{Keyspace, PartitionMap};

/// The partitions of a keyspace of the map that can hold keys of an interval.
pub(crate) fn partitions_of(map: &PartitionMap, keyspace: &Keyspace, range: &Range) -> Vec<u64> {
    let (start, end) = (range.start.clone(), range.end.clone());
    let bounds = bounds::Bounds { start, end, reverse: false };
    bounds::partitions(map, keyspace, &bounds).into_iter().map(|partition| partition.id).collect()
}
