//! Maps for unit tests.

use bytes::Bytes;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports};
use doug_proto::routing::Routing;

/// `partitions` partitions on one node, at this epoch.
pub fn map(partitions: u64, epoch: u64) -> PartitionMap {
    let node = NodeId::from_bits(1);
    let start = |number| match number {
        0 => Bytes::new(),
        number if number == partitions => Bytes::new(),
        number => Routing::hash_start(number, partitions),
    };
    let partition = |number| Partition {
        id: number + 1,
        keyspace: KeyspaceId::DEFAULT,
        start: start(number),
        end: start(number + 1),
        generation: 1,
        cluster: "a".into(),
        voters: vec![Member { node, replica: 1 }],
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    };
    PartitionMap {
        epoch,
        keyspaces: vec![Keyspace::default_by_hash()],
        clusters: Vec::new(),
        nodes: vec![Node {
            id: node,
            name: "a-0".into(),
            cluster: "a".into(),
            address: "127.0.0.1".into(),
            ports: Ports::default(),
            version: 1,
        }],
        partitions: (0..partitions).map(partition).collect(),
        ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
    }
}
