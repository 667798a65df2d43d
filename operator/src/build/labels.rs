//! Labels and annotations. Selectors are immutable, so those in them never change.

use crate::names::{CLUSTER, COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME};
use crate::validate::Database;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

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
