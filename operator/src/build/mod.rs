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

use crate::validate::Database;
use doug_crds::Platform;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::ApiResource;
use serde_json::{Value, json};

/// What the objects depend on besides what is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The image that nodes and facade run.
    pub image: String,
    /// What assigns the users that processes run as.
    pub platform: Platform,
    /// Whether the database hibernates: it keeps everything but its pods.
    pub asleep: bool,
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
        object::<ServiceAccount>(database, access::node_account(database)),
        object::<ServiceAccount>(database, access::facade_account(database)),
        object::<Role>(database, access::facade_role(database)),
        object::<RoleBinding>(database, access::facade_binding(database)),
        object::<NetworkPolicy>(database, network::policy(database)),
        object::<Service>(database, services::facade(database)),
    ];
    for cluster in &database.spec.clusters {
        objects.push(object::<Service>(database, services::headless(database, cluster)));
        objects.push(object::<PodDisruptionBudget>(database, pods::budget(database, cluster)));
        let mut set = node::stateful_set(database, cluster, circumstances);
        database.node_pods.merge_over(&mut set["spec"]["template"]);
        objects.push(object::<StatefulSet>(database, set));
    }
    objects.push(object::<PodDisruptionBudget>(database, facade::budget(database)));
    let mut facade = facade::deployment(database, circumstances);
    database.facade_pods.merge_over(&mut facade["spec"]["template"]);
    objects.push(object::<Deployment>(database, facade));
    objects
}

/// The Secret with the token that opens Raft and Admin streams.
pub fn token_secret(database: &Database, token: &str) -> Desired {
    let body = json!({
        "metadata": labels::metadata(database, &database.token_name(), "node"),
        "type": "Opaque",
        "immutable": true,
        "stringData": {"token": token},
    });
    object::<Secret>(database, body)
}

fn object<K: kube::Resource<DynamicType = ()>>(database: &Database, mut body: Value) -> Desired {
    let resource = ApiResource::erase::<K>(&());
    body["apiVersion"] = resource.api_version.clone().into();
    body["kind"] = resource.kind.clone().into();
    body["metadata"]["namespace"] = database.namespace.clone().into();
    body["metadata"]["ownerReferences"] = json!([owner(database)]);
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Desired { resource, name, body }
}

fn owner(database: &Database) -> Value {
    json!({
        "apiVersion": "dougdb.io/v1alpha1",
        "kind": "DougCluster",
        "name": database.name,
        "uid": database.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

#[cfg(test)]
mod tests;
