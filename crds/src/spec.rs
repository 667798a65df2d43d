//! What a user declares.

use crate::facade::FacadeSpec;
use crate::limits;
use crate::resources::Resources;
use crate::status::DougClusterStatus;
use k8s_openapi::api::core::v1::Toleration;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A DougDB database: partitions, the clusters of nodes that hold them, and a facade in front.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "dougdb.io",
    version = "v1alpha1",
    kind = "DougCluster",
    plural = "dougclusters",
    shortname = "doug",
    category = "dougdb",
    namespaced,
    status = "DougClusterStatus",
    // The number that an autoscaler may change is that of the facades: they keep nothing.
    scale(
        spec_replicas_path = ".spec.facade.replicas",
        status_replicas_path = ".status.facade.replicas",
        label_selector_path = ".status.facade.selector"
    ),
    derive = "PartialEq",
    doc = "A DougDB database: partitions, the clusters of nodes that hold them, and a facade in \
        front.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether every partition takes writes."
    ),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.summary.clusters"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.summary.partitions"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.partitionMap.epoch"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 36 && \
        self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a DougCluster begins names of other objects: give at most 36 \
            lower-case letters, digits and hyphens, beginning with a letter, not ending with a \
            hyphen"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.partitioning.hash) || self.partitioning.hash.partitions >= \
        size(self.clusters)")
        .message("there are fewer partitions than clusters, so that some clusters would hold \
            nothing: declare at least one partition per cluster"),
    validation = Rule::new("!has(self.partitioning.range) || \
        size(self.partitioning.range.splitKeys) + 1 >= size(self.clusters)")
        .message("the split keys make fewer partitions than there are clusters, so that some \
            clusters would hold nothing: n split keys make n + 1 partitions"),
)]
pub struct DougClusterSpec {
    /// The image with `doug`. Default: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::IMAGE))]
    pub image: Option<String>,
    /// Names of Secrets in this namespace with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = limits::NAME)))]
    pub image_pull_secrets: Vec<String>,
    /// When a machine asks the registry for the image. Default: IfNotPresent, or Always for the tag `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// What the operator does for the database.
    #[serde(default)]
    pub mode: Mode,
    /// When pods that run may be taken down, to be made anew in another form. Default: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// What assigns the users that processes run as. Default: OpenShift where the cluster has its SecurityContextConstraints, else Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The addresses of the Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How keys are spread over partitions. Never changes.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("partitioning cannot be changed once the database exists, since partitions cannot \
            be split or merged yet: apply another DougCluster and move the data with `doug dump` \
            and `doug load`"))]
    pub partitioning: Partitioning,
    /// The clusters: each a StatefulSet whose nodes hold the replicas of some partitions.
    #[schemars(length(min = 1, max = limits::CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Vec<ClusterSpec>,
    /// The template of every node.
    pub node: NodeTemplate,
    /// The stateless entrypoint.
    #[serde(default)]
    pub facade: FacadeSpec,
}

/// What the operator does for a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// All that is needed for it to be as declared.
    #[default]
    Running,
    /// Nothing: it only reports. Nodes and facades go on by themselves.
    Paused,
    /// Keeps its volumes, and no pods.
    Hibernated,
}

/// A time, again and again, in which pods that run may be taken down.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When it opens: a cron expression of five fields, for instance `0 2 * * SAT`.
    #[schemars(length(min = 9, max = limits::NAME))]
    pub start: String,
    /// How long it is open, for instance `3h`. 10m to 168h.
    #[schemars(length(min = 2, max = limits::QUANTITY), regex(pattern = "^([0-9]+(h|m|s))+$"))]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]+(h|m|s))+$') || (duration(self) >= \
        duration('10m') && duration(self) <= duration('168h'))")
        .message("a maintenance window lasts 10m to 168h: a few nodes are to be replaced one \
            after the other in it"))]
    pub duration: String,
    /// The time zone of its start, by its name in the IANA database, for instance `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// When a machine asks the registry for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Whenever a container starts.
    Always,
    /// When the machine does not have it.
    IfNotPresent,
    /// Never: it was brought there by other means.
    Never,
}

/// What assigns the users that processes run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Platform {
    /// Nobody: pods ask for user, group and volumes' group 65532.
    Kubernetes,
    /// The namespace has a range of users, from which each pod gets one: pods ask for none.
    OpenShift,
}

/// The addresses of the Services: of the facade's and of those that name nodes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ipFamilies) || size(self.ipFamilies) < 2 || \
    (has(self.ipFamilyPolicy) && self.ipFamilyPolicy != 'SingleStack' && self.ipFamilies[0] != \
    self.ipFamilies[1])")
    .message("two ipFamilies need ipFamilyPolicy PreferDualStack or RequireDualStack, and differ"))]
pub struct Network {
    /// How many kinds of addresses they have. Default: the Kubernetes cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// Which ones, the preferred one first. Default: the Kubernetes cluster's. The first cannot be changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub ip_families: Vec<IpFamily>,
}

/// How many kinds of addresses a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Both, where the Kubernetes cluster has both.
    PreferDualStack,
    /// Both.
    RequireDualStack,
}

/// A kind of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// Such as 10.0.0.7.
    IPv4,
    /// Such as fd00::7.
    IPv6,
}

/// Exactly one of hash and range.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.hash) != has(self.range)")
    .message("declare exactly one of hash and range: hash spreads keys evenly, range keeps \
        neighbours together"))]
pub struct Partitioning {
    /// By the hash of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashPartitioning>,
    /// By the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RangePartitioning>,
}

/// Partitions are equal intervals of the hash.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashPartitioning {
    /// 1 to 4,096, and at least one per cluster.
    #[schemars(range(min = 1, max = limits::PARTITIONS))]
    pub partitions: u32,
    /// Only what precedes the first of these is hashed, so that related keys share a partition. 1 to 16 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub prefix_delimiter: Option<String>,
}

/// Partitions begin at declared keys.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RangePartitioning {
    /// The first key of each partition but the first, sorted by bytes.
    #[schemars(length(max = limits::SPLIT_KEYS), extend("x-kubernetes-list-type" = "atomic"))]
    pub split_keys: Vec<SplitKey>,
}

/// A key of 1 to 64 bytes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.text) != has(self.base64)")
    .message("give a split key as exactly one of text and base64"))]
pub struct SplitKey {
    /// The key as UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::SPLIT_KEY_BYTES))]
    pub text: Option<String>,
    /// The key in base64, for one that is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = limits::SPLIT_KEY_BASE64), regex(pattern = "^[A-Za-z0-9+/]+={0,2}$"))]
    pub base64: Option<String>,
}

/// A cluster: one StatefulSet.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// 1 to 15 lower-case letters and digits.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]+$') && !(self in ['facade', 'nodes'])")
        .message("a cluster's name is 1 to 15 lower-case letters and digits, without hyphens, and \
            not \"facade\" or \"nodes\": it is a part of its StatefulSet's and Service's names"))]
    pub name: String,
    /// How many nodes it has: 3, 5 or 7. Fewer than half of them may fail. May be changed: partitions get voters on the new nodes, or leave the last ones before these go.
    #[serde(default = "five")]
    #[x_kube(validation = Rule::new("self in [3, 5, 7]")
        .message("a cluster has 3, 5 or 7 nodes: an even number could fail no more nodes than \
            the odd one below it"))]
    pub nodes: u32,
}

fn five() -> u32 {
    5
}

/// What every node is made from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeTemplate {
    /// The volume of each node.
    pub storage: Storage,
    /// What each node asks for and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where nodes run.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// A node that has been silent this long is replaced by a new one with an empty volume, for instance `10m`. At least a minute. Absent: only when told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = limits::QUANTITY), regex(pattern = "^([0-9]+(h|m|s))+$"))]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]+(h|m|s))+$') || duration(self) >= \
        duration('1m')")
        .message("replaceAfter is less than a minute, which a restart may take: give more, or \
            leave it out to replace nodes only when told"))]
    pub replace_after: Option<String>,
    /// Settings of `doug node`.
    #[serde(default)]
    pub config: NodeConfig,
    /// What is merged over the nodes' pods, by strategic merge: labels, annotations, and any field of a pod that the operator need not own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::template::node")]
    pub pod_template: Option<serde_json::Value>,
    /// Annotations of the nodes' ServiceAccount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::template::annotations")]
    pub service_account_annotations: BTreeMap<String, String>,
}

/// A node's volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.className) == has(oldSelf.className) && \
    (!has(self.className) || self.className == oldSelf.className)")
    .message("the storage class of a database cannot be changed: volumes do not move between \
        classes"))]
pub struct Storage {
    /// Its size, for instance `20Gi`. May grow where the class can expand volumes; never shrinks.
    #[schemars(length(min = 1, max = limits::QUANTITY))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= \
            0")
            .message("the size of a volume is a quantity of at least 64Mi, for instance 20Gi"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || \
            quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("volumes cannot shrink: leave the size, or make it greater"),
    )]
    pub size: String,
    /// The StorageClass. Default: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::NAME))]
    pub class_name: Option<String>,
    /// What becomes of the volumes when the DougCluster is deleted.
    #[serde(default)]
    pub when_deleted: WhenDeleted,
}

/// What becomes of volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenDeleted {
    /// They stay, and the DougCluster applied again finds its data.
    #[default]
    Retain,
    /// They are deleted, with the data.
    Delete,
}

/// Where pods run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Whether the nodes of a cluster spread over the machines.
    #[serde(default)]
    pub spread: Spread,
    /// What else the nodes of a cluster spread over. Default: zones, preferred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub topology: Vec<Topology>,
    /// Only machines with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Also machines with these taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// The pods' PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::NAME))]
    pub priority_class_name: Option<String>,
}

/// Machines with the same value of a label are one domain; nodes spread evenly over domains.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The label, for instance `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = limits::NAME))]
    #[x_kube(validation = Rule::new("self != 'kubernetes.io/hostname'")
        .message("how nodes spread over machines is said by scheduling.spread"))]
    pub key: String,
    /// What becomes of a node that fits nowhere without more imbalance than `maxSkew`.
    #[serde(default)]
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// By how many nodes of a cluster one domain may have more than another.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 7))]
    pub max_skew: u32,
    /// At least so many domains, or a node waits. Only with `DoNotSchedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub min_domains: Option<u32>,
}

fn one() -> u32 {
    1
}

/// What becomes of a node that fits nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// It runs where the imbalance is least.
    #[default]
    ScheduleAnyway,
    /// It waits.
    DoNotSchedule,
}

/// How strictly the nodes of a cluster are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Spread {
    /// As evenly over machines and zones as there is room.
    #[default]
    Preferred,
    /// Never two on one machine; a node that finds none waits.
    Required,
    /// Wherever the scheduler likes.
    None,
}

/// Settings of `doug node`; what is left out is its default.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// The shortest election timeout; the longest is twice that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60_000))]
    pub election_timeout_milliseconds: Option<u32>,
    /// How long a partition is idle before its replicas stop sending heartbeats for it. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600_000))]
    pub quiesce_after_milliseconds: Option<u32>,
    /// Memory of a node, the program itself included, for instance `512Mi`. At least 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::QUANTITY))]
    #[x_kube(validation = Rule::new("isQuantity(self) && \
        quantity(self).compareTo(quantity('64Mi')) >= 0")
        .message("memoryBudget is a quantity of at least 64Mi, for instance 512Mi"))]
    pub memory_budget: Option<String>,
    /// Most bytes of log on the volume, for instance `512Mi`. At least 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::QUANTITY))]
    #[x_kube(validation = Rule::new("isQuantity(self) && \
        quantity(self).compareTo(quantity('64Mi')) >= 0")
        .message("logLimit is a quantity of at least 64Mi, for instance 512Mi"))]
    pub log_limit: Option<String>,
}
