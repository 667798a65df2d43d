//! Partitions that three nodes share.

use bytes::Bytes;
use doug_proto::ids::NodeId;
use doug_proto::map::{KeyspaceId, Member, Partition};

/// The id of a node, counted from 0.
pub fn node(number: usize) -> NodeId {
    NodeId::from_bits(number as u64 + 1)
}

/// A partition with a voter on each of the three; the first voters of consecutive partitions
/// are on consecutive nodes.
pub fn descriptor(partition: u64) -> Partition {
    let first = partition as usize - 1;
    Partition {
        id: partition,
        keyspace: KeyspaceId::DEFAULT,
        start: Bytes::new(),
        end: Bytes::new(),
        generation: 1,
        cluster: "a".into(),
        voters: (0..3)
            .map(|i| (first + i) % 3)
            .map(|i| Member { node: node(i), replica: i as u64 + 1 })
            .collect(),
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
    }
}
