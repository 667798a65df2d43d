//! Maps for tests, of this crate and of those above it.

use super::{Cluster, Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports};
use crate::ids::{DatabaseId, NodeId};
use crate::routing::Routing;
use bytes::Bytes;

/// A map of the keyspace `default` alone.
pub fn sample(partitions: u64) -> PartitionMap {
    let node = Node {
        id: NodeId::from_bits(0xa0),
        name: "a-0".into(),
        cluster: "a".into(),
        address: "127.0.0.1".into(),
        ports: Ports::default(),
        version: 1,
    };
    let start = |i| Routing::hash_start(i, partitions);
    PartitionMap {
        epoch: 1,
        keyspaces: vec![Keyspace::default_by_hash()],
        clusters: vec![Cluster { name: "a".into(), nodes: 1, version: 1 }],
        partitions: (0..partitions)
            .map(|i| Partition {
                id: i + 1,
                keyspace: KeyspaceId::DEFAULT,
                start: start(i),
                end: if i + 1 == partitions { Bytes::new() } else { start(i + 1) },
                generation: 1,
                cluster: "a".into(),
                voters: vec![Member { node: node.id, replica: 1 }],
                learners: Vec::new(),
                parents: Vec::new(),
                outgoing: Vec::new(),
                next_replica: 0,
                goal: None,
                recoveries: Vec::new(),
            })
            .collect(),
        nodes: vec![node],
        ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
    }
}

/// The map of a whole database: the catalog, and so many partitions of `default`.
pub fn sample_with_catalog(partitions: u64) -> PartitionMap {
    let mut map = sample(partitions);
    for partition in &mut map.partitions {
        partition.id += 1;
    }
    let catalog = Partition {
        id: Keyspace::SYSTEM_PARTITION,
        keyspace: KeyspaceId::SYSTEM,
        ..sample(1).partitions.remove(0)
    };
    map.partitions.insert(0, catalog);
    map.keyspaces.insert(0, Keyspace::system());
    map
}
