//! Names that resolve.

use super::labels::{cluster, cluster_metadata, component, metadata};
use crate::validate::Database;
use doug_crds::ClusterSpec;
use serde_json::{Value, json};

/// Gives each node of a cluster a name. It is published before the node is
/// ready, because nodes must find each other to become ready.
pub fn headless(database: &Database, of: &ClusterSpec) -> Value {
    let mut spec = json!({
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": cluster(database, &of.name),
        "ports": [
            {"name": "doug", "port": 7400, "protocol": "TCP", "targetPort": 7400, "appProtocol": "grpc"},
            {"name": "raft", "port": 7401, "protocol": "TCP", "targetPort": 7401, "appProtocol": "grpc"},
            {"name": "admin", "port": 7402, "protocol": "TCP", "targetPort": 7402, "appProtocol": "grpc"},
            {"name": "http", "port": 7403, "protocol": "TCP", "targetPort": 7403},
        ],
    });
    set_families(database, &mut spec);
    json!({
        "metadata": cluster_metadata(database, &database.set_name(&of.name), &of.name),
        "spec": spec,
    })
}

/// Where clients connect.
pub fn facade(database: &Database) -> Value {
    let service = &database.spec.facade.service;
    let mut spec = json!({
        "type": service.kind,
        "selector": component(&database.name, "facade"),
        "ports": [{
            "name": "doug", "port": service.port, "protocol": "TCP", "targetPort": "doug",
            "appProtocol": "grpc",
        }],
    });
    set_families(database, &mut spec);
    if let Some(class) = &service.load_balancer_class {
        spec["loadBalancerClass"] = json!(class);
    }
    if !service.load_balancer_source_ranges.is_empty() {
        spec["loadBalancerSourceRanges"] = json!(service.load_balancer_source_ranges);
    }
    if let Some(policy) = service.external_traffic_policy {
        spec["externalTrafficPolicy"] = json!(policy);
    }
    let mut metadata = metadata(database, &database.facade_name(), "facade");
    if !service.annotations.is_empty() {
        metadata["annotations"] = json!(service.annotations);
    }
    json!({"metadata": metadata, "spec": spec})
}

/// What is not declared is left to the Kubernetes cluster, which knows what addresses it has.
fn set_families(database: &Database, spec: &mut Value) {
    let Some(network) = &database.spec.network else { return };
    if let Some(policy) = network.ip_family_policy {
        spec["ipFamilyPolicy"] = json!(policy);
    }
    if !network.ip_families.is_empty() {
        spec["ipFamilies"] = json!(network.ip_families);
    }
}
