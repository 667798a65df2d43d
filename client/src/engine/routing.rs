//! From an operation to its partition and the servers of it.

use super::Engine;
use super::prepare::{self, Kind};
use crate::connection::Connection;
use crate::map::{Group, Route, Table, Want};
use crate::transport::verdict;
use doug_proto::error::Fault;
use doug_proto::together;
use doug_proto::v1::{self, error_detail::Detail, stream_operation::Operation};
use std::sync::Arc;
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
        if let Some(table) = self.map.current() {
            return Ok(Some(table));
        }
        Box::pin(self.map.wait(deadline)).await.map(Some)
    }

    /// Why an operation that began at `began` has no endpoint to wait for any longer, if it goes
    /// through them.
    pub(super) fn barred(&self, began: Instant) -> Option<Fault> {
        let (front, wait) = (self.front.as_ref()?, self.settings.wait_for_ready?);
        let found = front.replicas().iter().map(|replica| replica.connection.barred());
        verdict(&found.collect::<Option<Vec<_>>>()?, self.now() - began, wait)
    }

    /// Whether operations go straight to nodes.
    pub(crate) fn is_direct(&self) -> bool {
        self.front.is_none()
    }

    /// The partition of an operation that has one.
    pub(super) fn route<'t>(
        &self,
        table: &'t Table,
        operation: &Operation,
    ) -> Result<&'t Arc<Route>, Fault> {
        let mut touched = prepare::touched(operation);
        let Some(first) = touched.next() else {
            let id = prepare::targeted(operation);
            return table
                .by_id(id)
                .ok_or_else(|| Fault::invalid(format!("the database has no partition {id}")));
        };
        let keyspace = table.map.keyspace_named(prepare::keyspace(operation))?;
        together::partition_of(&table.map, keyspace, first)?;
        let route = table.by_key(keyspace, first.first());
        for other in touched {
            let elsewhere = together::partition_of(&table.map, keyspace, other)?;
            if elsewhere.id != route.id {
                let (one, other) = ((first, route.id), (other, elsewhere.id));
                return Err(together::apart(keyspace, one, other));
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
        let table = self.map.current()?;
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
