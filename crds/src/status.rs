//! What the operator publishes.

use crate::limits;
use crate::map::StatusMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is. Written only when it changes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DougClusterStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The id of the database, as its volumes have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub database_id: Option<String>,
    /// The version that every node runs; the oldest, while they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub endpoint: Option<String>,
    /// Numbers for the printed columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The facades that there are, as the scale subresource gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facade: Option<FacadeStatus>,
    /// Ready, Available, Progressing and Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Every declared node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::NODES), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub nodes: Vec<NodeStatus>,
    /// Which of several installed operators looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Caretaker>,
    /// What is being created, written before the first call to a node: until every partition has committed, it alone says what the database is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("what is being created cannot change: two creations would make two databases"))]
    pub creation: Option<Creation>,
    /// The partition map, as facades read it: a cache that is rebuilt from the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    #[x_kube(validation = Rule::new("self.epoch >= oldSelf.epoch")
        .message("the epoch of the partition map never falls"))]
    pub partition_map: Option<StatusMap>,
}

/// Numbers for the printed columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Declared clusters.
    pub clusters: u32,
    /// Partitions of the database.
    pub partitions: u32,
    /// Declared nodes.
    pub nodes: u32,
    /// Nodes whose every replica has caught up.
    pub ready_nodes: u32,
}

/// The operator that looks after a database, of those that are installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Caretaker {
    /// Namespace and name of its Lease.
    #[schemars(length(max = 320))]
    pub name: String,
    /// Another one that is to look after it, too, and stands back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival: Option<Rival>,
}

/// One that stands back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    /// Namespace and name of its Lease.
    #[schemars(length(max = 320))]
    pub name: String,
    /// When it last asked whether the other is there.
    #[schemars(length(max = 40))]
    pub asked: String,
    /// Whether the other has answered.
    #[serde(default)]
    pub answered: bool,
}

/// The pods of the facade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FacadeStatus {
    /// How many there are.
    pub replicas: i32,
    /// How many of them are ready.
    pub ready_replicas: i32,
    /// What selects them, for an autoscaler that looks at their load.
    #[schemars(length(max = 200))]
    pub selector: String,
}

/// One declared node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its cluster and ordinal: `a-0`.
    #[schemars(length(max = 32))]
    pub name: String,
    /// The id on its volume, once it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub id: Option<String>,
    /// What it is doing.
    pub state: NodeState,
    /// The version it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Why, where the state is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MESSAGE))]
    pub message: Option<String>,
    /// Since when it does not answer, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub silent_since: Option<String>,
    /// What is being taken away from it, since it is replaced: written before that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacing: Option<Replacing>,
}

/// The volume of a node that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replacing {
    /// The id on it.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub id: String,
    /// The uid of its claim; one of another uid is its successor.
    #[schemars(length(max = 64))]
    pub claim: String,
}

/// A node's state in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeState {
    /// Its pod does not exist or does not run yet.
    #[default]
    Pending,
    /// Its pod runs and replays its log.
    Starting,
    /// Its volume is empty, and it waits to be told what it is.
    Empty,
    /// It runs, and some replica has not caught up since the start.
    CatchingUp,
    /// Every replica has caught up.
    Ready,
    /// It does not answer.
    Unreachable,
}

/// What is being created, and from which nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Creation {
    /// The id that the database gets.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub database_id: String,
    /// The declared nodes, all of which had answered that their volumes are empty.
    #[schemars(length(min = 1, max = limits::NODES), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub nodes: Vec<CreationNode>,
}

/// A node of a creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationNode {
    /// Its cluster and ordinal: `a-0`.
    #[schemars(length(max = 32))]
    pub name: String,
    /// The id on its volume.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub id: String,
}
