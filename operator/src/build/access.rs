//! Who may ask the API server for what. Nodes: nothing. A facade: to read the
//! one resource with its partition map.

use super::labels::metadata;
use crate::validate::Database;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The nodes' account, without a token in their pods.
pub fn node_account(database: &Database) -> Value {
    let annotations = &database.spec.node.service_account_annotations;
    account(metadata(database, &node_name(database), "node"), annotations)
}

/// Name of the nodes' account.
pub fn node_name(database: &Database) -> String {
    format!("{}-node", database.name)
}

/// The facade's account; its pods mount the token themselves.
pub fn facade_account(database: &Database) -> Value {
    let annotations = &database.spec.facade.service_account_annotations;
    account(metadata(database, &database.facade_name(), "facade"), annotations)
}

fn account(mut metadata: Value, annotations: &BTreeMap<String, String>) -> Value {
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    json!({"metadata": metadata, "automountServiceAccountToken": false})
}

/// The right to read this one DougCluster.
pub fn facade_role(database: &Database) -> Value {
    json!({
        "metadata": metadata(database, &database.facade_name(), "facade"),
        "rules": [{
            "apiGroups": ["dougdb.io"],
            "resources": ["dougclusters"],
            "resourceNames": [database.name],
            "verbs": ["get", "watch"],
        }],
    })
}

/// That right given to the facade's account.
pub fn facade_binding(database: &Database) -> Value {
    let name = database.facade_name();
    json!({
        "metadata": metadata(database, &name, "facade"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": database.namespace}],
    })
}
