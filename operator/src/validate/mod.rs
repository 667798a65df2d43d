//! What is declared, checked: everything after this phase may rely on it.
//!
//! Most of what is wrong is refused by the API server already. It cannot decode
//! base64 or compare memory with memory, and a definition may be older than
//! this program, so nothing is taken for granted here.

mod quantity;

pub use quantity::bytes;

use crate::duration::parse_duration;
use crate::maintenance::Windows;
use crate::names::RESTARTED_AT;
use crate::overrides::{Component, Overrides};
use doug_client::create::{self as plan, NodeSpec};
use doug_crds::{
    ClusterSpec, DougCluster, DougClusterSpec, Partitioning, Resources, WhenUnsatisfiable,
};
use kube::ResourceExt;
use std::collections::BTreeSet;
use std::time::Duration;

/// Shortest patience with a silent node: a restart may take that long.
const LEAST_REPLACE_AFTER: Duration = Duration::from_secs(60);
/// Longest name of a DougCluster: names of pods are made from it.
const NAME: usize = 36;

/// A declared database that can work.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Name of the DougCluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid, by which it owns objects.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// The image declared, if any.
    pub image: Option<String>,
    /// What was declared.
    pub spec: DougClusterSpec,
    /// What was declared in words as a size.
    pub sizes: Sizes,
    /// How long a node may be silent before it is replaced unasked.
    pub replace_after: Option<Duration>,
    /// When pods that run may be taken down, to be made anew in another form.
    pub maintenance: Windows,
    /// When someone last asked for every pod to be made anew; whatever was written there.
    pub restarted_at: Option<String>,
    /// What is merged over the pods of nodes.
    pub node_pods: Overrides,
    /// What is merged over the pods of the facade.
    pub facade_pods: Overrides,
}

/// Declared sizes, in bytes; none where the program's own default counts. Whoever needs one takes
/// it from here: a text that is read once more could be dropped where it does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of a node's volume.
    pub storage: u64,
    /// Of a node's log, at most.
    pub log_limit: Option<u64>,
    /// What a node may use for its data in memory.
    pub node_memory: Option<u64>,
    /// What a facade may use for requests and answers under way.
    pub facade_memory: Option<u64>,
}

impl Sizes {
    fn parse(spec: &DougClusterSpec) -> Result<Self, String> {
        let config = &spec.node.config;
        let declared = |field: &str, text: &Option<String>| {
            text.as_deref().map(|text| quantity(field, text)).transpose()
        };
        Ok(Self {
            storage: quantity("node.storage.size", &spec.node.storage.size)?,
            log_limit: declared("node.config.logLimit", &config.log_limit)?,
            node_memory: declared("node.config.memoryBudget", &config.memory_budget)?,
            facade_memory: declared("facade.memoryBudget", &spec.facade.memory_budget)?,
        })
    }
}

/// A node as declared: its place, not its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The cluster.
    pub cluster: String,
    /// Its ordinal in the StatefulSet.
    pub ordinal: u32,
}

impl Place {
    /// The name for people, `a-0`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.cluster, self.ordinal)
    }
}

impl Database {
    /// Name of a cluster's StatefulSet and headless Service.
    pub fn set_name(&self, cluster: &str) -> String {
        format!("{}-{cluster}", self.name)
    }

    /// Name of the facade's Deployment and Service.
    pub fn facade_name(&self) -> String {
        format!("{}-facade", self.name)
    }

    /// Name of what is of all nodes: their Service and NetworkPolicy.
    pub fn nodes_name(&self) -> String {
        format!("{}-nodes", self.name)
    }

    /// Name of the Secret with the token of Raft and Admin streams.
    pub fn token_name(&self) -> String {
        format!("{}-token", self.name)
    }

    /// Name of a node's pod.
    pub fn pod_name(&self, place: &Place) -> String {
        format!("{}-{}", self.set_name(&place.cluster), place.ordinal)
    }

    /// Name of a node's claim.
    pub fn claim_name(&self, place: &Place) -> String {
        format!("data-{}", self.pod_name(place))
    }

    /// The host name under which others reach a node.
    pub fn address(&self, place: &Place) -> String {
        let set = self.set_name(&place.cluster);
        format!("{}.{set}.{}.svc", self.pod_name(place), self.namespace)
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        let port = self.spec.facade.service.port;
        format!("{}.{}.svc:{port}", self.facade_name(), self.namespace)
    }

    /// Every declared node, cluster by cluster.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.spec.clusters.iter().flat_map(|cluster| {
            (0..cluster.nodes).map(|ordinal| Place { cluster: cluster.name.clone(), ordinal })
        })
    }

    /// Whether a node is declared.
    pub fn declares(&self, place: &Place) -> bool {
        let mut clusters = self.spec.clusters.iter();
        clusters.any(|c| c.name == place.cluster && place.ordinal < c.nodes)
    }

    /// What is to be created, in the words of a creation on bare nodes.
    pub fn creation(&self) -> plan::Spec {
        self.creation_of(|cluster| cluster.nodes)
    }

    /// The same with other numbers of nodes than those declared.
    pub fn creation_of(&self, nodes: impl Fn(&ClusterSpec) -> u32) -> plan::Spec {
        let clusters = self.spec.clusters.iter().map(|cluster| plan::ClusterSpec {
            name: cluster.name.clone(),
            nodes: (0..nodes(cluster))
                .map(|ordinal| self.creation_node(&cluster.name, ordinal))
                .collect(),
        });
        plan::Spec {
            partitioning: partitioning(&self.spec.partitioning),
            clusters: clusters.collect(),
            history: None,
        }
    }

    fn creation_node(&self, cluster: &str, ordinal: u32) -> NodeSpec {
        let place = Place { cluster: cluster.to_owned(), ordinal };
        NodeSpec { name: Some(place.name()), address: self.address(&place), ports: None }
    }
}

fn partitioning(declared: &Partitioning) -> plan::Partitioning {
    plan::Partitioning {
        hash: declared.hash.as_ref().map(|hash| plan::HashSpec {
            partitions: u64::from(hash.partitions),
            prefix_delimiter: hash.prefix_delimiter.clone(),
        }),
        range: declared.range.as_ref().map(|range| plan::RangeSpec {
            split_keys: range
                .split_keys
                .iter()
                .map(|key| plan::SplitKey { text: key.text.clone(), base64: key.base64.clone() })
                .collect(),
        }),
    }
}

/// Checks a DougCluster.
///
/// # Errors
/// The first thing that is wrong, as a sentence with the remedy.
pub fn validate(cluster: &DougCluster) -> Result<Database, String> {
    let spec = cluster.spec.clone();
    let database = Database {
        name: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        uid: cluster.uid().unwrap_or_default(),
        generation: cluster.metadata.generation.unwrap_or_default(),
        image: spec.image.clone(),
        sizes: Sizes::parse(&spec)?,
        replace_after: replace_after(spec.node.replace_after.as_deref())?,
        maintenance: Windows::parse(&spec.maintenance_windows)?,
        restarted_at: cluster.annotations().get(RESTARTED_AT).cloned(),
        node_pods: Overrides::parse(Component::Node, spec.node.pod_template.as_ref())?,
        facade_pods: Overrides::parse(Component::Facade, spec.facade.pod_template.as_ref())?,
        spec,
    };
    check_name(&database.name)?;
    check_clusters(&database)?;
    database.creation().validate().map_err(|fault| fault.message)?;
    check_storage(&database)?;
    check_memory(&database)?;
    check_scheduling(&database)?;
    Ok(database)
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = name.len() <= NAME
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot name a DougCluster, since names of other objects begin with it: give at \
         most {NAME} lower-case letters, digits and hyphens, beginning with a letter and not \
         ending with a hyphen"
    ))
}

fn check_clusters(database: &Database) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for cluster in &database.spec.clusters {
        let name = &cluster.name;
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("cluster {name:?} has upper-case letters: Kubernetes allows none"));
        }
        if name == "nodes" {
            return Err("a cluster cannot be named \"nodes\": the Service of all nodes has that \
                name. Give it another"
                .to_owned());
        }
        if !seen.insert(name) {
            return Err(format!("cluster {name:?} is declared twice: give each its own name"));
        }
        if ![3, 5, 7].contains(&cluster.nodes) {
            return Err(format!(
                "cluster {name:?} has {} nodes: declare 3, 5 or 7, of which fewer than half may \
                 fail",
                cluster.nodes
            ));
        }
    }
    Ok(())
}

fn replace_after(text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let wrong =
        || format!("node.replaceAfter {text:?} is no duration: write for instance 10m or 1h30m");
    let duration = parse_duration(text).ok_or_else(wrong)?;
    if duration < LEAST_REPLACE_AFTER {
        return Err(format!(
            "node.replaceAfter is {text}, and a restart may take longer: give at least 1m, or \
             leave it out to replace nodes only when told"
        ));
    }
    Ok(Some(duration))
}

fn check_storage(database: &Database) -> Result<(), String> {
    let log = database.sizes.log_limit.unwrap_or(DEFAULT_LOG_LIMIT);
    let least = log.saturating_mul(3) / 2;
    if database.sizes.storage < least {
        return Err(format!(
            "node.storage.size is {}, and the log alone may take {}: give at least {} or a \
             smaller node.config.logLimit",
            database.spec.node.storage.size,
            mebibytes(log),
            mebibytes(least)
        ));
    }
    Ok(())
}

/// What `doug node` uses unless told otherwise.
const DEFAULT_LOG_LIMIT: u64 = 512 << 20;
const DEFAULT_NODE_BUDGET: u64 = 512 << 20;
const DEFAULT_FACADE_BUDGET: u64 = 256 << 20;

/// A process that may use more memory than its container ends by being killed.
fn check_memory(database: &Database) -> Result<(), String> {
    let node = &database.spec.node;
    let facade = &database.spec.facade;
    let budgets = [
        (
            "node.config.memoryBudget",
            database.sizes.node_memory.unwrap_or(DEFAULT_NODE_BUDGET),
            "node",
            &node.resources,
        ),
        (
            "facade.memoryBudget",
            database.sizes.facade_memory.unwrap_or(DEFAULT_FACADE_BUDGET),
            "facade",
            &facade.resources,
        ),
    ];
    for (field, budget, of, resources) in budgets {
        let Some(resources) = resources else { continue };
        check_resources(of, resources)?;
        let Some(limit) = resources.limits.get("memory") else { continue };
        if quantity(&format!("{of}.resources.limits.memory"), limit)? < budget {
            return Err(format!(
                "{of}.resources.limits.memory is {limit}, less than {field} ({}): such a process \
                 is killed as soon as it uses its budget; raise the limit or lower the budget",
                mebibytes(budget)
            ));
        }
    }
    Ok(())
}

fn check_resources(of: &str, resources: &Resources) -> Result<(), String> {
    for (kind, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (name, amount) in amounts {
            let known = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str());
            if !known {
                return Err(format!(
                    "{of}.resources.{kind} names {name:?}: give cpu, memory or ephemeral-storage"
                ));
            }
            quantity(&format!("{of}.resources.{kind}.{name}"), amount)?;
        }
    }
    for (name, request) in &resources.requests {
        if let Some(limit) = resources.limits.get(name)
            && quantity::thousandths(request) > quantity::thousandths(limit)
        {
            return Err(format!(
                "{of}.resources requests {request} of {name} and limits it to {limit}: a request \
                 may not exceed its limit"
            ));
        }
    }
    Ok(())
}

fn check_scheduling(database: &Database) -> Result<(), String> {
    for topology in &database.spec.node.scheduling.topology {
        let waits = topology.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule;
        if topology.min_domains.is_some() && !waits {
            return Err(format!(
                "node.scheduling.topology of {:?} has minDomains, which counts only where a node \
                 waits: set whenUnsatisfiable to DoNotSchedule, or leave minDomains out",
                topology.key
            ));
        }
    }
    for toleration in &database.spec.node.scheduling.tolerations {
        let exists = toleration.operator.as_deref() == Some("Exists");
        if exists && toleration.value.as_deref().is_some_and(|value| !value.is_empty()) {
            return Err(
                "a toleration with operator Exists has a value: leave the value out, or use Equal"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

fn quantity(field: &str, text: &str) -> Result<u64, String> {
    bytes(text).ok_or_else(|| {
        format!("{field} {text:?} is no quantity: write for instance 512Mi, 20Gi or, for cpu, 500m")
    })
}

fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests;
