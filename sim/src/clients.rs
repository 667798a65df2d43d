//! Clients: what they ask, how they retry, what they remember.

use crate::agenda::{Agenda, Next};
use crate::checks::Violation;
use crate::context::Context;
use crate::events::{Arrival, Ask, ClientEvent, Event, InFlight, Refusal, Request};
use crate::history::{Action, Answer, Operation};
use crate::mutants::Mutant;
use crate::routes::Routes;
use crate::time::{SimTime, millis, seconds};
use crate::workload;
use doug_client::At;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A client with a few operations under way at once.
#[derive(Debug)]
pub struct Client {
    index: usize,
    agenda: Agenda,
    uses_sessions: bool,
    sessions: BTreeMap<u64, Session>,
    routes: Routes,
    slots: Vec<Option<Running>>,
    next_operation: u64,
}

#[derive(Debug)]
struct Session {
    id: u64,
    next: u64,
    unanswered: BTreeSet<u64>,
}

/// An operation under way.
#[derive(Debug)]
struct Running {
    number: u64,
    operation: Operation,
    deadline: SimTime,
    attempt: u32,
    /// Session and sequence of a write.
    claim: Option<(u64, u64)>,
    /// Some try may have been applied.
    uncertain: bool,
    target: usize,
    is_final: bool,
}

/// An operation ends so long after it was asked, answered or not.
const DEADLINE: Duration = seconds(4);

impl Client {
    /// A client; `index` also names its values.
    pub fn new(index: usize, cx: &Context) -> Self {
        let mut agenda = Agenda::new(index, cx);
        let uses_sessions = agenda.random.chance(cx.plan.workload.sessions);
        Self {
            index,
            agenda,
            uses_sessions,
            sessions: BTreeMap::new(),
            routes: Routes::new(cx),
            slots: (0..cx.plan.workload.width).map(|_| None).collect(),
            next_operation: 0,
        }
    }

    /// Schedules its first operations.
    pub fn begin(&mut self, cx: &mut Context) {
        for slot in 0..self.slots.len() {
            let delay = self.agenda.first();
            self.schedule(delay, ClientEvent::Begin { slot }, cx);
        }
    }

    /// Tells it to write to and read each of these partitions once more, and then to rest.
    pub fn rest_after(&mut self, partitions: &[u64]) {
        self.agenda.rest_after(partitions);
    }

    /// Whether it has nothing left to do.
    pub fn rests(&self) -> bool {
        self.agenda.is_done() && self.slots.iter().all(Option::is_none)
    }

    fn schedule(&self, delay: Duration, event: ClientEvent, cx: &mut Context) {
        cx.after(delay, Event::Client { client: self.index, event });
    }

    fn schedule_next(&mut self, slot: usize, cx: &mut Context) {
        let delay = self.agenda.pause(cx);
        self.schedule(delay, ClientEvent::Begin { slot }, cx);
    }

    /// Something happens to it.
    ///
    /// # Errors
    /// An answer that breaks a promise.
    pub fn handle(&mut self, event: ClientEvent, cx: &mut Context) -> Result<(), Violation> {
        match event {
            ClientEvent::Begin { slot } => self.start(slot, cx),
            ClientEvent::Again { slot, operation, attempt } => {
                if self.is_current(slot, operation, attempt) {
                    self.send(slot, cx);
                }
                Ok(())
            }
            ClientEvent::Reply { slot, operation, attempt, server, result } => {
                let running = self.slots[slot].as_ref();
                if running.is_none_or(|running| running.number != operation) {
                    return Ok(());
                }
                match *result {
                    Ok(answer) => self.answered(slot, server, answer, cx),
                    Err(refusal) => self.refused(slot, attempt, &refusal, cx),
                }
            }
            ClientEvent::Map(map) => {
                self.routes.learn(&map, cx);
                Ok(())
            }
            ClientEvent::Timeout { slot, operation, attempt } => {
                if !self.is_current(slot, operation, attempt) {
                    return Ok(());
                }
                cx.coverage.hit("client timeout");
                self.unsure(slot);
                self.routes.ask(self.index, &mut self.agenda.random, cx);
                self.again_or_give_up(slot, Duration::ZERO, cx)
            }
        }
    }

    fn is_current(&self, slot: usize, operation: u64, attempt: u32) -> bool {
        let running = self.slots[slot].as_ref();
        running.is_some_and(|running| (running.number, running.attempt) == (operation, attempt))
    }

    fn start(&mut self, slot: usize, cx: &mut Context) -> Result<(), Violation> {
        if self.slots[slot].is_some() {
            return Ok(());
        }
        let Some(next) = self.agenda.next(slot, cx) else { return Ok(()) };
        let Next { partition, mut action, mut is_final } = next;
        let mut claim = None;
        if self.uses_sessions && action.writes() {
            match self.sessions.get_mut(&partition) {
                Some(session) => {
                    claim = Some((session.id, session.next));
                    session.unanswered.insert(session.next);
                    session.next += 1;
                }
                None => {
                    is_final = false;
                    action = Action::Register;
                }
            }
        }
        self.next_operation += 1;
        let operation = Operation {
            client: self.index,
            partition,
            action,
            asked: cx.now,
            answered: None,
            staleness: None,
            server: 0,
            tries: 0,
        };
        self.slots[slot] = Some(Running {
            number: self.next_operation,
            operation,
            deadline: cx.now + DEADLINE,
            attempt: 0,
            claim,
            uncertain: false,
            target: 0,
            is_final,
        });
        self.send(slot, cx);
        Ok(())
    }

    /// Whether only the leader can answer.
    fn needs_leader(action: &Action) -> bool {
        use crate::history::Freshness::Linearizable;
        match action {
            Action::Register | Action::Put { .. } | Action::Delete { .. } | Action::Transact(_) => {
                true
            }
            Action::Get { freshness, .. } | Action::Scan { freshness, .. } => {
                *freshness == Linearizable
            }
            Action::Past { .. } => false,
        }
    }

    fn send(&mut self, slot: usize, cx: &mut Context) {
        let Some(running) = self.slots[slot].as_mut() else { return };
        let partition = running.operation.partition;
        let known = self.routes.leader(partition);
        let anyone = *self.agenda.random.pick(&self.routes.holders(partition, cx));
        let target = match known {
            Some(leader) if Self::needs_leader(&running.operation.action) => leader,
            _ => anyone,
        };
        running.target = target;
        running.attempt += 1;
        running.operation.tries += 1;
        if running.attempt > 1
            && cx.plan.mutant == Mutant::RetryAsNewWrite
            && let (Some(claim), Some(session)) =
                (running.claim.as_mut(), self.sessions.get_mut(&partition))
        {
            claim.1 = session.next;
            session.next += 1;
        }
        let claim = running.claim.map(|(id, sequence)| {
            let session = self.sessions.get(&partition);
            let lowest = session.and_then(|s| s.unanswered.first().copied());
            (id, sequence, lowest.unwrap_or(sequence))
        });
        let ask = workload::encode(&running.operation.action, claim);
        let (operation, attempt) = (running.number, running.attempt);
        if attempt > 1 && matches!(ask, Ask::Write(_)) {
            cx.coverage.hit("write sent again");
        }
        let patience = self.agenda.random.duration_between(millis(150), millis(900));
        let timeout = cx.now.until(running.deadline).min(patience).max(millis(1));
        let from = InFlight { client: self.index, slot, operation, attempt };
        let request = Request { from, partition, ask, timeout };
        let place = cx.client_place(self.index);
        for at in cx.network.send(cx.now, place, target).into_iter().flatten() {
            // Without a session, a request reaches a server once at most.
            let twice = attempt_is_repeatable(&request, claim.is_some());
            let arrival = Box::new(Arrival::Request(request.clone()));
            let sent = (place, cx.now);
            cx.schedule.add(at, Event::Arrival { node: target, sent, arrival });
            if !twice {
                break;
            }
        }
        self.schedule(timeout + millis(5), ClientEvent::Timeout { slot, operation, attempt }, cx);
    }

    fn answered(
        &mut self,
        slot: usize,
        server: usize,
        answer: Answer,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let Some(mut running) = self.slots[slot].take() else { return Ok(()) };
        let partition = running.operation.partition;
        if Self::needs_leader(&running.operation.action) {
            self.routes.leads(partition, running.target);
        }
        if let (Action::Register, Answer::Written { revision, .. }) =
            (&running.operation.action, &answer)
        {
            cx.coverage.hit("session registered");
            let session = Session { id: *revision, next: 1, unanswered: BTreeSet::new() };
            self.sessions.entry(partition).or_insert(session);
        }
        cx.trace.detail(cx.now, || format!("client {} is answered: {:?}", self.index, answer));
        self.settle(&running);
        if running.operation.action.writes() && answer.is_done() {
            self.agenda.wrote();
        }
        count(&running.operation.action, &answer, cx);
        self.agenda.answered(&running.operation, &answer);
        running.operation.server = server;
        running.operation.answered = Some((cx.now, answer));
        if running.is_final {
            self.agenda.final_operation_done();
        }
        self.end(slot, running.operation, cx)
    }

    /// The sequence of a write is not awaited any longer.
    fn settle(&mut self, running: &Running) {
        if let Some((id, sequence)) = running.claim
            && let Some(session) = self.sessions.get_mut(&running.operation.partition)
            && session.id == id
        {
            session.unanswered.remove(&sequence);
        }
    }

    fn end(
        &mut self,
        slot: usize,
        operation: Operation,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        self.schedule_next(slot, cx);
        if matches!(operation.action, Action::Register) {
            return Ok(());
        }
        cx.checks.ended(operation)
    }

    fn unsure(&mut self, slot: usize) {
        if let Some(running) = self.slots[slot].as_mut() {
            running.uncertain = true;
            self.routes.forget_leader(running.operation.partition);
        }
    }

    fn refused(
        &mut self,
        slot: usize,
        attempt: u32,
        refusal: &Refusal,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let Some(running) = self.slots[slot].as_mut() else { return Ok(()) };
        let partition = running.operation.partition;
        if refusal.expired {
            cx.coverage.hit("session expired");
            running.uncertain = true;
            running.deadline = SimTime::ZERO;
            self.sessions.remove(&partition);
        }
        if !refusal.not_executed {
            running.uncertain = true;
        }
        if running.attempt != attempt {
            return Ok(());
        }
        let hint = refusal.leader.and_then(|leader| cx.database.index_of(leader));
        match hint {
            Some(leader) => {
                cx.coverage.hit("redirected");
                self.routes.leads(partition, leader);
            }
            None => {
                self.routes.forget_leader(partition);
            }
        }
        if refusal.not_here {
            self.routes.ask(self.index, &mut self.agenda.random, cx);
        }
        let pause = if hint.is_some() {
            millis(1)
        } else {
            self.agenda.random.duration_between(millis(5), millis(40))
        };
        self.again_or_give_up(slot, pause, cx)
    }

    /// Nothing that may have been applied is sent again without a session.
    fn again_or_give_up(
        &mut self,
        slot: usize,
        pause: Duration,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let Some(running) = self.slots[slot].as_mut() else { return Ok(()) };
        let writes = running.operation.action.writes();
        let repeatable = !writes || running.claim.is_some() || !running.uncertain;
        if repeatable && cx.now + pause < running.deadline {
            let (operation, attempt) = (running.number, running.attempt);
            self.schedule(pause, ClientEvent::Again { slot, operation, attempt }, cx);
            return Ok(());
        }
        let Some(running) = self.slots[slot].take() else { return Ok(()) };
        self.settle(&running);
        if writes && running.uncertain {
            cx.coverage.hit("write of unknown outcome");
            cx.trace.detail(cx.now, || {
                format!("client {} gives up, unknown: {:?}", self.index, running.operation)
            });
            return self.end(slot, running.operation, cx);
        }
        cx.coverage.hit("operation not executed");
        cx.trace
            .detail(cx.now, || format!("client {} gives up {:?}", self.index, running.operation));
        if writes {
            cx.checks.refused(running.operation);
        }
        self.schedule_next(slot, cx);
        Ok(())
    }
}

fn attempt_is_repeatable(request: &Request, has_session: bool) -> bool {
    has_session || !matches!(request.ask, Ask::Write(_))
}

/// Counts what was answered.
pub fn count(action: &Action, answer: &Answer, cx: &mut Context) {
    use crate::history::Freshness;
    if action.writes() && answer.is_done() {
        cx.coverage.hit("write acknowledged");
    }
    let name = match (action, answer) {
        (Action::Put { .. } | Action::Delete { .. }, Answer::Written { met: false, .. }) => {
            "condition not met"
        }
        (Action::Transact(_), Answer::Transacted(outcome)) => match outcome {
            _ if !action.writes() => "transaction that only reads",
            outcome if outcome.obstacle.is_some() => "transaction met an obstacle",
            outcome if outcome.answers_dropped => "transaction answered without its answers",
            outcome if outcome.conditions_met => "transaction: then",
            _ => "transaction: else",
        },
        (Action::Put { .. } | Action::Delete { .. } | Action::Transact(_), _) => return,
        (Action::Get { freshness, .. }, _) => match freshness {
            Freshness::Linearizable => "linearizable read",
            Freshness::Bounded(_) => "bounded read",
            Freshness::Session(_) => "session read",
            Freshness::Eventual => "eventual read",
        },
        (Action::Past { at: At::Revision(_), .. }, _) => "read at a revision",
        (Action::Past { at: At::Stamp(_), .. }, _) => "read at a time",
        (Action::Scan { .. }, _) => "scan",
        (Action::Register, _) => return,
    };
    cx.coverage.hit(name);
}
