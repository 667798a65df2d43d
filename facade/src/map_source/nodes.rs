//! The map from nodes: `WatchMap` of every node known, merged.
//!
//! All of them, because a node hears first of the partitions it holds itself:
//! one node's map may lag behind another cluster's changes.

use super::{MapReceiver, MapSender, MapSource};
use doug_proto::map::PartitionMap;
use doug_proto::v1::{WatchMapRequest, doug_client::DougClient};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tonic::transport::{Channel, Endpoint};

/// How long to wait before trying a node again.
const RETRY: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A node that vanished without a word is noticed after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Most nodes watched at once; their maps agree soon, so a part is enough.
const MOST_WATCHED: usize = 64;

/// Nodes to ask for the map; others are learnt from the maps themselves.
pub struct NodesSource {
    seeds: Vec<String>,
}

impl NodesSource {
    /// Starts from these, each `host:port` or `http://host:port`.
    pub fn new(seeds: Vec<String>) -> Self {
        Self { seeds }
    }
}

impl MapSource for NodesSource {
    fn start(self: Box<Self>) -> MapReceiver {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(watch_nodes(self.seeds, sender));
        receiver
    }
}

async fn watch_nodes(seeds: Vec<String>, sender: MapSender) {
    let (heard, mut maps) = mpsc::channel(16);
    let mut watched: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        follow(&wanted(&seeds, &sender), &mut watched, &heard);
        tokio::select! {
            Some(map) = maps.recv() => take_in(&map, &sender),
            () = sender.closed() => break,
        }
    }
    for task in watched.into_values() {
        task.abort();
    }
}

fn wanted(seeds: &[String], sender: &MapSender) -> Vec<String> {
    let known = sender.borrow().clone();
    let listed = known.iter().flat_map(|map| &map.nodes).map(|node| node.doug_address());
    let mut wanted: Vec<String> = seeds.iter().map(|seed| bare(seed)).chain(listed).collect();
    wanted.truncate(MOST_WATCHED.max(seeds.len()));
    wanted
}

fn bare(address: &str) -> String {
    address.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

fn follow(
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
            let task = tokio::spawn(watch_one(address.clone(), heard.clone()));
            watched.insert(address.clone(), task.abort_handle());
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

async fn watch_one(address: String, heard: mpsc::Sender<PartitionMap>) {
    let mut silent = false;
    loop {
        let ended = watch_until_error(&address, &heard, &mut silent).await;
        if let Err(status) = ended
            && !silent
        {
            // Once, not twice a second for as long as the node is down.
            tracing::warn!("node {address} sends no map: {}; trying on", status.message());
            silent = true;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn watch_until_error(
    address: &str,
    heard: &mpsc::Sender<PartitionMap>,
    silent: &mut bool,
) -> Result<(), tonic::Status> {
    let mut client = DougClient::new(connect(address).await?)
        .max_decoding_message_size(doug_proto::limits::MESSAGE_BYTES);
    let mut maps = client.watch_map(WatchMapRequest { after_epoch: 0 }).await?.into_inner();
    while let Some(answer) = maps.message().await? {
        let Some(wire) = answer.map else { continue };
        let map = PartitionMap::from_wire(&wire)?;
        *silent = false;
        if heard.send(map).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn connect(address: &str) -> Result<Channel, tonic::Status> {
    let unusable = |error: &dyn std::fmt::Display| {
        tonic::Status::unavailable(format!("cannot connect to {address}: {error}"))
    };
    Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| unusable(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect()
        .await
        .map_err(|error| unusable(&error))
}
