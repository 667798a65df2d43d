//! From an operation to its partition and the servers of it.

use super::Engine;
use super::group::{Group, Want};
use super::prepare::{self, Kind};
use super::table::{self, Route, Table};
use crate::connection::Connection;
use crate::map_watch;
use crate::runtime::before;
use doug_proto::error::Fault;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::quote;
use doug_proto::v1::{self, error_detail::Detail, stream_operation::Operation};
use futures::future::abortable;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;

/// Most leaders remembered that the map does not list.
const STRAYS: usize = 16;

impl Engine {
    /// Which servers of a group will do: all endpoints are alike.
    pub(super) fn want(&self, kind: Kind) -> Want {
        match kind {
            _ if self.front.is_some() => Want::Any,
            Kind::ReadAny => Want::Any,
            Kind::ReadLeader | Kind::Write | Kind::Register => Want::Leader,
        }
    }

    /// The table, if the operation needs one: always in direct mode, and in
    /// endpoint mode if it gets a session of this client.
    pub(super) async fn table_for(
        &self,
        own_session: bool,
        deadline: Instant,
    ) -> Result<Option<Arc<Table>>, Fault> {
        if self.front.is_some() && !own_session {
            return Ok(None);
        }
        if let Some(table) = self.current_table() {
            return Ok(Some(table));
        }
        Box::pin(self.wait_for_table(deadline)).await.map(Some)
    }

    /// Whether operations go straight to nodes.
    pub(crate) fn is_direct(&self) -> bool {
        self.front.is_none()
    }

    pub(crate) fn current_table(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }

    pub(crate) async fn wait_for_table(&self, deadline: Instant) -> Result<Arc<Table>, Fault> {
        self.follow_map();
        match before(&self.settings.runtime, deadline, self.first_table()).await {
            Some(table) => Ok(table),
            None if self.endpoints.is_empty() => Err(Fault::unavailable(
                "no partition map is known yet: check the source of the map",
            )),
            None => Err(Fault::unavailable(format!(
                "no partition map could be fetched from {} within the deadline: check that it \
                 runs ({})",
                self.endpoints.join(", "),
                self.map_error.lock()
            ))),
        }
    }

    async fn first_table(&self) -> Arc<Table> {
        loop {
            // Listen first, then look, or a table in between goes unheard.
            let mut known = pin!(self.table_known.notified());
            known.as_mut().enable();
            if let Some(table) = self.current_table() {
                return table;
            }
            known.await;
        }
    }

    /// The map; see [`crate::Client::map`].
    pub(crate) async fn map(&self, deadline: Instant) -> Result<Arc<PartitionMap>, Fault> {
        Ok(self.wait_for_table(deadline).await?.map.clone())
    }

    /// See [`crate::Client::watch_map`].
    pub(crate) fn watch_map(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.follow_map();
        self.map.subscribe()
    }

    /// Starts to follow the map that the endpoints serve, once.
    pub(super) fn follow_map(&self) {
        self.follow_by(map_watch::watch(self.this.clone()));
    }

    pub(super) fn follow_by(&self, following: impl Future<Output = ()> + Send + 'static) {
        self.follower.get_or_init(|| {
            let (following, follower) = abortable(following);
            self.settings.runtime.spawn(Box::pin(async {
                // It was told to end, or did.
                let _ = following.await;
            }));
            follower
        });
    }

    /// Merges a map with what is known.
    pub(crate) fn adopt(&self, news: &PartitionMap) {
        self.update(|known| {
            let known = known.filter(|known| known.database == news.database);
            known.map_or_else(|| Some(news.clone()), |known| known.merge(news))
        });
    }

    /// Takes over the descriptor that a refusal carried. Whether it was news.
    pub(super) fn learn(&self, wrong: &v1::WrongPartition) -> bool {
        let descriptor = wrong.descriptor.as_ref().and_then(|d| Partition::from_wire(d).ok());
        descriptor.is_some_and(|descriptor| {
            self.update(|known| known.and_then(|known| table::learn(known, &descriptor)))
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

    /// The partition of an operation that has one.
    pub(super) fn route<'t>(
        &self,
        table: &'t Table,
        operation: &Operation,
    ) -> Result<&'t Arc<Route>, Fault> {
        let Some(key) = prepare::routing_key(operation) else {
            let id = prepare::targeted(operation);
            return table
                .by_id(id)
                .ok_or_else(|| Fault::invalid(format!("the database has no partition {id}")));
        };
        let keyspace = table.map.keyspace_named(prepare::keyspace(operation))?;
        let route = table.by_key(keyspace, key);
        for other in prepare::further_keys(operation) {
            let elsewhere = table.by_key(keyspace, other);
            if elsewhere.id != route.id {
                return Err(Fault::invalid(format!(
                    "key {} lies in partition {} and key {} in partition {}: all keys of one \
                     write must lie in one partition (a common prefix before the prefix delimiter \
                     of the database puts them there)",
                    quote::bytes(key),
                    route.id,
                    quote::bytes(other),
                    elsewhere.id
                )));
            }
        }
        Ok(route)
    }

    /// The servers to ask.
    pub(super) fn group<'g>(
        &'g self,
        table: Option<&'g Table>,
        operation: &Operation,
    ) -> Result<&'g Group, Fault> {
        match (&self.front, table) {
            (Some(front), _) => Ok(front),
            (None, Some(table)) => Ok(&self.route(table, operation)?.group),
            (None, None) => Err(Fault::unavailable("no partition map is known yet")),
        }
    }

    /// The connection to the leader that a refusal named, if it may be used:
    /// in endpoint mode only the endpoints themselves.
    pub(super) fn hinted(&self, hint: &v1::NotLeader) -> Option<Connection> {
        let address = &hint.leader_address;
        if let Some(front) = &self.front {
            let mut replicas = front.replicas().iter().map(|replica| &replica.connection);
            return replicas.find(|connection| connection.address() == address).cloned();
        }
        let table = self.current_table()?;
        let listed = hint.leader_node.parse().ok().and_then(|node| table.connection(node));
        if let Some(connection) = listed {
            return Some(connection.clone());
        }
        let address = crate::dial::address_of(address).ok()?;
        let mut strays = self.strays.lock();
        if let Some(known) = strays.iter().find(|known| known.address() == address) {
            return Some(known.clone());
        }
        if strays.len() >= STRAYS {
            strays.remove(0);
        }
        let stray = Connection::new(address, self.settings.clone());
        strays.push(stray.clone());
        Some(stray)
    }
}

/// Writes the partition into the operation's target, in place of whatever the
/// sender believed.
///
/// # Errors
/// The sender means another database; or its write carries a session of its
/// own, which it took from another partition: there the same id would be
/// somebody else's.
pub(super) fn aim(operation: &mut Operation, route: &Route, own: bool) -> Result<(), Fault> {
    let brought = !own && prepare::brings_session(operation);
    let Some(target) = prepare::target(operation) else { return Ok(()) };
    let given = target.take().unwrap_or_default();
    if !given.database.is_empty() && given.database != route.database {
        let message = format!(
            "this is database {}, and the request is for {}: check the endpoint",
            route.database, given.database
        );
        return Err(Fault::new(Code::FailedPrecondition, message).not_executed());
    }
    if brought && given.partition != 0 && given.partition != route.id {
        let message = format!(
            "the session is one of partition {}, and the key lies in partition {}: register a \
             session there",
            given.partition, route.id
        );
        return Err(Fault::new(Code::FailedPrecondition, message)
            .not_executed()
            .with(Detail::WrongPartition(v1::WrongPartition::default())));
    }
    *target = Some(v1::Target {
        partition: route.id,
        generation: route.generation,
        database: route.database.clone(),
    });
    Ok(())
}
