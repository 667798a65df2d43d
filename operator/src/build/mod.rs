//! From a declared database to the objects it needs. No I/O: the same database
//! gives the same objects, whoever builds them.

mod access;
mod facade;
mod image;
mod labels;
mod network;
mod node;
mod pods;
mod services;

pub use crate::names::{CLUSTER, COMPONENT_NODE, INSTANCE, MANAGED_BY, MANAGER, TEMPLATE_HASH};
pub use image::image;
pub use labels::{facade_selector, instance_selector, is_facade};
pub use node::{CONTAINER, template_hash};

use crate::overrides::Overrides;
use crate::validate::Database;
use doug_crds::Platform;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the objects depend on besides what is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The image that nodes and facade run.
    pub image: String,
    /// What assigns the users that processes run as.
    pub platform: Platform,
    /// Whether the database hibernates: it keeps everything but its pods.
    pub asleep: bool,
    /// How many nodes each cluster is to run, while that is not as many as declared: those that
    /// leave may hold what is needed.
    pub nodes: BTreeMap<String, u32>,
}

/// One object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// What it is.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    /// All that this operator decides about it.
    pub body: Value,
}

/// Every object of a database, in the order in which they are applied: what
/// others refer to comes first. The token's Secret is not among them, because
/// it is made once and never again.
pub fn build(database: &Database, circumstances: &Circumstances) -> Vec<Desired> {
    let mut objects = vec![
        object(database, access::node_account(database)),
        object(database, access::facade_account(database)),
        object(database, access::facade_role(database)),
        object(database, access::facade_binding(database)),
        object(database, network::policy(database)),
        object(database, services::facade(database)),
        object(database, services::nodes(database)),
    ];
    for cluster in &database.spec.clusters {
        objects.push(object(database, services::headless(database, cluster)));
        objects.push(object(database, pods::node_budget(database, cluster)));
        let set = node::stateful_set(database, cluster, circumstances);
        objects.push(with_pods(object(database, set), &database.node_pods));
    }
    objects.push(object(database, facade::budget(database)));
    let facade = facade::deployment(database, circumstances);
    objects.push(with_pods(object(database, facade), &database.facade_pods));
    objects
}

/// The Secret with the token that opens Raft and Admin streams.
pub fn token_secret(database: &Database, token: &str) -> Desired {
    let secret = Secret {
        metadata: labels::metadata(database, &database.token_name(), "node"),
        type_: Some("Opaque".to_owned()),
        immutable: Some(true),
        string_data: Some([("token".to_owned(), token.to_owned())].into()),
        data: None,
    };
    object(database, secret)
}

fn object<K>(database: &Database, mut object: K) -> Desired
where
    K: kube::Resource<DynamicType = ()> + Serialize,
{
    let metadata = object.meta_mut();
    metadata.namespace = Some(database.namespace.clone());
    metadata.owner_references = Some(vec![owner(database)]);
    let name = metadata.name.clone().unwrap_or_default();
    let body = serde_json::to_value(object).expect("an object of the API is JSON");
    Desired { resource: ApiResource::erase::<K>(&()), name, body }
}

/// What the user changes about its pods.
fn with_pods(mut desired: Desired, overrides: &Overrides) -> Desired {
    if let Some(template) = desired.body.pointer_mut("/spec/template") {
        overrides.merge_over(template);
    }
    desired
}

fn owner(database: &Database) -> OwnerReference {
    OwnerReference {
        api_version: "dougdb.io/v1alpha1".to_owned(),
        kind: "DougCluster".to_owned(),
        name: database.name.clone(),
        uid: database.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A choice of the definition as Kubernetes writes it, which is how it is serialized.
fn word(choice: impl Serialize) -> Option<String> {
    serde_json::to_value(choice).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
