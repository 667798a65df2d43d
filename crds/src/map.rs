//! The partition map as the status holds it: the same document as a map file.
//! `doug_proto::map` writes and reads it; these types are its schema.

use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the database consists of, with an epoch: its keyspaces `system` and `default`,
/// its clusters and nodes, and the partitions of these keyspaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusMap {
    /// The format of this document.
    pub format_version: u32,
    /// The database.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub database_id: String,
    /// Rises with each change.
    pub epoch: u64,
    /// The keyspaces, sorted by id.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub keyspaces: Vec<MapKeyspace>,
    /// The clusters and how many nodes each is to have, sorted by name.
    #[schemars(length(max = limits::CLUSTERS), extend("x-kubernetes-list-type" = "atomic"))]
    pub clusters: Vec<MapCluster>,
    /// The nodes and where they are.
    #[schemars(length(max = limits::NODES), extend("x-kubernetes-list-type" = "atomic"))]
    pub nodes: Vec<MapNode>,
    /// Sorted by keyspace and start; each ends where the next one starts.
    #[schemars(length(min = 1, max = limits::PARTITIONS + 1), extend("x-kubernetes-list-type" = "atomic"))]
    pub partitions: Vec<MapPartition>,
}

impl StatusMap {
    /// The partitions of the keyspace `default`, which `spec.partitioning` declares.
    pub fn of_default(&self) -> impl Iterator<Item = &MapPartition> {
        self.partitions.iter().filter(|partition| partition.keyspace.is_none())
    }
}

/// A named set of keys with a routing and partitions of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapKeyspace {
    /// 0: the catalog; 1: where requests go that name no keyspace.
    pub id: u64,
    /// Its name.
    #[schemars(length(max = limits::NAME))]
    pub name: String,
    /// How its keys become routing bytes.
    pub routing: MapRouting,
    /// Rises with each change of the entry.
    pub generation: u64,
    /// Marked as deleted: refused, until it is undeleted or gone for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// A cluster as it was declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapCluster {
    /// Its name.
    #[schemars(length(max = 15))]
    pub name: String,
    /// How many nodes it is to have.
    pub nodes: u32,
    /// Epoch of the map in which this entry was last changed, unless it is the map's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Exactly one of hash and range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapRouting {
    /// By the hash of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<MapHash>,
    /// By the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<MapRange>,
}

/// Routing by hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapHash {
    /// Only what precedes the first of these is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub prefix_delimiter: Option<String>,
    /// The same in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub prefix_delimiter_base64: Option<String>,
}

/// Routing by the key itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MapRange {}

/// A node and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapNode {
    /// Its id.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub id: String,
    /// Its cluster and ordinal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub name: String,
    /// Its cluster.
    #[schemars(length(max = 15))]
    pub cluster: String,
    /// Host name, without port.
    #[schemars(length(max = limits::NAME))]
    pub address: String,
    /// Where it listens, unless on the usual ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<MapPorts>,
    /// Epoch of the map in which this entry was last changed, unless it is the map's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// The ports of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MapPorts {
    /// Clients.
    pub doug: u16,
    /// Nodes.
    pub raft: u16,
    /// The operator.
    pub admin: u16,
    /// Probes and metrics.
    pub http: u16,
}

/// A partition's descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapPartition {
    /// From 1, unique in the database.
    pub id: u64,
    /// Id of its keyspace; absent for `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyspace: Option<u64>,
    /// First routing bytes in hexadecimal, inclusive; empty for the first partition.
    #[schemars(length(max = 128), regex(pattern = "^[0-9a-f]*$"))]
    pub start: String,
    /// Rises with every change of the descriptor.
    pub generation: u64,
    /// The cluster that holds it.
    #[schemars(length(max = 15))]
    pub cluster: String,
    /// Nodes that vote, in order of preference for the leadership.
    #[schemars(length(max = limits::MEMBERS), inner(length(max = 12)), extend("x-kubernetes-list-type" = "atomic"))]
    pub voters: Vec<String>,
    /// Nodes that only follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MEMBERS), inner(length(max = 12)), extend("x-kubernetes-list-type" = "atomic"))]
    pub learners: Vec<String>,
    /// Partitions it was split from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub parents: Vec<u64>,
    /// Voters being left behind by a change of members under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MEMBERS), inner(length(max = 12)), extend("x-kubernetes-list-type" = "atomic"))]
    pub outgoing: Vec<String>,
}
