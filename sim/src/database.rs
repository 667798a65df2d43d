//! Which nodes there are and who holds what.

use crate::plan::Plan;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Member, Node, Partition, PartitionMap, Ports};
use doug_proto::routing::Routing;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The database under test, as its map says it.
#[derive(Clone, Debug)]
pub struct Database {
    /// The first map.
    pub map: Arc<PartitionMap>,
    indexes: BTreeMap<NodeId, usize>,
}

/// Where the ids of nodes begin that came back without their volumes.
const RENEWED: u64 = 0xB000_0000_0000;

impl Database {
    /// Lays a database out. Replica ids and the order of voters are those that
    /// creation gives.
    pub fn new(plan: &Plan) -> Self {
        let id = |index: usize| NodeId::from_bits(0xA000_0000_0000 + index as u64);
        let cluster = |number: usize| ((b'a' + number as u8) as char).to_string();
        let count = plan.clusters * plan.nodes;
        let nodes = (0..count).map(|index| Node {
            id: id(index),
            name: format!("{}-{}", cluster(index / plan.nodes), index % plan.nodes),
            cluster: cluster(index / plan.nodes),
            address: "simulated".to_owned(),
            ports: Ports::default(),
            version: 1,
        });
        let start = |number: u64| Routing::hash_start(number, plan.partitions);
        let partitions = (0..plan.partitions).map(|number| {
            let home = number as usize % plan.clusters;
            let turn = number as usize / plan.clusters;
            let member =
                |i: usize| Member { node: id(home * plan.nodes + i), replica: i as u64 + 1 };
            let mut voters: Vec<_> = (0..plan.nodes).map(member).collect();
            voters.rotate_left(turn % plan.nodes);
            Partition {
                id: number + 1,
                start: start(number),
                end: if number + 1 < plan.partitions { start(number + 1) } else { [][..].into() },
                generation: 1,
                cluster: cluster(home),
                voters,
                learners: Vec::new(),
                parents: Vec::new(),
                outgoing: Vec::new(),
                next_replica: 0,
                goal: None,
            }
        });
        let map = PartitionMap {
            database: DatabaseId::from_bits(0xD),
            epoch: 1,
            routing: Routing::Hash { prefix_delimiter: [][..].into() },
            nodes: nodes.collect(),
            partitions: partitions.collect(),
        };
        let indexes = (0..count).map(|index| (id(index), index)).collect();
        Self { map: Arc::new(map), indexes }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.map.nodes.len()
    }

    /// A new id for a node that lost its volume. Its address is known under the old one too.
    pub fn renew(&mut self, index: usize) -> NodeId {
        let id = NodeId::from_bits(RENEWED + self.indexes.len() as u64);
        self.indexes.insert(id, index);
        id
    }

    /// A node's place among all.
    pub fn index_of(&self, id: NodeId) -> Option<usize> {
        self.indexes.get(&id).copied()
    }

    /// The nodes that hold a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn holders(&self, partition: u64) -> Vec<usize> {
        let partition = self.map.partition(partition).expect("a partition of the map");
        partition.voters.iter().filter_map(|member| self.index_of(member.node)).collect()
    }

    /// Ids of the partitions.
    pub fn partitions(&self) -> Vec<u64> {
        self.map.partitions.iter().map(|partition| partition.id).collect()
    }
}
