//! The map from the status of a DougCluster. The API server is not needed: until it has answered,
//! and whenever it does not, the nodes are asked.

use super::{MapReceiver, MapSender, MapSource, NodesSource};
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
    nodes: Vec<String>,
}

impl KubernetesSource {
    /// Watches this DougCluster, which need not exist yet. These nodes, each `host:port`, are asked
    /// while the API server does not answer.
    pub fn new(namespace: String, name: String, nodes: Vec<String>) -> Self {
        Self { namespace, name, nodes }
    }
}

impl MapSource for KubernetesSource {
    fn start(self: Box<Self>) -> MapReceiver {
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        // It may be away for as long as a connection takes to fail, and longer.
        let (away, is_away) = watch::channel(true);
        let nodes = self.nodes.clone();
        if !nodes.is_empty() {
            let ask = move || Box::new(NodesSource::new(nodes.clone())).start();
            tokio::spawn(ask_nodes(ask, is_away, sender.clone()));
        }
        tokio::spawn(watch_status(*self, sender, away));
        receiver
    }
}

/// Takes maps from nodes for as long as the API server is away. `ask` begins to ask them, until
/// what it gives is dropped.
async fn ask_nodes(
    ask: impl Fn() -> MapReceiver,
    mut away: watch::Receiver<bool>,
    sender: Arc<MapSender>,
) {
    while away.wait_for(|away| *away).await.is_ok() {
        let mut maps = ask();
        loop {
            tokio::select! {
                biased;
                () = sender.closed() => return,
                back = away.wait_for(|away| !away) => match back {
                    Ok(_) => break,
                    Err(_) => return,
                },
                Ok(()) = maps.changed() => {
                    let map = maps.borrow_and_update().clone();
                    if let Some(map) = map {
                        take_in(PartitionMap::clone(&map), &sender);
                    }
                }
            }
        }
    }
}

async fn watch_status(source: KubernetesSource, sender: Arc<MapSender>, away: watch::Sender<bool>) {
    let mut said = String::new();
    while !sender.is_closed() {
        let ended = watch_until_error(&source, &sender, &away, &mut said).await;
        let Err(error) = ended else { continue };
        away.send_replace(true);
        let error = format!("{error:#}");
        // Once, not every second for as long as the API server is away.
        if said != error {
            let KubernetesSource { namespace, name, nodes } = &source;
            let meanwhile = if nodes.is_empty() { "" } else { "; asking the nodes meanwhile" };
            tracing::warn!(
                "no news of DougCluster {namespace}/{name}: {error}; trying on{meanwhile}"
            );
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
    away: &watch::Sender<bool>,
    said: &mut String,
) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("the API server cannot be found")?;
    let kind = GroupVersionKind::gvk("dougdb.io", "v1alpha1", "DougCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "dougclusters");
    let api = Api::<DynamicObject>::namespaced_with(client, &source.namespace, &resource);
    let object = api.get(&source.name).await?;
    said.clear();
    take(&object, sender);
    away.send_replace(false);
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
    match PartitionMap::from_json(&document.to_string()) {
        Ok(map) => take_in(map, sender),
        Err(fault) => tracing::warn!("the published partition map is unusable: {}", fault.message),
    }
}

fn take_in(map: PartitionMap, sender: &MapSender) {
    let next = next(sender.borrow().as_deref(), map);
    match next {
        Ok(Some(map)) => {
            tracing::info!(database = %map.database, epoch = map.epoch, "have the partition map");
            sender.send_replace(Some(Arc::new(map)));
        }
        Ok(None) => {}
        Err(error) => tracing::warn!("a partition map is not taken: {error}"),
    }
}

/// What a map that is heard makes of the known one. A status that is written anew, or a node that
/// was away, may begin with an older map, so the two are merged.
fn next(known: Option<&PartitionMap>, heard: PartitionMap) -> Result<Option<PartitionMap>, String> {
    match known {
        None => Ok(Some(heard)),
        Some(known) if known.database != heard.database => Err(format!(
            "it is of database {}, and this facade serves {}: restart the facade to change",
            heard.database, known.database
        )),
        Some(known) => Ok(known.merge(&heard)),
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

    /// Nodes that know one map, and whether anybody asks them.
    fn nodes(epoch: u64) -> (impl Fn() -> MapReceiver, watch::Receiver<bool>) {
        let (asked, is_asked) = watch::channel(false);
        let ask = move || {
            let (nodes, heard) = watch::channel(None);
            let asked = asked.clone();
            asked.send_replace(true);
            tokio::spawn(async move {
                nodes.send_replace(Some(Arc::new(map(2, epoch))));
                nodes.closed().await;
                asked.send_replace(false);
            });
            heard
        };
        (ask, is_asked)
    }

    #[tokio::test]
    async fn nodes_are_asked_until_the_api_server_answers_and_again_once_it_is_away() {
        let (sender, mut known) = watch::channel(None);
        let sender = Arc::new(sender);
        let (ask, mut asked) = nodes(4);
        let (away, is_away) = watch::channel(true);
        tokio::spawn(ask_nodes(ask, is_away, sender.clone()));
        let heard = known.wait_for(|map| map.is_some()).await.unwrap().clone();
        assert_eq!(heard.map(|map: Arc<PartitionMap>| map.epoch), Some(4));

        take(&published(Some(&map(2, 3))), &sender);
        assert_eq!(sender.borrow().as_ref().unwrap().epoch, 4, "the status may be the older one");

        away.send_replace(false);
        asked.wait_for(|asked| !asked).await.unwrap();
        away.send_replace(true);
        asked.wait_for(|asked| *asked).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_asked_for_a_facade_that_has_ended() {
        let (sender, known) = watch::channel(None);
        let (ask, mut asked) = nodes(4);
        let (_away, is_away) = watch::channel(true);
        let asking = tokio::spawn(ask_nodes(ask, is_away, Arc::new(sender)));
        asked.wait_for(|asked| *asked).await.unwrap();
        drop(known);
        asking.await.unwrap();
        asked.wait_for(|asked| !asked).await.unwrap();
    }
}
