//! What the pods of nodes and of the facade have in common.

use super::labels::{cluster, cluster_metadata};
use crate::names::RESTARTED_AT;
use crate::validate::Database;
use doug_crds::{ClusterSpec, Platform, Resources};
use serde_json::{Map, Value, json};

/// Anyone but root, in the image and on the volume.
const USER: u32 = 65_532;

/// The security context of a pod. A platform that assigns users refuses pods that ask for others.
pub fn pod_security(platform: Platform) -> Value {
    let mut context = json!({
        "runAsNonRoot": true,
        // A large volume would otherwise be walked at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if platform == Platform::Kubernetes {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            context[field] = USER.into();
        }
    }
    context
}

/// The security context of a container.
pub fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// What stands on every pod: for what it was last made anew. An object, perhaps an empty one.
pub fn annotations(database: &Database) -> Value {
    let requested = database.restarted_at.iter();
    requested.map(|when| (RESTARTED_AT.to_owned(), Value::from(when.as_str()))).collect()
}

/// A probe of a page on the port `http`.
pub fn probe(path: &str, period_seconds: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    })
}

/// What a container asks for, if anything is declared.
pub fn resources(declared: Option<&Resources>) -> Value {
    let Some(declared) = declared else { return json!({}) };
    let mut resources = Map::new();
    for (kind, amounts) in [("requests", &declared.requests), ("limits", &declared.limits)] {
        if !amounts.is_empty() {
            resources.insert(kind.to_owned(), json!(amounts));
        }
    }
    Value::Object(resources)
}

/// The Secrets with which the image is pulled.
pub fn pull_secrets(database: &Database) -> Value {
    let name = |name: &String| json!({"name": name});
    database.spec.image_pull_secrets.iter().map(name).collect()
}

/// Keeps a drain from taking two nodes of a cluster at once. One that is not ready has a vote all
/// the same, and may be what a partition has its majority by: so it goes only while all others are
/// ready (`AlwaysAllow` would let a drain take any number of nodes that catch up).
pub fn budget(database: &Database, of: &ClusterSpec) -> Value {
    json!({
        "metadata": cluster_metadata(database, &database.set_name(&of.name), &of.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
            "selector": {"matchLabels": cluster(database, &of.name)},
        },
    })
}
