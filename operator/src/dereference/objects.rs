//! The objects of a database, found by their labels.

use super::{Observed, Token};
use crate::build::{COMPONENT_NODE, instance_selector};
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
    let nodes = format!("{},{COMPONENT_NODE}", instance_selector(&database.name));
    let facades = Api::<Deployment>::namespaced(client.clone(), &database.namespace);
    Ok(Observed {
        sets: list::<StatefulSet>(client, database, &nodes).await?,
        pods: list::<Pod>(client, database, &instance_selector(&database.name)).await?,
        claims: list::<PersistentVolumeClaim>(client, database, &nodes).await?,
        facade: facades.get_opt(&database.facade_name()).await?,
        ..Observed::default()
    })
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
