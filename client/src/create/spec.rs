//! What a user declares.

use base64::Engine;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::{History, Ports};
use doug_proto::quote;
use doug_proto::routing::Routing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Most split keys of range routing.
const SPLIT_KEYS: usize = 1_023;
/// Longest split key, in bytes.
const SPLIT_KEY_BYTES: usize = 64;
/// Most clusters of a database.
const CLUSTERS: usize = 64;
/// Longest name of a cluster, in characters.
const CLUSTER_NAME: usize = 15;
/// Longest history.
const RETAIN_SECONDS: u64 = 365 * 24 * 3_600;
/// Fewest bytes of a history: below, its floor would rise with every batch.
const HISTORY_BYTES: u64 = 1 << 20;

/// A database to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// How keys are spread over partitions; never changes afterwards.
    pub partitioning: Partitioning,
    /// The clusters and their nodes, 1 to 64.
    pub clusters: Vec<ClusterSpec>,
    /// How long old versions of the keys of `default` stay readable; absent: 10 minutes, within
    /// 256 MiB a partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySpec>,
}

/// How long old versions stay readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistorySpec {
    /// For so long after they were written over, at most a year. 0: no longer than reads need that
    /// have begun.
    pub retain_seconds: u64,
    /// While the log of a partition has grown by no more than so many bytes since, at least 1 MiB.
    pub max_bytes: u64,
}

/// Exactly one of hash and range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partitioning {
    /// By hash of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashSpec>,
    /// By the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeSpec>,
}

/// Hash partitioning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HashSpec {
    /// 1 to 4,096, and at least one per cluster.
    pub partitions: u64,
    /// Only what precedes the first of these (1 to 16 bytes) is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_delimiter: Option<String>,
}

/// Range partitioning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RangeSpec {
    /// First key of each partition but the first; ascending, at most 1,023.
    #[serde(default)]
    pub split_keys: Vec<SplitKey>,
}

/// A key of 1 to 64 bytes, as text or base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitKey {
    /// The key as UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The key in base64, for one that is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A cluster to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// 1 to 15 letters and digits, and not `facade`.
    pub name: String,
    /// Its nodes: 1, 3, 5 or 7. One node alone is for trials.
    pub nodes: Vec<NodeSpec>,
}

/// A bare node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// For people; by default the cluster's name and the place in its list, `a-0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Host name or IP address, without port.
    pub address: String,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortsSpec>,
}

/// The ports of a node; what is left out is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PortsSpec {
    /// Clients: `Doug`.
    pub doug: u16,
    /// Nodes: `Raft`.
    pub raft: u16,
    /// Operators: `Admin`.
    pub admin: u16,
    /// Probes and metrics.
    pub http: u16,
}

impl Default for PortsSpec {
    fn default() -> Self {
        let Ports { doug, raft, admin, http } = Ports::default();
        Self { doug, raft, admin, http }
    }
}

impl NodeSpec {
    /// Its ports, defaults filled in.
    pub fn ports(&self) -> Ports {
        let PortsSpec { doug, raft, admin, http } = self.ports.unwrap_or_default();
        Ports { doug, raft, admin, http }
    }
}

impl Spec {
    /// Checks everything that can be checked without asking a node.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: the first thing that is wrong, and the remedy.
    pub fn validate(&self) -> Result<(), Fault> {
        if self.clusters.is_empty() || self.clusters.len() > CLUSTERS {
            let count = self.clusters.len();
            return refuse(format!("{count} clusters are declared: declare 1 to {CLUSTERS}"));
        }
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for cluster in &self.clusters {
            cluster.validate()?;
            if !names.insert(&cluster.name) {
                return refuse(format!("cluster {} is declared twice", quote::text(&cluster.name)));
            }
            for node in &cluster.nodes {
                let admin = (&node.address, node.ports().admin);
                if node.address.is_empty() {
                    return refuse(format!(
                        "a node of cluster {} has no address",
                        quote::text(&cluster.name)
                    ));
                }
                if !addresses.insert(admin) {
                    return refuse(format!("node {}:{} is declared twice", admin.0, admin.1));
                }
            }
        }
        self.history()?;
        let partitions = self.starts()?.len();
        if partitions < self.clusters.len() {
            let clusters = self.clusters.len();
            return refuse(format!(
                "{partitions} partitions cannot be spread over {clusters} clusters: \
                 declare at least one partition per cluster"
            ));
        }
        Ok(())
    }

    /// How long old versions of the keys of `default` stay readable.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for more or less than is allowed.
    pub fn history(&self) -> Result<History, Fault> {
        let Some(HistorySpec { retain_seconds, max_bytes }) = self.history else {
            return Ok(History::default());
        };
        if retain_seconds > RETAIN_SECONDS {
            return refuse(format!(
                "history.retainSeconds is {retain_seconds}: declare at most {RETAIN_SECONDS}, a year"
            ));
        }
        if max_bytes < HISTORY_BYTES {
            return refuse(format!(
                "history.maxBytes is {max_bytes}: declare at least {HISTORY_BYTES}, or \
                 retainSeconds: 0 for no history"
            ));
        }
        Ok(History { retain: Duration::from_secs(retain_seconds), max_bytes })
    }

    /// The routing of the map.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` unless exactly one of hash and range is declared.
    pub fn routing(&self) -> Result<Routing, Fault> {
        match (&self.partitioning.hash, &self.partitioning.range) {
            (Some(hash), None) => {
                let prefix_delimiter = match &hash.prefix_delimiter {
                    None => Bytes::new(),
                    Some(text) if text.is_empty() || text.len() > limits::DELIMITER_BYTES => {
                        let most = limits::DELIMITER_BYTES;
                        return refuse(format!(
                            "prefixDelimiter has {} bytes: give 1 to {most}, or leave it out",
                            text.len()
                        ));
                    }
                    Some(text) => Bytes::copy_from_slice(text.as_bytes()),
                };
                Ok(Routing::Hash { prefix_delimiter })
            }
            (None, Some(_)) => Ok(Routing::Range),
            _ => refuse("partitioning must have exactly one of hash and range".to_owned()),
        }
    }

    /// Where each partition starts, the first at the empty bytes.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a count or split keys beyond what is allowed.
    pub fn starts(&self) -> Result<Vec<Bytes>, Fault> {
        self.routing()?;
        if let Some(hash) = &self.partitioning.hash {
            let (count, most) = (hash.partitions, limits::PARTITIONS);
            if count == 0 || count > most {
                return refuse(format!("{count} partitions are declared: declare 1 to {most}"));
            }
            return Ok((0..count).map(|i| Routing::hash_start(i, count)).collect());
        }
        let keys = self.partitioning.range.iter().flat_map(|range| &range.split_keys);
        let mut starts = vec![Bytes::new()];
        for key in keys {
            let key = key.bytes()?;
            if starts.last().is_some_and(|last| *last >= key) {
                return refuse(format!(
                    "split key {} does not come after the one before it: sort them by bytes, \
                     each once",
                    quote::bytes(&key)
                ));
            }
            starts.push(key);
        }
        if starts.len() > SPLIT_KEYS + 1 {
            let count = starts.len() - 1;
            return refuse(format!("{count} split keys are declared: at most {SPLIT_KEYS}"));
        }
        Ok(starts)
    }
}

impl ClusterSpec {
    fn validate(&self) -> Result<(), Fault> {
        let name = &self.name;
        let letters = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !letters || name.len() > CLUSTER_NAME || name == "facade" {
            return refuse(format!(
                "{} cannot name a cluster: give 1 to {CLUSTER_NAME} letters and digits, \
                 not \"facade\"",
                quote::text(name)
            ));
        }
        match self.nodes.len() {
            1 | 3 | 5 | 7 => Ok(()),
            count => refuse(format!(
                "cluster {} has {count} nodes: declare 3, 5 or 7 (or 1, for a trial)",
                quote::text(name)
            )),
        }
    }
}

impl SplitKey {
    /// The key.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` unless exactly one form is given, of 1 to 64 bytes.
    pub fn bytes(&self) -> Result<Bytes, Fault> {
        let key = match (&self.text, &self.base64) {
            (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(encoded)) => base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|error| {
                    Fault::invalid(format!(
                        "split key {} is not base64: {error}",
                        quote::text(encoded)
                    ))
                })?
                .into(),
            _ => return refuse("a split key must have exactly one of text and base64".to_owned()),
        };
        if key.is_empty() || key.len() > SPLIT_KEY_BYTES {
            let length = key.len();
            return refuse(format!("a split key has {length} bytes: give 1 to {SPLIT_KEY_BYTES}"));
        }
        Ok(key)
    }
}

fn refuse<T>(message: String) -> Result<T, Fault> {
    Err(Fault::invalid(message))
}
