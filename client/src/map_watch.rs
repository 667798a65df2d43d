//! Keeps the partition map current: from the endpoints' `WatchMap`, or from a
//! channel that someone else feeds.

use crate::engine::Engine;
use crate::settings::Settings;
use doug_proto::map::{MapFollower, PartitionMap};
use doug_proto::v1::WatchMapRequest;
use futures::StreamExt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// The first wait after every server has failed, doubled up to the greatest.
const REST_FIRST: Duration = Duration::from_millis(20);
const REST_MOST: Duration = Duration::from_secs(1);

/// Hands every map of `source` to the engine, until either is gone.
pub(crate) async fn follow(
    engine: Weak<Engine>,
    mut source: watch::Receiver<Option<Arc<PartitionMap>>>,
) {
    loop {
        let news = source.borrow_and_update().clone();
        let Some(engine) = engine.upgrade() else { return };
        if let Some(map) = news {
            engine.adopt(&map);
        }
        drop(engine);
        if source.changed().await.is_err() {
            return;
        }
    }
}

/// Watches the map at the endpoints, and, should none of them answer any more,
/// at the nodes of the map itself.
pub(crate) async fn watch(engine: Weak<Engine>) {
    let mut rest = REST_FIRST;
    loop {
        let Some(servers) = engine.upgrade().map(|engine| servers(&engine)) else { return };
        for address in servers {
            let Some(settings) = engine.upgrade().map(|engine| engine.settings.clone()) else {
                return;
            };
            match watch_at(&engine, &address, &settings).await {
                Ok(()) => rest = REST_FIRST,
                Err(error) => {
                    tracing::debug!(address, error, "no map from there");
                    if let Some(engine) = engine.upgrade() {
                        *engine.map_error.lock() = error;
                    }
                }
            }
        }
        let Some(settings) = engine.upgrade().map(|engine| engine.settings.clone()) else { return };
        settings.runtime.sleep_until(settings.runtime.now() + rest).await;
        rest = (rest * 2).min(REST_MOST);
    }
}

fn servers(engine: &Engine) -> Vec<String> {
    let mut servers = engine.endpoints.clone();
    // In endpoint mode node addresses may not even resolve here.
    if engine.is_direct()
        && let Some(table) = engine.current_table()
    {
        servers.extend(table.map.present().map(|node| node.doug_address()));
    }
    servers
}

/// Watches at one server until it fails. Ok if it gave a map.
async fn watch_at(engine: &Weak<Engine>, address: &str, settings: &Settings) -> Result<(), String> {
    let after_epoch = engine
        .upgrade()
        .and_then(|engine| engine.current_table())
        .map_or(0, |table| table.map.epoch);
    let request = WatchMapRequest { after_epoch, keyspaces: Vec::new() };
    let mut maps = settings.transport.watch_map(address.to_owned(), request).await?;
    let (mut follower, mut given) = (MapFollower::default(), false);
    loop {
        let message = match maps.next().await {
            Some(Ok(message)) => message,
            None | Some(Err(_)) if given => return Ok(()),
            None => return Err("it closed the watch without a map".to_owned()),
            Some(Err(why)) => return Err(why),
        };
        let Some(engine) = engine.upgrade() else { return Ok(()) };
        engine.adopt(follower.hear(&message).map_err(|fault| fault.message)?);
        given = true;
    }
}
