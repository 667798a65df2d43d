//! The map of a database: its keyspaces, clusters, nodes and partitions, with an
//! epoch.

mod changes;
mod document;
mod entry;
mod kept;
mod keyspace;
mod merge;
mod recovery;
mod removed;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod validate;
mod watch;
mod wire;

pub use changes::Summary;
pub use document::FORMAT_VERSION;
pub use kept::Kept;
pub use keyspace::{Cluster, History, Keyspace, KeyspaceId};
pub use recovery::{RECOVERED_BY_BYTES, RECOVERIES_KEPT, RECOVERY_STRIDE, Recovery};
pub use removed::RemovedKeyspaces;
pub use stored::{Stored, StoredChange};
pub use watch::{MapFollower, MapTeller};

use crate::address::host_port;
use crate::error::Fault;
use crate::ids::{DatabaseId, NodeId};
use crate::routing::Routing;
use crate::v1;
use bytes::Bytes;
use tonic::Code;

/// What one database consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMap {
    /// The database.
    pub database: DatabaseId,
    /// Rises with each change; nothing is decided by it alone.
    pub epoch: u64,
    /// Keyspaces, sorted by id.
    pub keyspaces: Vec<Keyspace>,
    /// Clusters, sorted by name; [departed](Cluster::has_departed) ones too.
    pub clusters: Vec<Cluster>,
    /// Nodes, in any order.
    pub nodes: Vec<Node>,
    /// Partitions, sorted by keyspace and, within it, by start, without gap.
    pub partitions: Vec<Partition>,
    /// Keyspaces that are gone for good.
    pub removed_keyspaces: RemovedKeyspaces,
    /// What newer programs have put into it.
    pub kept: Kept,
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
        host_port(&self.address, self.ports.doug)
    }

    /// `host:port` for `Raft`.
    pub fn raft_address(&self) -> String {
        host_port(&self.address, self.ports.raft)
    }

    /// `host:port` for `Admin`.
    pub fn admin_address(&self) -> String {
        host_port(&self.address, self.ports.admin)
    }
}

/// A partition's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 1, unique in the database.
    pub id: u64,
    /// The keyspace whose routing space its interval lies in.
    pub keyspace: KeyspaceId,
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
    /// How often its group had to begin anew from one replica, the last one last.
    pub recoveries: Vec<Recovery>,
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

    /// Whether every key from `range.start` up to `range.end` lies in the partition, by the
    /// routing of its keyspace.
    pub fn contains_range(&self, routing: &Routing, range: &v1::KeyRange) -> bool {
        if self.start.is_empty() && self.end.is_empty() {
            return true;
        }
        match routing {
            Routing::Hash { .. } => routing
                .shared_point(&range.start, &range.end)
                .is_some_and(|point| self.contains(&point)),
            Routing::Range => {
                let ends = !range.end.is_empty() && range.end <= self.end;
                self.contains(&range.start) && (self.end.is_empty() || ends)
            }
        }
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
    /// The map of a database without any entry: what others are made from.
    pub fn empty(database: DatabaseId) -> Self {
        Self {
            database,
            epoch: 0,
            keyspaces: Vec::new(),
            clusters: Vec::new(),
            nodes: Vec::new(),
            partitions: Vec::new(),
            removed_keyspaces: RemovedKeyspaces::default(),
            kept: Kept::default(),
        }
    }

    /// The keyspace with this id, deleted or not.
    pub fn keyspace(&self, id: KeyspaceId) -> Option<&Keyspace> {
        let found = self.keyspaces.binary_search_by_key(&id, |keyspace| keyspace.id);
        found.ok().map(|place| &self.keyspaces[place])
    }

    /// The keyspace that a request names; the empty name means `default`.
    ///
    /// # Errors
    /// `NOT_FOUND`, and nothing was executed: there is no such keyspace, or none any
    /// more.
    pub fn keyspace_named(&self, name: &str) -> Result<&Keyspace, Fault> {
        let name = if name.is_empty() { Keyspace::DEFAULT } else { name };
        let found = self.keyspaces.iter().find(|known| !known.deleted && known.name == name);
        found.ok_or_else(|| {
            let message = format!("the database has no keyspace {name:?}: check the name");
            Fault::new(Code::NotFound, message).not_executed()
        })
    }

    /// The keyspace of a partition of this map.
    ///
    /// # Panics
    /// For a partition of another map: validate() finds partitions of unknown keyspaces.
    pub fn keyspace_of(&self, partition: &Partition) -> &Keyspace {
        self.keyspace(partition.keyspace).expect("a partition of this map")
    }

    /// The partitions of one keyspace, sorted by start.
    pub fn partitions_in(&self, keyspace: KeyspaceId) -> &[Partition] {
        &self.partitions[self.places_in(keyspace)]
    }

    /// Where the partitions of one keyspace stand in `partitions`.
    pub fn places_in(&self, keyspace: KeyspaceId) -> std::ops::Range<usize> {
        let start = self.partitions.partition_point(|p| p.keyspace < keyspace);
        let end = self.partitions.partition_point(|p| p.keyspace <= keyspace);
        start..end
    }

    /// The partition `key` belongs to in the keyspace `default`.
    ///
    /// # Panics
    /// If the map does not list that keyspace: see [`PartitionMap::validate_whole`].
    pub fn partition_of(&self, key: &[u8]) -> &Partition {
        let default = self.keyspace(KeyspaceId::DEFAULT);
        &self.partitions[self.position_in(default.expect("a map of `default`"), key)]
    }

    /// The partition `key` belongs to in a keyspace of this map.
    ///
    /// # Panics
    /// For a keyspace of another map.
    pub fn partition_in(&self, keyspace: &Keyspace, key: &[u8]) -> &Partition {
        &self.partitions[self.position_in(keyspace, key)]
    }

    /// Where the partition `key` belongs to stands in `partitions`.
    ///
    /// # Panics
    /// As [`PartitionMap::partition_in`].
    pub fn position_in(&self, keyspace: &Keyspace, key: &[u8]) -> usize {
        let point = keyspace.routing.point(key);
        let places = self.places_in(keyspace.id);
        let partitions = &self.partitions[places.clone()];
        let next = partitions.partition_point(|p| p.start[..] <= *point);
        // validate() guarantees that the first partition starts at the empty bytes.
        places.start + next - 1
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

    /// The cluster with this name, if it is declared and has not departed.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        let found = self.clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(name));
        let cluster = found.ok().map(|place| &self.clusters[place]);
        cluster.filter(|cluster| !cluster.has_departed())
    }

    /// The clusters that are declared and have not departed.
    pub fn declared(&self) -> impl Iterator<Item = &Cluster> {
        self.clusters.iter().filter(|cluster| !cluster.has_departed())
    }

    pub(crate) fn sort_partitions(&mut self) {
        self.partitions.sort_by(|a, b| (a.keyspace, &a.start).cmp(&(b.keyspace, &b.start)));
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::sample_with_catalog;
    use super::*;

    #[test]
    fn every_key_of_a_keyspace_has_exactly_one_partition_there() {
        let map = sample_with_catalog(8);
        map.validate_whole().unwrap();
        for keyspace in &map.keyspaces {
            for number in 0..1_000_u32 {
                let key = number.to_string().into_bytes();
                let point = keyspace.routing.point(&key);
                let partitions = map.partitions_in(keyspace.id).iter();
                let holders: Vec<_> = partitions.filter(|p| p.contains(&point)).collect();
                assert_eq!(holders, [map.partition_in(keyspace, &key)]);
            }
        }
    }

    #[test]
    fn a_request_that_names_no_keyspace_means_default_and_an_unknown_one_is_not_executed() {
        let mut map = sample_with_catalog(1);
        assert_eq!(map.keyspace_named("").unwrap().id, KeyspaceId::DEFAULT);
        assert_eq!(map.keyspace_named("system").unwrap().id, KeyspaceId::SYSTEM);
        map.keyspaces.push(Keyspace {
            id: KeyspaceId::new(7),
            name: "gone".into(),
            deleted: true,
            ..Keyspace::system()
        });
        for name in ["gone", "orders"] {
            let fault = map.keyspace_named(name).unwrap_err();
            assert!(fault.code == Code::NotFound && fault.is_not_executed(), "{fault}");
            assert!(fault.message.contains(name), "{fault}");
        }
    }
}
