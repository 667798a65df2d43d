//! Labels and annotations. Selectors are immutable, so those in them never change.

use crate::names::{CLUSTER, COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME};
use crate::validate::Database;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// Labels by their names.
pub type Labels = BTreeMap<String, String>;

/// The labels by which pods of one component are selected.
pub fn component(database: &str, component: &str) -> Labels {
    let labels = [(NAME, "dougdb"), (INSTANCE, database), (COMPONENT, component)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The labels by which the nodes of one cluster are selected.
pub fn cluster(database: &Database, cluster: &str) -> Labels {
    let mut labels = component(&database.name, "node");
    labels.insert(CLUSTER.to_owned(), cluster.to_owned());
    labels
}

/// Selects what has these labels.
pub fn selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
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
pub fn metadata(database: &Database, name: &str, part: &str) -> ObjectMeta {
    let mut labels = component(&database.name, part);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() }
}

/// The same for an object of one cluster.
pub fn cluster_metadata(database: &Database, name: &str, cluster: &str) -> ObjectMeta {
    let mut metadata = metadata(database, name, "node");
    metadata.labels.get_or_insert_default().insert(CLUSTER.to_owned(), cluster.to_owned());
    metadata
}

/// Annotations, if there are any.
pub fn annotations(declared: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    Some(declared.clone()).filter(|annotations| !annotations.is_empty())
}
