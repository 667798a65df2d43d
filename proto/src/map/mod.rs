//! The partition map: all descriptors and node addresses, with an epoch.

mod document;
mod merge;
mod wire;

pub use document::FORMAT_VERSION;

use crate::error::Fault;
use crate::ids::{DatabaseId, NodeId};
use crate::limits;
use crate::routing::Routing;
use bytes::Bytes;
use std::collections::BTreeSet;

/// All descriptors and node addresses of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMap {
    /// The database.
    pub database: DatabaseId,
    /// Rises with each change; nothing is decided by it alone.
    pub epoch: u64,
    /// How keys become routing bytes.
    pub routing: Routing,
    /// Nodes, in any order.
    pub nodes: Vec<Node>,
    /// Partitions, sorted by start, without gap.
    pub partitions: Vec<Partition>,
}

/// A node as the map lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// For people: for instance `a-0`.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Host name or IP address, without port.
    pub address: String,
    /// Where it listens.
    pub ports: Ports,
    /// Epoch of the map in which this entry was last changed: of two entries of
    /// one node, the greater wins. [`REMOVED`] if it was removed.
    pub version: u64,
}

/// The version of a node's entry that nothing replaces any more: the node was
/// removed for good. To programs that do not know this, it is a node like any
/// other. Maps keep such entries, or a map heard late would bring the node back;
/// and it fits into what JSON schemas call int64.
pub const REMOVED: u64 = i64::MAX as u64;

/// The ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Clients: `Doug`.
    pub doug: u16,
    /// Nodes: `Raft`.
    pub raft: u16,
    /// Operators: `Admin`.
    pub admin: u16,
    /// Probes and metrics.
    pub http: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { doug: 7400, raft: 7401, admin: 7402, http: 7403 }
    }
}

impl Node {
    /// Whether it was removed for good.
    pub fn is_removed(&self) -> bool {
        self.version >= REMOVED
    }

    /// `host:port` for `Doug`.
    pub fn doug_address(&self) -> String {
        join(&self.address, self.ports.doug)
    }

    /// `host:port` for `Raft`.
    pub fn raft_address(&self) -> String {
        join(&self.address, self.ports.raft)
    }

    /// `host:port` for `Admin`.
    pub fn admin_address(&self) -> String {
        join(&self.address, self.ports.admin)
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A partition's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 1.
    pub id: u64,
    /// First routing bytes, inclusive; empty for the first partition.
    pub start: Bytes,
    /// End of the interval, exclusive; empty for the last partition.
    pub end: Bytes,
    /// Rises with every change of the descriptor.
    pub generation: u64,
    /// The cluster that holds it.
    pub cluster: String,
    /// Members that vote, in order of preference for the leadership.
    pub voters: Vec<Member>,
    /// Members that only follow.
    pub learners: Vec<Member>,
    /// Partitions it was split from.
    pub parents: Vec<u64>,
    /// Voters being left behind by a change of members under way; empty at rest.
    pub outgoing: Vec<Member>,
    /// The id that the next new replica gets, see [`Partition::next_replica`]; 0
    /// where the map does not carry it.
    pub next_replica: u64,
    /// Where a change of members under way is to end.
    pub goal: Option<Goal>,
}

/// The voters a partition is on its way to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Nodes that are to hold the voters, in order of preference for the leadership.
    pub nodes: Vec<NodeId>,
    /// The cluster that holds the partition once they do.
    pub cluster: String,
    /// Replicas not to be trusted any more, though their nodes are in the goal:
    /// each is replaced by one with a new id.
    pub discarded: Vec<u64>,
}

/// One member of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its node.
    pub node: NodeId,
    /// The id of its replica; 0 where the map does not carry it.
    pub replica: u64,
}

impl Partition {
    /// Whether the routing bytes lie in its interval.
    pub fn contains(&self, point: &[u8]) -> bool {
        self.start[..] <= *point && (self.end.is_empty() || *point < self.end[..])
    }

    /// The voter on `node`, if any.
    pub fn voter_on(&self, node: NodeId) -> Option<Member> {
        self.voters.iter().copied().find(|member| member.node == node)
    }

    /// The member (voter, outgoing voter or learner) with this replica id, if any.
    pub fn member(&self, replica: u64) -> Option<Member> {
        self.members().find(|member| member.replica == replica)
    }

    /// Voters, outgoing voters and learners; one that is two of these comes twice.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied()
    }

    /// Whether its members are as they are to be: nothing about them is under way.
    pub fn is_at_rest(&self) -> bool {
        self.goal.is_none() && self.outgoing.is_empty() && self.learners.is_empty()
    }

    /// The id that the next new replica gets: never one that the group has used.
    pub fn next_replica(&self) -> u64 {
        let greatest = self.members().map(|member| member.replica).max().unwrap_or(0);
        self.next_replica.max(greatest + 1)
    }
}

impl PartitionMap {
    /// The partition `key` belongs to.
    pub fn partition_of(&self, key: &[u8]) -> &Partition {
        &self.partitions[self.position_of(key)]
    }

    /// Where the partition `key` belongs to stands in `partitions`.
    pub fn position_of(&self, key: &[u8]) -> usize {
        let point = self.routing.point(key);
        let next = self.partitions.partition_point(|p| p.start[..] <= *point);
        // validate() guarantees that the first partition starts at the empty bytes.
        next - 1
    }

    /// The partition with this id.
    pub fn partition(&self, id: u64) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.id == id)
    }

    /// The nodes that were not removed.
    pub fn present(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.is_removed())
    }

    /// Partitions that have to do with a node: it holds a replica, or is to.
    pub fn partitions_of(&self, node: NodeId) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |partition| {
            let goal = partition.goal.iter().flat_map(|goal| &goal.nodes);
            partition.members().any(|member| member.node == node)
                || goal.into_iter().any(|id| *id == node)
        })
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Checks what everything else relies on: sorted, gapless, members known.
    ///
    /// # Errors
    /// The first thing that is wrong, in a sentence.
    pub fn validate(&self) -> Result<(), Fault> {
        let count = self.partitions.len() as u64;
        if count == 0 || count > limits::PARTITIONS {
            let most = limits::PARTITIONS;
            return invalid(format!("the map has {count} partitions; it must have 1 to {most}"));
        }
        let mut nodes = BTreeSet::new();
        for node in &self.nodes {
            if !nodes.insert(node.id) {
                return invalid(format!("the map lists node {} twice", node.id));
            }
        }
        let mut ids = BTreeSet::new();
        let mut expected = Bytes::new();
        for (position, partition) in self.partitions.iter().enumerate() {
            let id = partition.id;
            if id == 0 || !ids.insert(id) {
                return invalid(format!("partition id {id} is zero or listed twice"));
            }
            if partition.start != expected {
                return invalid(format!(
                    "partition {id} does not start where the one before it ends"
                ));
            }
            let last = position + 1 == self.partitions.len();
            if partition.end.is_empty() != last || (!last && partition.end <= partition.start) {
                return invalid(format!("partition {id} ends before it starts, or too early"));
            }
            expected = partition.end.clone();
            if partition.voters.is_empty() {
                return invalid(format!("partition {id} has no voters"));
            }
            check_members(partition, &nodes)?;
        }
        Ok(())
    }
}

/// A node has one replica of a partition. While members change, an incoming
/// voter may be an outgoing one as well: then it is the same replica.
fn check_members(partition: &Partition, nodes: &BTreeSet<NodeId>) -> Result<(), Fault> {
    let id = partition.id;
    if let Some(member) = partition.members().find(|member| !nodes.contains(&member.node)) {
        let node = member.node;
        return invalid(format!("partition {id} names node {node}, which the map does not list"));
    }
    let mut listed = BTreeSet::new();
    for member in partition.voters.iter().chain(&partition.learners) {
        if !listed.insert(member.node) {
            return invalid(format!("partition {id} lists node {} twice", member.node));
        }
    }
    for member in &partition.outgoing {
        let other = partition.members().any(|m| m.node == member.node && m != *member);
        if other || partition.outgoing.iter().filter(|m| m.node == member.node).count() > 1 {
            return invalid(format!("partition {id} lists node {} twice", member.node));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Result<(), Fault> {
    Err(Fault::invalid(message))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(partitions: u64) -> PartitionMap {
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
            database: DatabaseId::from_bits(0xdb),
            epoch: 1,
            routing: Routing::Hash { prefix_delimiter: Bytes::new() },
            partitions: (0..partitions)
                .map(|i| Partition {
                    id: i + 1,
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
                })
                .collect(),
            nodes: vec![node],
        }
    }

    #[test]
    fn every_key_has_exactly_one_partition() {
        let map = sample(8);
        map.validate().unwrap();
        for number in 0..1_000_u32 {
            let key = number.to_string().into_bytes();
            let point = map.routing.point(&key);
            let holders: Vec<_> = map.partitions.iter().filter(|p| p.contains(&point)).collect();
            assert_eq!(holders, [map.partition_of(&key)]);
        }
    }

    #[test]
    fn a_gap_between_partitions_is_refused() {
        let mut map = sample(4);
        map.partitions.remove(2);
        assert!(map.validate().unwrap_err().to_string().contains("partition 4 does not start"));
    }

    #[test]
    fn a_member_on_an_unlisted_node_is_refused() {
        let mut map = sample(1);
        map.partitions[0].voters[0].node = NodeId::from_bits(7);
        assert!(map.validate().unwrap_err().to_string().contains("000000000007"));
    }
}
