//! The objects of a database, found by their labels.

use super::{Observed, Token, containers};
use crate::build::{COMPONENT_NODE, CONTAINER, instance_selector};
use crate::validate::Database;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Reads them all.
pub async fn fetch(client: &Client, database: &Database) -> kube::Result<Observed> {
    let nodes = nodes_selector(&database.name);
    let facades = Api::<Deployment>::namespaced(client.clone(), &database.namespace);
    Ok(Observed {
        sets: list::<StatefulSet>(client, database, &nodes).await?,
        pods: list::<Pod>(client, database, &instance_selector(&database.name)).await?,
        claims: list::<PersistentVolumeClaim>(client, database, &nodes).await?,
        facade: facades.get_opt(&database.facade_name()).await?,
        ..Observed::default()
    })
}

/// Finds what belongs to the nodes of a database.
pub fn nodes_selector(database: &str) -> String {
    format!("{},{COMPONENT_NODE}", instance_selector(database))
}

/// Whether the process of some node runs.
///
/// # Errors
/// The API server's.
pub async fn any_node_runs(client: &Client, database: &Database) -> kube::Result<bool> {
    let pods = list::<Pod>(client, database, &nodes_selector(&database.name)).await?;
    Ok(pods.values().any(runs))
}

fn runs(pod: &Pod) -> bool {
    let node = containers(pod).find(|container| container.name == CONTAINER);
    node.and_then(|node| node.state.as_ref()).is_some_and(|state| state.running.is_some())
}

async fn list<K>(
    client: &Client,
    database: &Database,
    labels: &str,
) -> kube::Result<BTreeMap<String, K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), &database.namespace);
    let found = api.list(&ListParams::default().labels(labels)).await?;
    Ok(found.items.into_iter().map(|object| (object.name_any(), object)).collect())
}

/// The token of Raft and Admin streams, once its Secret exists.
///
/// # Errors
/// The API server's.
pub async fn read_token(client: &Client, database: &Database) -> kube::Result<Option<Token>> {
    let secrets = Api::<Secret>::namespaced(client.clone(), &database.namespace);
    let secret = secrets.get_opt(&database.token_name()).await?;
    let bytes = secret.and_then(|secret| secret.data?.remove("token"));
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes.0).ok()).map(Token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn a_node_whose_container_has_not_started_has_no_token_yet() {
        let container = |state: serde_json::Value| {
            let status = json!({"containerStatuses": [{
                "name": "node", "image": "doug", "imageID": "", "ready": false, "restartCount": 0,
                "state": state,
            }]});
            runs(&pod(0, "new", status).1)
        };
        assert!(container(json!({"running": {"startedAt": "2026-01-01T12:00:00Z"}})));
        assert!(!container(json!({"waiting": {"reason": "CreateContainerConfigError"}})));
        assert!(!runs(&pod(0, "new", json!({})).1));
    }
}
