//! Keeps the map current: from `WatchMap` of servers, or from a channel that someone
//! else feeds; and lets callers wait for it.

use super::known::KnownMap;
use super::table::Table;
use crate::runtime::before;
use crate::settings::Settings;
use crate::transport::OpenError;
use doug_proto::error::Fault;
use doug_proto::map::{MapFollower, PartitionMap};
use doug_proto::v1::WatchMapRequest;
use futures::StreamExt;
use futures::future::abortable;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The first wait after every server has failed, doubled up to the greatest.
const REST_FIRST: Duration = Duration::from_millis(20);
const REST_MOST: Duration = Duration::from_secs(1);

impl KnownMap {
    /// Starts to follow the map that servers tell, unless it is followed already.
    pub(crate) fn follow_servers(&self) {
        self.follow_by(watch_servers(self.this.clone()));
    }

    /// Starts to follow the map that `source` has, unless it is followed already.
    pub(crate) fn follow(&self, source: watch::Receiver<Option<Arc<PartitionMap>>>) {
        if let Some(map) = source.borrow().as_ref() {
            self.adopt(map);
        }
        self.follow_by(watch_source(self.this.clone(), source));
    }

    fn follow_by(&self, following: impl Future<Output = ()> + Send + 'static) {
        self.follower.get_or_init(|| {
            let (following, follower) = abortable(following);
            self.settings.runtime.spawn(Box::pin(async {
                // It was told to end, or did.
                let _ = following.await;
            }));
            follower
        });
    }

    /// The table, once a map is known.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is none by `deadline`; earlier as
    /// [`Builder::wait_for_ready`](crate::Builder::wait_for_ready) says.
    pub(crate) async fn wait(&self, deadline: Instant) -> Result<Arc<Table>, Fault> {
        self.follow_servers();
        match before(&self.settings.runtime, deadline, self.first()).await {
            Some(known) => known,
            None if self.endpoints.is_empty() => Err(Fault::unavailable(
                "no partition map is known yet: check the source of the map",
            )),
            None => Err(Fault::unavailable(format!(
                "no partition map could be fetched from {} within the deadline: check that it \
                 runs ({})",
                self.endpoints.join(", "),
                self.error()
            ))),
        }
    }

    /// The map, now and whenever it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.follow_servers();
        self.map.subscribe()
    }
}

/// Takes over every map of `source`, until either is gone.
async fn watch_source(
    known: Weak<KnownMap>,
    mut source: watch::Receiver<Option<Arc<PartitionMap>>>,
) {
    loop {
        let news = source.borrow_and_update().clone();
        let Some(known) = known.upgrade() else { return };
        if let Some(map) = news {
            known.adopt(&map);
        }
        drop(known);
        if source.changed().await.is_err() {
            return;
        }
    }
}

/// Watches the map at the endpoints, and, should none of them answer any more,
/// at the nodes of the map itself.
async fn watch_servers(known: Weak<KnownMap>) {
    let mut rest = REST_FIRST;
    loop {
        let Some(servers) = known.upgrade().map(|known| known.servers()) else { return };
        for address in servers {
            let Some(settings) = known.upgrade().map(|known| known.settings.clone()) else {
                return;
            };
            match watch_at(&known, &address, &settings).await {
                Ok(()) => rest = REST_FIRST,
                Err(error) => {
                    tracing::debug!(address, error = error.why(), "no map from there");
                    if let Some(known) = known.upgrade() {
                        known.failed(&address, error);
                    }
                }
            }
        }
        let Some(settings) = known.upgrade().map(|known| known.settings.clone()) else { return };
        settings.runtime.sleep_until(settings.runtime.now() + rest).await;
        rest = (rest * 2).min(REST_MOST);
    }
}

/// Watches at one server until it fails. Ok if it gave a map.
async fn watch_at(
    known: &Weak<KnownMap>,
    address: &str,
    settings: &Settings,
) -> Result<(), OpenError> {
    let broken = |why: String| OpenError::Broken(format!("{address}: {why}"));
    let after_epoch =
        known.upgrade().and_then(|known| known.current()).map_or(0, |table| table.map.epoch);
    // All keyspaces: any clone of the client may be for another one, any operation may name one,
    // and a name can be called unknown (`NOT_FOUND`) only by who knows all names.
    let request = WatchMapRequest { after_epoch, keyspaces: Vec::new() };
    let mut maps = settings.transport.watch_map(address.to_owned(), request).await?;
    let (mut follower, mut given) = (MapFollower::default(), false);
    loop {
        let message = match maps.next().await {
            Some(Ok(message)) => message,
            None | Some(Err(_)) if given => return Ok(()),
            None => return Err(broken("it closed the watch without a map".to_owned())),
            Some(Err(why)) => return Err(broken(why)),
        };
        let Some(known) = known.upgrade() else { return Ok(()) };
        known.adopt(follower.hear(&message).map_err(|fault| broken(fault.message))?);
        given = true;
    }
}
