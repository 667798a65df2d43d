//! Manifests of databases that fit on two cores.

use serde_json::{Value, json};

/// The shortest election timeout here. Ten nodes, three kubelets and whoever
/// writes share two cores: with the default of 150 ms, leaders would now and
/// then be deposed for nothing but waiting for a core.
pub const ELECTION_TIMEOUT_MILLISECONDS: u64 = 1_000;

/// Class of volumes that have a size and can grow.
pub const SIZED: &str = "sized";
/// Class of volumes that have a size and cannot grow.
pub const FIXED: &str = "fixed";

/// A DougCluster, of one cluster of three nodes unless told otherwise.
#[derive(Clone, Debug)]
pub struct Manifest(Value);

impl Manifest {
    /// A database of that name.
    pub fn new(name: &str) -> Self {
        Self(json!({
            "apiVersion": "dougdb.io/v1alpha1",
            "kind": "DougCluster",
            "metadata": {"name": name},
            "spec": {
                "partitioning": {"hash": {"partitions": 2}},
                "clusters": [{"name": "a", "nodes": 3}],
                "node": {
                    "storage": {"size": "1Gi"},
                    "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}},
                    "config": {
                        "electionTimeoutMilliseconds": ELECTION_TIMEOUT_MILLISECONDS,
                        "memoryBudget": "64Mi",
                        "logLimit": "64Mi",
                    },
                },
                "facade": {
                    "replicas": 2,
                    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                },
            },
        }))
    }

    /// Its clusters, by name and number of nodes.
    #[must_use]
    pub fn clusters(mut self, clusters: &[(&str, u32)]) -> Self {
        let cluster = |(name, nodes): &(&str, u32)| json!({"name": name, "nodes": nodes});
        self.0["spec"]["clusters"] = clusters.iter().map(cluster).collect();
        self
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.0["spec"]["partitioning"]["hash"]["partitions"] = count.into();
        self
    }

    /// Volumes of this class and size, instead of the default class.
    #[must_use]
    pub fn storage(self, class: &str, size: &str) -> Self {
        self.with("/node/storage", json!({"className": class, "size": size}))
    }

    /// Sets anything, by JSON pointer below `spec`.
    ///
    /// # Panics
    /// When the parent of what is pointed at is not there.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        let parent = self.0["spec"].pointer_mut(parent).expect("the parent is there");
        parent[field] = value;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// How many nodes it declares.
    pub fn nodes(&self) -> usize {
        let clusters = self.0["spec"]["clusters"].as_array().into_iter().flatten();
        let nodes = clusters.filter_map(|cluster| cluster["nodes"].as_u64());
        usize::try_from(nodes.sum::<u64>()).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
