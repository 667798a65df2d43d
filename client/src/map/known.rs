//! What is known of the map, and what becomes of news about it.

use super::table::{Table, learn};
use crate::settings::Settings;
use crate::transport::{OpenError, sentences, verdict};
use doug_proto::error::Fault;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::v1;
use futures::future::AbortHandle;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The map. Every clone of a client shares it, whatever keyspace it is for.
pub(crate) struct KnownMap {
    pub(super) settings: Arc<Settings>,
    pub(super) endpoints: Vec<String>,
    /// Whether node addresses are used: in endpoint mode they may not even resolve here.
    straight: bool,
    pub(super) this: Weak<KnownMap>,
    table: RwLock<Option<Arc<Table>>>,
    /// Wakes those that wait for the first table, in the order they came. A
    /// `watch` would wake them in random order.
    table_known: Notify,
    pub(super) map: watch::Sender<Option<Arc<PartitionMap>>>,
    /// The task that keeps it current, once there is one.
    pub(super) follower: OnceLock<AbortHandle>,
    /// Why no map could be fetched the last time, by address.
    errors: Mutex<BTreeMap<String, OpenError>>,
}

impl Drop for KnownMap {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
    }
}

impl KnownMap {
    /// Nothing is known. `straight`: operations go straight to nodes.
    pub(crate) fn new(
        endpoints: Vec<String>,
        straight: bool,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            settings,
            endpoints,
            straight,
            this: this.clone(),
            table: RwLock::new(None),
            table_known: Notify::new(),
            map: watch::Sender::new(None),
            follower: OnceLock::new(),
            errors: Mutex::default(),
        })
    }

    /// The table, if any map is known.
    pub(crate) fn current(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }

    /// The table, once any map is known; or why none is to be waited for.
    pub(super) async fn first(&self) -> Result<Arc<Table>, Fault> {
        let began = self.settings.runtime.now();
        loop {
            // Listen first, then look, or a table in between goes unheard.
            let mut known = pin!(self.table_known.notified());
            known.as_mut().enable();
            if let Some(table) = self.current() {
                return Ok(table);
            }
            if let Some(fault) = self.barred(began) {
                return Err(fault);
            }
            known.await;
        }
    }

    /// Why whoever waits since `began` has no endpoint to wait for any longer.
    fn barred(&self, began: Instant) -> Option<Fault> {
        let wait = self.settings.wait_for_ready?;
        let errors = self.errors.lock();
        let found = self.endpoints.iter().map(|endpoint| errors.get(endpoint).cloned());
        let waited = self.settings.runtime.now() - began;
        verdict(&found.collect::<Option<Vec<_>>>()?, waited, wait)
    }

    /// Remembers why a server gave no map, for whoever waits for one.
    pub(super) fn failed(&self, address: &str, error: OpenError) {
        self.errors.lock().insert(address.to_owned(), error);
        if self.settings.wait_for_ready.is_some() {
            self.table_known.notify_waiters();
        }
    }

    /// Why no server gave a map so far.
    pub(super) fn error(&self) -> String {
        sentences(self.errors.lock().values())
    }

    /// Who can tell the map.
    pub(super) fn servers(&self) -> Vec<String> {
        let mut servers = self.endpoints.clone();
        if self.straight
            && let Some(table) = self.current()
        {
            servers.extend(table.map.present().map(|node| node.doug_address()));
        }
        servers
    }

    /// Merges a map with what is known.
    pub(super) fn adopt(&self, news: &PartitionMap) {
        self.update(|known| {
            let known = known.filter(|known| known.database == news.database);
            known.map_or_else(|| Some(news.clone()), |known| known.merge(news))
        });
    }

    /// Takes over the descriptor that a refusal carried. Whether it was news.
    pub(crate) fn learn(&self, wrong: &v1::WrongPartition) -> bool {
        let descriptor = wrong.descriptor.as_ref().and_then(|d| Partition::from_wire(d).ok());
        descriptor.is_some_and(|descriptor| {
            self.update(|known| known.and_then(|known| learn(known, &descriptor)))
        })
    }

    fn update(&self, change: impl FnOnce(Option<&PartitionMap>) -> Option<PartitionMap>) -> bool {
        let mut table = self.table.write();
        let Some(map) = change(table.as_ref().map(|table| &*table.map)) else { return false };
        let map = Arc::new(map);
        *table = Some(Arc::new(Table::new(map.clone(), table.as_deref(), &self.settings)));
        // Before the lock is let go, so that watchers never see an older map last.
        self.map.send_replace(Some(map));
        drop(table);
        self.table_known.notify_waiters();
        true
    }
}
