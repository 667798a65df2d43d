//! The facade's Deployment.

use super::labels::{component, metadata};
use super::{Circumstances, pods};
use crate::validate::{Database, bytes};
use serde_json::{Value, json};

/// Longer than it takes until no proxy sends new connections to a pod that ends.
const LEAVE_SECONDS: u32 = 5;
/// That, and ten seconds for operations under way.
const GRACE_SECONDS: u32 = 30;
/// A facade keeps no data: once its machine has been silent for so long, it is started on another.
/// Kubernetes would wait for 300.
const LEAVE_SILENT_MACHINE_AFTER_SECONDS: u32 = 30;

/// Stateless pods that watch the DougCluster for the partition map. A new one
/// must be ready before an old one goes, so that a change loses no request.
pub fn deployment(database: &Database, circumstances: &Circumstances) -> Value {
    let labels = component(&database.name, "facade");
    json!({
        "metadata": metadata(database, &database.facade_name(), "facade"),
        "spec": {
            "replicas": if circumstances.asleep { 0 } else { database.spec.facade.replicas },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": pods::annotations(database)},
                "spec": pod(database, circumstances, &labels),
            },
        },
    })
}

/// Keeps a drain from taking the last facade, where there is more than one. One that is not ready
/// serves nobody and keeps nothing: it never holds a drain up.
pub fn budget(database: &Database) -> Value {
    json!({
        "metadata": metadata(database, &database.facade_name(), "facade"),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": component(&database.name, "facade")},
        },
    })
}

fn pod(database: &Database, circumstances: &Circumstances, labels: &Value) -> Value {
    let constraint = |key: &str| {
        json!({
            "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        })
    };
    json!({
        "serviceAccountName": database.facade_name(),
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pods::pod_security(circumstances.platform),
        "imagePullSecrets": pods::pull_secrets(database),
        "tolerations": tolerations(),
        "topologySpreadConstraints": [
            constraint("kubernetes.io/hostname"), constraint("topology.kubernetes.io/zone"),
        ],
        "containers": [{
            "name": "facade",
            "image": circumstances.image,
            "args": arguments(database),
            "ports": [
                {"name": "doug", "containerPort": 7400, "protocol": "TCP"},
                {"name": "http", "containerPort": 7403, "protocol": "TCP"},
            ],
            "livenessProbe": pods::probe("/livez", 10, 3),
            "readinessProbe": pods::probe("/readyz", 2, 2),
            "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
            "resources": pods::resources(database.spec.facade.resources.as_ref()),
            "securityContext": pods::container_security(),
        }],
    })
}

fn tolerations() -> [Value; 2] {
    ["not-ready", "unreachable"].map(|state| {
        json!({
            "key": format!("node.kubernetes.io/{state}"),
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LEAVE_SILENT_MACHINE_AFTER_SECONDS,
        })
    })
}

fn arguments(database: &Database) -> Vec<String> {
    let mut arguments = vec![
        "facade".to_owned(),
        "--listen=[::]:7400".to_owned(),
        format!("--dougcluster={}/{}", database.namespace, database.name),
    ];
    if let Some(size) = database.spec.facade.memory_budget.as_deref().and_then(bytes) {
        arguments.push(format!("--memory-budget={size}"));
    }
    arguments
}
