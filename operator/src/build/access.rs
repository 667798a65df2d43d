//! Who may ask the API server for what. Nodes: nothing. A facade: to read the
//! one resource with its partition map.

use super::labels::{annotations, metadata};
use crate::validate::Database;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// The nodes' account, without a token in their pods.
pub fn node_account(database: &Database) -> ServiceAccount {
    let annotations = &database.spec.node.service_account_annotations;
    account(metadata(database, &node_name(database), "node"), annotations)
}

/// Name of the nodes' account.
pub fn node_name(database: &Database) -> String {
    format!("{}-node", database.name)
}

/// The facade's account; its pods mount the token themselves.
pub fn facade_account(database: &Database) -> ServiceAccount {
    let annotations = &database.spec.facade.service_account_annotations;
    account(metadata(database, &database.facade_name(), "facade"), annotations)
}

fn account(metadata: ObjectMeta, declared: &BTreeMap<String, String>) -> ServiceAccount {
    ServiceAccount {
        metadata: ObjectMeta { annotations: annotations(declared), ..metadata },
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}

/// The right to read this one DougCluster.
pub fn facade_role(database: &Database) -> Role {
    Role {
        metadata: metadata(database, &database.facade_name(), "facade"),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec!["dougdb.io".to_owned()]),
            resources: Some(vec!["dougclusters".to_owned()]),
            resource_names: Some(vec![database.name.clone()]),
            verbs: vec!["get".to_owned(), "watch".to_owned()],
            ..Default::default()
        }]),
    }
}

/// That right given to the facade's account.
pub fn facade_binding(database: &Database) -> RoleBinding {
    let name = database.facade_name();
    RoleBinding {
        metadata: metadata(database, &name, "facade"),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name,
            namespace: Some(database.namespace.clone()),
            ..Default::default()
        }]),
    }
}
