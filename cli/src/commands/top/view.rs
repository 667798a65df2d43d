//! What `doug top` shows: nodes and partitions with what they serve, in order.

use super::rates::{Rates, Traffic};
use crate::commands::status::{Look, Partition, Place, View};
use doug_proto::v1::{NodeState, NodeStatus};
use std::cmp::Ordering;

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Whoever serves the most operations
    Load,
    /// Whoever has the most data
    Size,
    /// Whoever lacks the most entries
    Lag,
}

/// The whole database.
#[derive(Debug)]
pub struct Top {
    /// Its id.
    pub database: String,
    /// What it serves, where that is known.
    pub total: Option<Traffic>,
    /// In order.
    pub nodes: Vec<NodeLoad>,
    /// In order.
    pub partitions: Vec<PartitionLoad>,
}

/// One node.
#[derive(Debug)]
pub struct NodeLoad {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// What it is.
    pub state: NodeState,
    /// Partitions that it leads.
    pub leads: usize,
    /// Replicas that it holds.
    pub replicas: usize,
    /// What it serves, where that is known.
    pub traffic: Option<Traffic>,
    /// Bytes of all its replicas in tables and memtables.
    pub bytes: u64,
    /// Bytes left for data on its volume, where that is known.
    pub available: Option<u64>,
    /// Entries that the one of its replicas lacks that lacks the most.
    pub lag: Option<u64>,
}

/// One partition.
#[derive(Debug)]
pub struct PartitionLoad {
    /// Its id.
    pub id: u64,
    /// Its keyspace.
    pub keyspace: String,
    /// Its cluster.
    pub cluster: String,
    /// The name of the node that leads it, if one does.
    pub leader: Option<String>,
    /// What all its replicas serve together, where that is known.
    pub traffic: Option<Traffic>,
    /// Bytes of one replica in tables and memtables.
    pub bytes: u64,
    /// How many keys it has, as its tables' counts let one estimate.
    pub estimated_keys: u64,
    /// Entries that the member lacks that lacks the most, of those that answer.
    pub lag: Option<u64>,
    /// Members whose nodes do not answer.
    pub down: usize,
}

impl Top {
    /// From the present look, and the one before.
    pub fn new(before: Option<&Look>, now: &Look, order: Order) -> Self {
        let rates =
            before.map(|before| Rates::between(&before.status, &now.status)).unwrap_or_default();
        let view = now.view();
        let of_id = |id: &str| now.status.nodes.iter().find(|node| node.id == id);
        let mut nodes: Vec<NodeLoad> = view
            .nodes
            .iter()
            .map(|node| NodeLoad {
                name: node.name.clone(),
                cluster: node.cluster.clone(),
                state: node.state,
                leads: view
                    .partitions
                    .iter()
                    .filter(|p| p.leader.as_ref() == Some(&node.id))
                    .count(),
                replicas: of_id(&node.id).map_or(0, |said| said.replicas.len()),
                traffic: rates.of_node(&node.id),
                bytes: of_id(&node.id).map_or(0, stored),
                available: node.volume.map(|volume| volume.available_bytes),
                lag: most(view.partitions.iter().filter_map(|p| p.members.get(&node.id))),
            })
            .collect();
        let mut partitions: Vec<PartitionLoad> = view
            .partitions
            .iter()
            .map(|partition| of_partition(&view, partition, &rates))
            .collect();
        // Both stand in order of name, which remains where all else is equal.
        nodes.sort_by(|a, b| {
            let key = |node: &NodeLoad| (node.traffic, node.bytes, node.lag);
            order.compare(key(a), key(b))
        });
        partitions.sort_by(|a, b| {
            let key =
                |partition: &PartitionLoad| (partition.traffic, partition.bytes, partition.lag);
            order.compare(key(a), key(b))
        });
        Self { database: view.database, total: rates.total(), nodes, partitions }
    }
}

type Key = (Option<Traffic>, u64, Option<u64>);

impl Order {
    /// The one of which there is more comes first.
    fn compare(self, a: Key, b: Key) -> Ordering {
        let load = |(traffic, ..): Key| traffic.map_or((0.0, 0.0), |t| (t.operations(), t.bytes()));
        let (a_load, b_load) = (load(a), load(b));
        let by_load = b_load.0.total_cmp(&a_load.0).then(b_load.1.total_cmp(&a_load.1));
        let (by_size, by_lag) = (b.1.cmp(&a.1), b.2.cmp(&a.2));
        match self {
            Order::Load => by_load.then(by_size),
            Order::Size => by_size.then(by_load),
            Order::Lag => by_lag.then(by_load),
        }
    }
}

fn of_partition(view: &View, partition: &Partition, rates: &Rates) -> PartitionLoad {
    PartitionLoad {
        id: partition.id,
        keyspace: partition.keyspace.clone(),
        cluster: partition.cluster.clone(),
        leader: partition.leader.as_deref().map(|id| view.name_of(id).to_owned()),
        traffic: rates.of_partition(partition.id),
        bytes: partition.bytes,
        estimated_keys: partition.estimated_keys,
        lag: most(partition.members.values()),
        down: partition.members.values().filter(|place| **place == Place::Down).count(),
    }
}

/// The most that one of them lacks; none where nothing is known of any.
fn most<'a>(places: impl Iterator<Item = &'a Place>) -> Option<u64> {
    let lags = places.filter_map(|place| match place {
        Place::Leads => Some(0),
        Place::Lags(entries) => Some(*entries),
        Place::Down | Place::Damaged | Place::Unknown => None,
    });
    lags.max()
}

fn stored(node: &NodeStatus) -> u64 {
    node.replicas.iter().map(|replica| replica.bytes).sum()
}
