//! Which nodes there are, under which ids, and what the database begins with.

use crate::plan::Plan;
use bytes::Bytes;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{
    Cluster, Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports,
};
use doug_proto::routing::Routing;
use doug_proto::v1;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The database under test.
#[derive(Clone, Debug)]
pub struct Database {
    /// The first map: its nodes are those that the creation names.
    pub map: Arc<PartitionMap>,
    /// Every node, under its present id; the spare ones come last.
    entries: Vec<Node>,
    indexes: FxHashMap<NodeId, usize>,
}

/// Where the ids of nodes begin that came back without their volumes.
const RENEWED: u64 = 0xB000_0000_0000;

fn entry(index: usize, cluster: usize, number: usize) -> Node {
    let cluster = ((b'a' + cluster as u8) as char).to_string();
    Node {
        id: NodeId::from_bits(0xA000_0000_0000 + index as u64),
        name: format!("{cluster}-{number}"),
        address: format!("{cluster}-{number}"),
        cluster,
        ports: Ports::default(),
        version: 1,
    }
}

impl Database {
    /// Lays a database out. Replica ids and the order of voters are those that
    /// creation gives.
    pub fn new(plan: &Plan) -> Self {
        let founders = plan.clusters * plan.nodes;
        let mut entries: Vec<Node> = (0..founders)
            .map(|index| entry(index, index / plan.nodes, index % plan.nodes))
            .collect();
        for spare in 0..plan.clusters * plan.spares {
            let (cluster, number) = (spare / plan.spares, plan.nodes + spare % plan.spares);
            entries.push(entry(founders + spare, cluster, number));
        }
        let start = |number: u64| match number {
            number if number < plan.partitions => Routing::hash_start(number, plan.partitions),
            _ => [][..].into(),
        };
        // The catalog is the first, and the partitions of `default` follow.
        let partitions = (0..=plan.partitions).map(|number| {
            let home = number as usize % plan.clusters;
            let turn = number as usize / plan.clusters;
            let member = |i: usize| Member {
                node: entries[home * plan.nodes + i].id,
                replica: i as u64 + 1,
            };
            let mut voters: Vec<_> = (0..plan.nodes).map(member).collect();
            voters.rotate_left(turn % plan.nodes);
            let (keyspace, start, end) = match number.checked_sub(1) {
                None => (KeyspaceId::SYSTEM, [][..].into(), [][..].into()),
                Some(number) => (KeyspaceId::DEFAULT, start(number), start(number + 1)),
            };
            Partition {
                id: Keyspace::SYSTEM_PARTITION + number,
                keyspace,
                start,
                end,
                generation: 1,
                cluster: entries[home * plan.nodes].cluster.clone(),
                voters,
                learners: Vec::new(),
                parents: Vec::new(),
                outgoing: Vec::new(),
                next_replica: 0,
                goal: None,
                recoveries: Vec::new(),
            }
        });
        // So that the keys of a transaction lie together.
        let routing = Routing::Hash { prefix_delimiter: Bytes::from_static(b"/") };
        let map = PartitionMap {
            epoch: 1,
            keyspaces: [Keyspace::system(), Keyspace::default_with(routing)]
                .map(|keyspace| Keyspace { history: plan.history, ..keyspace })
                .to_vec(),
            clusters: (0..plan.clusters)
                .map(|cluster| Cluster {
                    name: entries[cluster * plan.nodes].cluster.clone(),
                    nodes: plan.nodes as u32,
                    version: 1,
                })
                .collect(),
            partitions: partitions.collect(),
            nodes: entries[..founders].to_vec(),
            ..PartitionMap::empty(DatabaseId::from_bits(0xD))
        };
        let indexes = entries.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        Self { map: Arc::new(of_a_newer_program(&map)), entries, indexes }
    }

    /// How many nodes there are, spare ones too.
    pub fn nodes(&self) -> usize {
        self.entries.len()
    }

    /// A node under its present id.
    pub fn entry(&self, index: usize) -> &Node {
        &self.entries[index]
    }

    /// Whether the creation names this node.
    pub fn is_founder(&self, index: usize) -> bool {
        index < self.map.nodes.len()
    }

    /// All nodes of a node's cluster, itself too.
    pub fn cluster_of(&self, index: usize) -> Vec<usize> {
        let cluster = &self.entries[index].cluster;
        (0..self.nodes()).filter(|other| self.entries[*other].cluster == *cluster).collect()
    }

    /// A new id for a node that lost its volume. Its address is known under the old one too.
    pub fn renew(&mut self, index: usize) -> NodeId {
        let id = NodeId::from_bits(RENEWED + self.indexes.len() as u64);
        self.indexes.insert(id, index);
        self.entries[index].id = id;
        id
    }

    /// A node's place among all, under an id it has or had.
    pub fn index_of(&self, id: NodeId) -> Option<usize> {
        self.indexes.get(&id).copied()
    }

    /// Whether the node still has this id.
    pub fn is_present(&self, id: NodeId) -> bool {
        self.index_of(id).is_some_and(|index| self.entries[index].id == id)
    }

    /// The name of a node, under an id it has or had.
    pub fn name_of(&self, id: NodeId) -> &str {
        self.index_of(id).map_or("?", |index| &self.entries[index].name)
    }

    /// The place of the node at this address.
    pub fn place_of(&self, address: &str) -> Option<usize> {
        self.entries.iter().position(|node| node.address == address)
    }

    /// Ids of the partitions that clients write to: those of `default`.
    pub fn written(&self) -> Vec<u64> {
        let written = self.map.partitions_in(KeyspaceId::DEFAULT).iter();
        written.map(|partition| partition.id).collect()
    }

    /// Ids of all partitions.
    pub fn partitions(&self) -> Vec<u64> {
        self.map.partitions.iter().map(|partition| partition.id).collect()
    }
}

/// The map as a newer program would have made it: with an entry of a kind that this one does
/// not know, and a field in every cluster.
fn of_a_newer_program(map: &PartitionMap) -> PartitionMap {
    let mut wire = map.to_wire();
    wire.others.push(v1::MapEntry {
        kind: 1_000,
        key: "of a newer program".into(),
        version: 1,
        content: "must be kept".into(),
    });
    for cluster in &mut wire.clusters {
        // Field 1,000, a number.
        *cluster = [&cluster[..], &[0xc0, 0x3e, 7]].concat().into();
    }
    PartitionMap::from_wire(&wire).expect("what is unknown is kept")
}
