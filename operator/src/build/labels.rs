//! Labels and annotations. Selectors are immutable, so those in them never change.

use crate::validate::Database;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

/// What the program is: `dougdb`.
pub const NAME: &str = "app.kubernetes.io/name";
/// Which DougCluster an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// `node` or `facade`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Which cluster of the database a node belongs to.
pub const CLUSTER: &str = "dougdb.io/cluster";
/// What a pod was made from, as far as it matters for restarting it.
pub const TEMPLATE_HASH: &str = "dougdb.io/template-hash";
/// What begins the labels and annotations by which the operator works.
pub const OWN_PREFIX: &str = "dougdb.io/";
/// The other labels by which pods are selected.
pub const OWN_LABELS: [&str; 3] = [NAME, INSTANCE, COMPONENT];
/// The value of [`MANAGED_BY`], and the field manager of every apply.
pub const MANAGER: &str = "dougdb-operator";

/// The labels by which pods of one component are selected.
pub fn component(database: &str, component: &str) -> Value {
    json!({NAME: "dougdb", INSTANCE: database, COMPONENT: component})
}

/// The labels by which the nodes of one cluster are selected.
pub fn cluster(database: &Database, cluster: &str) -> Value {
    let mut labels = component(&database.name, "node");
    labels[CLUSTER] = cluster.into();
    labels
}

/// Selects what belongs to nodes.
pub const COMPONENT_NODE: &str = "app.kubernetes.io/component=node";

/// Whether a pod is a facade.
pub fn is_facade(pod: &Pod) -> bool {
    pod.labels().get(COMPONENT).is_some_and(|component| component == "facade")
}

/// A label selector for everything of one database.
pub fn instance_selector(database: &str) -> String {
    format!("{NAME}=dougdb,{INSTANCE}={database}")
}

/// A label selector for the facades of one database.
pub fn facade_selector(database: &str) -> String {
    format!("{},{COMPONENT}=facade", instance_selector(database))
}

/// Name and labels of an object.
pub fn metadata(database: &Database, name: &str, part: &str) -> Value {
    let mut labels = component(&database.name, part);
    labels[MANAGED_BY] = MANAGER.into();
    json!({"name": name, "labels": labels})
}

/// The same for an object of one cluster.
pub fn cluster_metadata(database: &Database, name: &str, cluster: &str) -> Value {
    let mut metadata = metadata(database, name, "node");
    metadata["labels"][CLUSTER] = cluster.into();
    metadata
}
