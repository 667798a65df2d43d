//! The map from nodes: `WatchMap` of every node known, merged.
//!
//! All of them, because a node hears first of the partitions it holds itself:
//! one node's map may lag behind another cluster's changes.

use super::{MapReceiver, MapSender, MapSource};
use doug_client::{Grpc, Runtime, Tokio, Transport};
use doug_proto::map::{MapFollower, PartitionMap};
use doug_proto::v1::WatchMapRequest;
use futures::StreamExt;
use futures::future::{AbortHandle, abortable};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long to wait before trying a node again.
const RETRY: Duration = Duration::from_millis(500);
/// Most nodes watched at once; their maps agree soon, so a part is enough.
const MOST_WATCHED: usize = 64;

/// Nodes to ask for the map; others are learnt from the maps themselves.
pub struct NodesSource {
    seeds: Vec<String>,
    world: World,
}

/// Where the source lives, and how it reaches nodes.
#[derive(Clone)]
struct World {
    runtime: Arc<dyn Runtime>,
    transport: Arc<dyn Transport>,
}

impl NodesSource {
    /// Starts from these, each `host:port` or `http://host:port`.
    pub fn new(seeds: Vec<String>) -> Self {
        Self::over(Arc::new(Tokio), Arc::new(Grpc::default()), seeds)
    }

    /// The same elsewhere than on tokio and gRPC.
    pub fn over(
        runtime: Arc<dyn Runtime>,
        transport: Arc<dyn Transport>,
        seeds: Vec<String>,
    ) -> Self {
        Self { seeds, world: World { runtime, transport } }
    }
}

impl MapSource for NodesSource {
    fn start(self: Box<Self>) -> MapReceiver {
        let (sender, receiver) = watch::channel(None);
        let Self { seeds, world } = *self;
        world.clone().runtime.spawn(Box::pin(watch_nodes(world, seeds, sender)));
        receiver
    }
}

async fn watch_nodes(world: World, seeds: Vec<String>, sender: MapSender) {
    let (heard, mut maps) = mpsc::channel(16);
    let mut watched: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        follow(&world, &wanted(&seeds, &sender), &mut watched, &heard);
        tokio::select! {
            biased;
            () = sender.closed() => break,
            Some(map) = maps.recv() => take_in(&map, &sender),
        }
    }
    for task in watched.into_values() {
        task.abort();
    }
}

fn wanted(seeds: &[String], sender: &MapSender) -> Vec<String> {
    let known = sender.borrow().clone();
    let listed = known.iter().flat_map(|map| map.present()).map(|node| node.doug_address());
    let mut wanted: Vec<String> = seeds.iter().map(|seed| bare(seed)).chain(listed).collect();
    wanted.truncate(MOST_WATCHED.max(seeds.len()));
    wanted
}

fn bare(address: &str) -> String {
    address.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

fn follow(
    world: &World,
    wanted: &[String],
    watched: &mut BTreeMap<String, AbortHandle>,
    heard: &mpsc::Sender<PartitionMap>,
) {
    watched.retain(|address, task| {
        let keep = wanted.contains(address);
        if !keep {
            task.abort();
        }
        keep
    });
    for address in wanted {
        if !watched.contains_key(address) {
            let watching = watch_one(world.clone(), address.clone(), heard.clone());
            let (watching, task) = abortable(watching);
            world.runtime.spawn(Box::pin(async {
                // It was told to end, or did.
                let _ = watching.await;
            }));
            watched.insert(address.clone(), task);
        }
    }
}

fn take_in(heard: &PartitionMap, sender: &MapSender) {
    let known = sender.borrow().clone();
    let next = match known {
        None => Some(heard.clone()),
        Some(known) if known.database != heard.database => {
            tracing::error!(
                "a node of database {} answered where nodes of {} were expected; \
                 its map is ignored: check the list of nodes",
                heard.database,
                known.database
            );
            None
        }
        Some(known) => known.merge(heard),
    };
    if let Some(next) = next {
        tracing::info!(database = %next.database, epoch = next.epoch, "have the partition map");
        sender.send_replace(Some(Arc::new(next)));
    }
}

async fn watch_one(world: World, address: String, heard: mpsc::Sender<PartitionMap>) {
    let mut silent = false;
    loop {
        let ended = watch_until_error(&world, &address, &heard, &mut silent).await;
        if let Err(why) = ended
            && !silent
        {
            // Once, not twice a second for as long as the node is down.
            tracing::warn!("node {address} sends no map: {why}; trying on");
            silent = true;
        }
        world.runtime.sleep_until(world.runtime.now() + RETRY).await;
    }
}

async fn watch_until_error(
    world: &World,
    address: &str,
    heard: &mpsc::Sender<PartitionMap>,
    silent: &mut bool,
) -> Result<(), String> {
    let request = WatchMapRequest::default();
    let maps = world.transport.watch_map(address.to_owned(), request).await;
    let mut maps = maps.map_err(|error| error.why().to_owned())?;
    let mut follower = MapFollower::default();
    while let Some(message) = maps.next().await {
        let map = follower.hear(&message?).map_err(|fault| fault.message)?;
        *silent = false;
        if heard.send(map.clone()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
