//! What carries out operations: finds the servers, makes the first attempt, and
//! leaves the rest to a [`course::Course`] when that attempt does not conclude.

mod course;
mod pause;
pub(crate) mod prepare;
mod retry;
mod routing;
mod status;
mod verdict;

use crate::connection::{Connection, Event};
use crate::map::{Group, KnownMap, LeaderCell, Replica, Route, Want};
use crate::sessions::Ticket;
use crate::settings::{Mode, Settings};
use bytes::Bytes;
use course::{Course, Flight};
use doug_proto::error::Fault;
use doug_proto::token::SessionToken;
use doug_proto::v1::{self, stream_answer::Answer, stream_operation::Operation};
use parking_lot::Mutex;
use prepare::Kind;
use std::sync::Arc;
use tokio::time::Instant;

/// All that the clones of one client share.
pub(crate) struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) map: Arc<KnownMap>,
    /// Where everything goes in endpoint mode; none in direct mode.
    front: Option<Group>,
    /// Leaders named by address that the map does not list.
    strays: Mutex<Vec<Connection>>,
    seen: Mutex<SessionToken>,
}

impl Engine {
    pub(crate) fn new(endpoints: Vec<String>, mode: Mode, settings: Arc<Settings>) -> Arc<Self> {
        let front = match mode {
            Mode::Endpoints => Some(front(&endpoints, &settings)),
            Mode::Direct(_) | Mode::DirectFromEndpoints => None,
        };
        let map = KnownMap::new(endpoints, front.is_none(), settings.clone());
        match mode {
            Mode::Endpoints => {}
            Mode::DirectFromEndpoints => map.follow_servers(),
            Mode::Direct(source) => map.follow(source),
        }
        Arc::new(Self {
            settings,
            map,
            front,
            strays: Mutex::new(Vec::new()),
            seen: Mutex::new(SessionToken::default()),
        })
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        self.settings.runtime.now()
    }

    /// Carries out one operation that concerns one partition.
    pub(crate) async fn execute(
        &self,
        mut operation: Operation,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let kind = Kind::of(&operation);
        let own = prepare::needs_session(&operation, &self.settings);
        let table = self.table_for(own, deadline).await?;
        let mut ticket = None;
        if let Some(table) = &table {
            let route = self.route(table, &operation)?;
            if own {
                ticket = Some(match route.session.try_take(route.id) {
                    Some(ticket) => ticket,
                    None => Box::pin(self.take_ticket(route, deadline)).await?,
                });
            }
            routing::aim(&mut operation, route, own)?;
        }
        let group = self.group(table.as_deref(), &operation)?;
        let Some(connection) = group.choose(self.want(kind), &[]) else {
            return Err(Fault::unavailable("the partition map lists no replica to ask"));
        };
        number(&mut operation, ticket.as_ref());
        let began = self.now();
        let mut attempt = connection.submit(operation.clone(), began, deadline);
        let event = attempt.event().await;
        match event {
            Event::Answer(answer) if !matches!(answer, Answer::Error(_)) => {
                if self.want(kind) == Want::Leader {
                    group.leader.set(&connection);
                }
                Ok(answer)
            }
            event => {
                let flight = Flight::new(attempt, connection);
                let course = Course::new(self, operation, ticket, began, deadline);
                Box::pin(course.go_on(flight, event)).await
            }
        }
    }

    /// A ticket of the partition's session, which may have to be registered.
    async fn take_ticket(&self, route: &Route, deadline: Instant) -> Result<Ticket, Fault> {
        let register = || async {
            let target = v1::Target { partition: route.id, ..Default::default() };
            let request = v1::RegisterRequest { target: Some(target) };
            let registering = self.execute(Operation::Register(request), deadline);
            match Box::pin(registering).await {
                Ok(Answer::Register(answer)) => Ok(answer.session_id),
                Ok(_) => Err(Fault::unavailable("the registration got another answer")),
                // Of the write itself, which was not sent, nothing is unknown.
                Err(fault) => Err(Fault::unavailable(format!(
                    "no session could be registered with partition {}: {}",
                    route.id, fault.message
                ))),
            }
        };
        route.session.take(route.id, &self.settings.runtime, deadline, register).await
    }

    /// What the answers so far have seen.
    pub(crate) fn session_token(&self) -> Bytes {
        let seen = self.seen.lock();
        if seen.is_empty() { Bytes::new() } else { seen.to_bytes() }
    }

    pub(crate) fn forget_session_token(&self) {
        *self.seen.lock() = SessionToken::default();
    }

    /// Has a read see what the answers so far have seen.
    pub(crate) fn follow(&self, operation: &mut Operation) {
        if self.settings.track_session {
            prepare::follow(operation, &self.seen.lock());
        }
    }

    /// Remembers what an answer has seen.
    pub(crate) fn track(&self, answer: &Answer) {
        if !self.settings.track_session {
            return;
        }
        let header = match answer {
            Answer::Get(answer) => &answer.header,
            Answer::Put(answer) => &answer.header,
            Answer::Delete(answer) => &answer.header,
            Answer::Scan(answer) => &answer.header,
            Answer::Batch(answer) => &answer.header,
            Answer::Transact(answer) => &answer.header,
            Answer::Watch(answer) => &answer.header,
            Answer::Register(_) | Answer::Status(_) | Answer::Error(_) => return,
        };
        let Some(header) = header else { return };
        if let Ok(token) = SessionToken::from_bytes(&header.session_token) {
            self.seen.lock().merge(&token);
        }
    }
}

fn front(endpoints: &[String], settings: &Arc<Settings>) -> Group {
    let replicas = endpoints.iter().map(|address| Replica {
        connection: Connection::to_endpoint(address.clone(), settings.clone()),
        voter: true,
    });
    Group::new(replicas.collect(), Arc::new(LeaderCell::default()))
}

/// Writes the session and sequence into a write.
fn number(operation: &mut Operation, ticket: Option<&Ticket>) {
    if let (Some(ticket), Some(session)) = (ticket, prepare::session(operation)) {
        *session = Some(ticket.to_wire());
    }
}
