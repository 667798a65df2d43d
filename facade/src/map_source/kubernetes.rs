//! The map from the status of a DougCluster. The API server is needed for news
//! only: while it is away, the last map stays.

use super::{MapReceiver, MapSender, MapSource};
use anyhow::{Context, anyhow};
use doug_proto::map::PartitionMap;
use futures::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before asking the API server again.
const RETRY: Duration = Duration::from_secs(1);
/// A watch without news is opened anew, should its connection have died unseen.
const WATCH_SECONDS: u32 = 60;

/// The status of one DougCluster.
pub struct KubernetesSource {
    namespace: String,
    name: String,
}

impl KubernetesSource {
    /// Watches this DougCluster, which need not exist yet.
    pub fn new(namespace: String, name: String) -> Self {
        Self { namespace, name }
    }
}

impl MapSource for KubernetesSource {
    fn start(self: Box<Self>) -> MapReceiver {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(watch_status(*self, sender));
        receiver
    }
}

async fn watch_status(source: KubernetesSource, sender: MapSender) {
    let mut said = String::new();
    while !sender.is_closed() {
        let Err(error) = watch_until_error(&source, &sender, &mut said).await else { continue };
        let error = format!("{error:#}");
        // Once, not every second for as long as the API server is away.
        if said != error {
            let KubernetesSource { namespace, name } = &source;
            tracing::warn!("no news of DougCluster {namespace}/{name}: {error}; trying on");
            said = error;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Reads the status, then follows its changes. `get` and `watch` of the one
/// object suffice, and are all that a facade may do.
async fn watch_until_error(
    source: &KubernetesSource,
    sender: &MapSender,
    said: &mut String,
) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("the API server cannot be found")?;
    let kind = GroupVersionKind::gvk("dougdb.io", "v1alpha1", "DougCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "dougclusters");
    let api = Api::<DynamicObject>::namespaced_with(client, &source.namespace, &resource);
    let object = api.get(&source.name).await?;
    said.clear();
    take(&object, sender);
    let version = object.resource_version().unwrap_or_default();
    let parameters = WatchParams::default()
        .fields(&format!("metadata.name={}", source.name))
        .timeout(WATCH_SECONDS);
    let mut events = api.watch(&parameters, &version).await?.boxed();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => take(&object, sender),
            WatchEvent::Bookmark(_) => {}
            // Its nodes may run on without it, and it may be applied again.
            WatchEvent::Deleted(_) => return Err(anyhow!("it was deleted")),
            WatchEvent::Error(status) => return Err(anyhow!("{}", status.message)),
        }
    }
    Ok(())
}

fn take(object: &DynamicObject, sender: &MapSender) {
    let Some(document) = object.data.pointer("/status/partitionMap") else { return };
    let next = PartitionMap::from_json(&document.to_string())
        .map_err(|fault| fault.message)
        .and_then(|map| next(sender.borrow().as_deref(), map));
    match next {
        Ok(Some(map)) => {
            tracing::info!(database = %map.database, epoch = map.epoch, "have the partition map");
            sender.send_replace(Some(Arc::new(map)));
        }
        Ok(None) => {}
        Err(error) => tracing::warn!("the published partition map is unusable: {error}"),
    }
}

/// What a published map makes of the known one. A status that is written anew
/// may begin with an older map, so the two are merged.
fn next(
    known: Option<&PartitionMap>,
    published: PartitionMap,
) -> Result<Option<PartitionMap>, String> {
    match known {
        None => Ok(Some(published)),
        Some(known) if known.database != published.database => Err(format!(
            "it is of database {}, and this facade serves {}: restart the facade to change",
            published.database, known.database
        )),
        Some(known) => Ok(known.merge(&published)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::map;
    use doug_proto::ids::DatabaseId;

    fn published(map: Option<&PartitionMap>) -> DynamicObject {
        let status = match map {
            Some(map) => serde_json::json!({
                "partitionMap": serde_json::from_str::<serde_json::Value>(&map.to_json()).unwrap()
            }),
            None => serde_json::json!({}),
        };
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "orders"}, "status": status}),
        )
        .unwrap()
    }

    fn epochs(objects: &[DynamicObject]) -> Vec<Option<u64>> {
        let (sender, _receiver) = watch::channel(None);
        let take = |object| {
            take(object, &sender);
            sender.borrow().as_ref().map(|map: &Arc<PartitionMap>| map.epoch)
        };
        objects.iter().map(take).collect()
    }

    #[test]
    fn a_status_without_a_map_leaves_the_last_one() {
        let maps = [None, Some(map(2, 3)), None, Some(map(2, 4))];
        let objects = maps.map(|map| published(map.as_ref()));
        assert_eq!(epochs(&objects), [None, Some(3), Some(3), Some(4)]);
    }

    #[test]
    fn an_older_map_changes_nothing() {
        let objects = [map(2, 5), map(2, 4)].map(|map| published(Some(&map)));
        assert_eq!(epochs(&objects), [Some(5), Some(5)]);
    }

    #[test]
    fn the_map_of_another_database_is_not_taken() {
        let mut other = map(2, 9);
        other.database = DatabaseId::from_bits(0xbad);
        let objects = [map(2, 3), other].map(|map| published(Some(&map)));
        assert_eq!(epochs(&objects), [Some(3), Some(3)]);
    }
}
