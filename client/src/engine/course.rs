//! The course of one operation after its first attempt did not conclude it:
//! further attempts, in turn or side by side, until one does or the deadline.

use super::pause::Pauses;
use super::prepare::{self, Kind};
use super::retry::{Decision, Ended, Identity, Situation, Where, decide};
use super::verdict::{self, Known, as_unknown, silence};
use super::{Engine, number, routing};
use crate::connection::{Attempt, Connection, Event};
use crate::map::{LeaderCell, Route, Want};
use crate::sessions::Ticket;
use crate::simulation::{Bug, has_bug};
use doug_proto::error::Fault;
use doug_proto::v1::{stream_answer::Answer, stream_operation::Operation};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// The end of an operation's time, a tenth but at most this long, in which a
/// write that all have refused so far is not tried again: an attempt that the
/// deadline cuts off would turn a definite failure into an unknown outcome. Nor is a
/// read that an endpoint has refused: what stood in the way is known by then. Longer
/// than the time that an answer has for its way back, or what an endpoint says at its
/// own deadline would be followed by such an attempt.
const LAST_CALL_MOST: Duration = Duration::from_millis(100);

/// One attempt under way.
pub(super) struct Flight {
    attempt: Attempt,
    connection: Connection,
    silent: bool,
}

impl Flight {
    pub(super) fn new(attempt: Attempt, connection: Connection) -> Self {
        Self { attempt, connection, silent: false }
    }
}

/// What to do next.
enum Step {
    Done(Result<Answer, Fault>),
    /// Make an attempt, there if given.
    Launch(Option<Connection>),
    /// Make one after a pause, there if given.
    Pause(Option<Connection>),
    /// Wait for the attempts under way.
    Wait,
}

/// Why a wait ended.
enum Woke {
    Flight(usize, Event),
    PauseOver,
    /// Meanwhile somebody else found the leader.
    LeaderFound,
    Deadline,
}

/// An operation on its way.
pub(super) struct Course<'e> {
    engine: &'e Engine,
    operation: Operation,
    kind: Kind,
    /// Whether it gets sessions of this client.
    own: bool,
    ticket: Option<Ticket>,
    began: Instant,
    deadline: Instant,
    /// Part of the time before the deadline: see [`LAST_CALL_MOST`].
    last_call: Duration,
    flights: Vec<Flight>,
    /// Asked in this round, to no avail. A round ends when all were asked.
    tried: Vec<Connection>,
    /// Whether an attempt that has ended may have been applied, or may yet be.
    uncertain: bool,
    pauses: Pauses,
    last: Option<Fault>,
    /// Whether `last` is what a server said.
    told: bool,
}

impl<'e> Course<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        operation: Operation,
        ticket: Option<Ticket>,
        began: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            engine,
            kind: Kind::of(&operation),
            operation,
            own: ticket.is_some(),
            ticket,
            began,
            deadline,
            last_call: (deadline.saturating_duration_since(began) / 10).min(LAST_CALL_MOST),
            flights: Vec::new(),
            tried: Vec::new(),
            uncertain: false,
            pauses: Pauses::new(),
            last: None,
            told: false,
        }
    }

    /// Goes on after `event` of the first attempt.
    pub(super) async fn go_on(mut self, first: Flight, event: Event) -> Result<Answer, Fault> {
        self.flights.push(first);
        let mut step = self.after(0, event);
        loop {
            step = match step {
                Step::Done(result) => return result,
                Step::Launch(whither) => match self.launch(whither).await {
                    Ok(step) => step,
                    Err(fault) => return Err(self.give_up(fault)),
                },
                Step::Pause(then) => {
                    let overloaded = self.is_overload();
                    let pause = self.pauses.next(overloaded, &self.engine.settings.jitter);
                    let until = self.engine.now() + pause;
                    if self.is_refused() && until + self.last_call > self.deadline {
                        return Err(self.out_of_time());
                    }
                    self.wait(Some(until), then).await
                }
                Step::Wait => self.wait(None, None).await,
            };
        }
    }

    async fn wait(&mut self, until: Option<Instant>, then: Option<Connection>) -> Step {
        match self.woken(until).await {
            Woke::Flight(index, event) => match (self.after(index, event), until) {
                // What ends during a pause without a conclusion does not end the pause.
                (Step::Wait, Some(_)) => Step::Pause(then),
                (step, _) => step,
            },
            Woke::PauseOver => Step::Launch(then),
            Woke::LeaderFound => {
                self.tried.clear();
                Step::Launch(None)
            }
            Woke::Deadline => Step::Done(Err(self.out_of_time())),
        }
    }

    async fn woken(&mut self, until: Option<Instant>) -> Woke {
        let table = self.engine.map.current();
        let group = self.engine.group(table.as_deref(), &self.operation).ok();
        let leader = group.map(|group| group.leader.clone());
        let news = async {
            match (&leader, until) {
                (Some(leader), Some(_)) => leader.changed().await,
                _ => std::future::pending().await,
            }
        };
        let runtime = &self.engine.settings.runtime;
        let flights = &mut self.flights;
        let event = poll_fn(|context| {
            for (index, flight) in flights.iter_mut().enumerate() {
                if let Poll::Ready(event) = flight.attempt.poll_event(context) {
                    return Poll::Ready((index, event));
                }
            }
            Poll::Pending
        });
        let pause = async {
            match until {
                Some(until) => runtime.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            (index, event) = event => Woke::Flight(index, event),
            () = runtime.sleep_until(self.deadline) => Woke::Deadline,
            () = news => Woke::LeaderFound,
            () = pause => Woke::PauseOver,
        }
    }

    /// Draws the conclusion of one event.
    fn after(&mut self, index: usize, event: Event) -> Step {
        if let Event::Silent = event {
            return self.after_silence(index);
        }
        let flight = self.flights.swap_remove(index);
        let leader = self.leader_cell();
        match event {
            Event::Silent => unreachable!("handled above"),
            Event::Answer(Answer::Error(error)) => {
                self.after_fault(flight.connection, Fault::from_wire(error))
            }
            Event::Answer(answer) => {
                if let (Some(leader), Want::Leader) = (leader, self.engine.want(self.kind)) {
                    leader.set(&flight.connection);
                }
                Step::Done(Ok(answer))
            }
            Event::Deadline { possibly_sent } => {
                self.uncertain |= possibly_sent;
                Step::Done(Err(self.out_of_time()))
            }
            Event::NotSent(why) => {
                forget(leader, &flight.connection);
                self.learn(Fault::unavailable(why));
                let barred = self.engine.barred(self.began);
                if let Some(fault) = barred.filter(|_| !self.possibly_applied()) {
                    return Step::Done(Err(fault));
                }
                self.follow(flight.connection, Ended::NotSent)
            }
            Event::Full(why) => {
                self.learn(Fault::exhausted(why));
                self.follow(flight.connection, Ended::Full)
            }
            Event::Lost(why) => {
                forget(leader, &flight.connection);
                let step = self.follow(flight.connection, Ended::Lost);
                self.uncertain = true;
                self.learn(Fault::new(Code::Unavailable, why.clone()));
                match step {
                    Step::Done(_) => Step::Done(Err(Fault::unknown(format!(
                        "{why}; the write had been sent without a session, so it may or may not \
                         have been applied: read the key to find out"
                    )))),
                    step => step,
                }
            }
        }
    }

    /// A server owes an answer and says nothing at all: ask another as well, if
    /// being carried out twice is harmless, or if the first can be taken back.
    fn after_silence(&mut self, index: usize) -> Step {
        let leader = self.leader_cell();
        let flight = &mut self.flights[index];
        flight.silent = true;
        forget(leader, &flight.connection);
        let repeatable = self.situation().repeatable();
        let flight = &mut self.flights[index];
        if !repeatable && flight.attempt.withdraw() {
            let flight = self.flights.swap_remove(index);
            self.learn(silence(&flight.connection));
            return self.follow(flight.connection, Ended::NotSent);
        }
        let silence = silence(&flight.connection);
        self.learn(silence);
        let others_speak = self.flights.iter().any(|flight| !flight.silent);
        if repeatable && !others_speak { Step::Launch(None) } else { Step::Wait }
    }

    fn after_fault(&mut self, from: Connection, fault: Fault) -> Step {
        let decision = decide(self.situation(), Ended::Fault(&fault));
        if fault.is_outcome_unknown() || !fault.is_not_executed() {
            // Expired sessions apply nothing, whatever else they leave open.
            self.uncertain |= !fault.is_session_expired();
        }
        if fault.is_session_expired() {
            self.drop_session();
        }
        match decision {
            Decision::Fail => return Step::Done(Err(fault)),
            Decision::FailNotExecuted if fault.is_not_executed() => return Step::Done(Err(fault)),
            Decision::FailNotExecuted => return Step::Done(Err(fault.not_executed())),
            Decision::FailUnknown => return Step::Done(Err(as_unknown(fault))),
            Decision::NewSession => self.ticket = None,
            Decision::Now(_) | Decision::Later(_) => {}
        }
        let step = self.again(decision, from, &fault);
        (self.last, self.told) = (Some(fault), true);
        step
    }

    /// Remembers what became of an attempt that no server answered.
    fn learn(&mut self, fault: Fault) {
        (self.last, self.told) = (Some(fault), false);
    }

    /// Whether it is known that nobody takes it, so that no more than that can come of
    /// another try that the deadline cuts off.
    fn is_refused(&self) -> bool {
        match self.kind {
            Kind::Write => !self.possibly_applied(),
            _ => self.told && self.engine.front.is_some(),
        }
    }

    /// Where a fault that another try may mend leads.
    fn again(&mut self, decision: Decision, from: Connection, fault: &Fault) -> Step {
        if decision == Decision::NewSession {
            return Step::Launch(Some(from));
        }
        if let Some(hint) = fault.leader_hint() {
            forget(self.leader_cell(), &from);
            let hinted = (decision == Decision::Now(Where::Hint)).then(|| self.engine.hinted(hint));
            return self.follow_hint(from, hinted.flatten());
        }
        if let Some(wrong) = fault.wrong_partition()
            && self.engine.map.learn(wrong)
        {
            self.tried.clear();
            return Step::Launch(None);
        }
        self.carry_out(decision, from)
    }

    /// Goes where the leader is said to be: at once, but after a pause where this
    /// operation has just been refused, and not where it waits already.
    fn follow_hint(&mut self, from: Connection, hinted: Option<Connection>) -> Step {
        self.tried.push(from);
        let Some(hinted) = hinted.filter(|_| !has_bug(Bug::LeaderForEver)) else {
            return self.pause_unless_flying(None);
        };
        let waiting = self.flights.iter().any(|flight| flight.connection.same(&hinted));
        if waiting || hinted.is_silent() {
            return self.pause_unless_flying(None);
        }
        if self.tried.iter().any(|tried| tried.same(&hinted)) {
            return self.pause_unless_flying(Some(hinted));
        }
        if let (Some(leader), Want::Leader) = (self.leader_cell(), self.engine.want(self.kind)) {
            leader.suggest(&hinted);
        }
        Step::Launch(Some(hinted))
    }

    fn follow(&mut self, from: Connection, ended: Ended<'_>) -> Step {
        let decision = decide(self.situation(), ended);
        self.carry_out(decision, from)
    }

    fn carry_out(&mut self, decision: Decision, from: Connection) -> Step {
        match decision {
            Decision::Now(_) => {
                self.tried.push(from);
                Step::Launch(None)
            }
            Decision::Later(Where::Same) => Step::Pause(Some(from)),
            Decision::Later(_) => {
                self.tried.push(from);
                self.pause_unless_flying(None)
            }
            _ => Step::Done(Err(self.out_of_time())),
        }
    }

    /// While another attempt that speaks is under way its answer is awaited.
    fn pause_unless_flying(&self, then: Option<Connection>) -> Step {
        let speaking = self.flights.iter().any(|flight| !flight.silent);
        if speaking { Step::Wait } else { Step::Pause(then) }
    }

    /// Makes one more attempt.
    async fn launch(&mut self, whither: Option<Connection>) -> Result<Step, Fault> {
        if self.engine.now() >= self.deadline {
            return Ok(Step::Done(Err(self.out_of_time())));
        }
        let table = self.engine.table_for(self.own, self.deadline).await?;
        if has_bug(Bug::SequencePerAttempt) {
            self.ticket = None;
        }
        if let Some(table) = &table {
            let route = self.engine.route(table, &self.operation)?.clone();
            self.renew_ticket(&route).await?;
            routing::aim(&mut self.operation, &route, self.own)?;
        }
        number(&mut self.operation, self.ticket.as_ref());
        let group = self.engine.group(table.as_deref(), &self.operation)?;
        let chosen = whither.or_else(|| {
            let mut busy = self.tried.clone();
            busy.extend(self.flights.iter().map(|flight| flight.connection.clone()));
            group.choose(self.engine.want(self.kind), &busy)
        });
        let Some(connection) = chosen else {
            self.tried.clear();
            return Ok(Step::Pause(None));
        };
        let attempt = connection.submit(self.operation.clone(), self.engine.now(), self.deadline);
        self.flights.push(Flight::new(attempt, connection));
        Ok(Step::Wait)
    }

    /// A session means something only in its partition: a write whose key has
    /// moved to another takes a new one, unless it may have been applied.
    async fn renew_ticket(&mut self, route: &Route) -> Result<(), Fault> {
        let moved = self.ticket.as_ref().is_some_and(|ticket| ticket.partition != route.id);
        if moved && (self.uncertain || !self.flights.is_empty()) {
            return Err(Fault::unavailable(format!(
                "the key moved to partition {} while the write was under way",
                route.id
            )));
        }
        let missing = self.ticket.is_none() && self.own;
        if moved || missing {
            self.ticket = None;
            self.ticket = Some(self.engine.take_ticket(route, self.deadline).await?);
        }
        Ok(())
    }

    /// The partition has forgotten the session: no later write may use it.
    fn drop_session(&mut self) {
        let table = self.engine.map.current();
        if let (Some(table), Some(ticket)) = (table, &self.ticket)
            && let Some(route) = table.by_id(ticket.partition)
        {
            route.session.replace(ticket);
        }
    }

    fn identity(&self) -> Identity {
        if self.kind != Kind::Write {
            Identity::Absent
        } else if self.own {
            Identity::Own
        } else if prepare::brings_session(&self.operation) {
            Identity::Brought
        } else {
            Identity::Absent
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            kind: self.kind,
            identity: self.identity(),
            straight: self.engine.front.is_none(),
            uncertain: self.uncertain || !self.flights.is_empty(),
        }
    }

    fn leader_cell(&self) -> Option<Arc<LeaderCell>> {
        let table = self.engine.map.current();
        let group = self.engine.group(table.as_deref(), &self.operation).ok()?;
        Some(group.leader.clone())
    }

    /// Whether the last attempt found no room, there or on this machine.
    fn is_overload(&self) -> bool {
        self.last.as_ref().is_some_and(|fault| fault.code == Code::ResourceExhausted)
    }

    /// Why another attempt could not be made, told by what is known of the earlier ones.
    fn give_up(&self, fault: Fault) -> Fault {
        let write = self.kind == Kind::Write;
        if write && self.possibly_applied() { as_unknown(fault) } else { fault }
    }

    fn possibly_applied(&self) -> bool {
        if has_bug(Bug::UncertaintyForgotten) {
            return false;
        }
        self.uncertain || self.flights.iter().any(|flight| flight.attempt.possibly_sent())
    }

    /// A partition of which no node has answered as its leader, in words.
    fn leaderless(&self) -> Option<String> {
        let table = self.engine.map.current().filter(|_| self.engine.front.is_none())?;
        let route = self.engine.route(&table, &self.operation).ok()?;
        let nobody = self.kind != Kind::ReadAny && route.group.leader.get().is_none();
        let cluster = &table.map.partition(route.id).filter(|_| nobody)?.cluster;
        let id = route.id;
        Some(format!(
            "no leader of partition {id} (cluster {cluster}) was found within the deadline"
        ))
    }

    fn out_of_time(&self) -> Fault {
        verdict::out_of_time(Known {
            kind: self.kind,
            possibly_applied: self.possibly_applied(),
            said_by_endpoint: self.told && self.engine.front.is_some(),
            last: self.last.as_ref(),
            leaderless: self.leaderless(),
        })
    }
}

fn forget(leader: Option<Arc<LeaderCell>>, former: &Connection) {
    if let Some(leader) = leader {
        leader.forget(former);
    }
}
