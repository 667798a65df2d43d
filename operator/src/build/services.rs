//! Names that resolve.

use super::labels::{cluster, cluster_metadata, component, metadata};
use crate::validate::Database;
use doug_crds::ClusterSpec;
use serde_json::{Value, json};

/// Gives each node of a cluster a name. It is published before the node is
/// ready, because nodes must find each other to become ready.
pub fn headless(database: &Database, of: &ClusterSpec) -> Value {
    json!({
        "metadata": cluster_metadata(database, &database.set_name(&of.name), &of.name),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": cluster(database, &of.name),
            "ports": [
                {"name": "doug", "port": 7400, "protocol": "TCP", "targetPort": 7400, "appProtocol": "grpc"},
                {"name": "raft", "port": 7401, "protocol": "TCP", "targetPort": 7401, "appProtocol": "grpc"},
                {"name": "admin", "port": 7402, "protocol": "TCP", "targetPort": 7402, "appProtocol": "grpc"},
                {"name": "http", "port": 7403, "protocol": "TCP", "targetPort": 7403},
            ],
        },
    })
}

/// Where clients connect.
pub fn facade(database: &Database) -> Value {
    let service = &database.spec.facade.service;
    json!({
        "metadata": metadata(database, &database.facade_name(), "facade"),
        "spec": {
            "type": service.kind,
            "selector": component(&database.name, "facade"),
            "ports": [{
                "name": "doug", "port": service.port, "protocol": "TCP", "targetPort": "doug",
                "appProtocol": "grpc",
            }],
        },
    })
}
