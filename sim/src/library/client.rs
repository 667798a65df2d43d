//! A client that runs the library that ships: straight to the nodes, or through facades.

use super::operations::{Asked, Done, Header, Page};
use super::program::Running;
use super::watcher::Watcher;
use crate::agenda::{Agenda, Next};
use crate::checks::Violation;
use crate::clients::count;
use crate::context::Context;
use crate::events::Event;
use crate::history::{Action, Answer, Freshness, Operation};
use crate::library::LibraryEvent;
use crate::random::Random;
use crate::time::{millis, seconds};
use doug_client::{At, Client, Fault, Range};
use doug_proto::token::SessionToken;
use doug_proto::v1::stream_answer::Answer as Wire;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// An operation ends so long after it was asked, answered or not.
pub const DEADLINE: Duration = seconds(4);
/// How late it may end: the library's timers are exact.
const LATE: Duration = millis(2);

/// The client's side of its program.
pub struct Caller {
    /// Its number among all clients.
    pub index: usize,
    program: usize,
    client: Client,
    agenda: Agenda,
    slots: Vec<Option<UnderWay>>,
    next: u64,
    done: Arc<Mutex<Vec<(usize, Done)>>>,
    /// What it asks of the past is drawn apart, and does not change what else it asks.
    random: Random,
    /// Stamps that it has met.
    stamps: Vec<u64>,
    watchers: Vec<Watcher>,
}

/// An operation under way.
struct UnderWay {
    operation: Operation,
    asked: Asked,
    /// What its client had seen of each partition.
    seen: SessionToken,
    is_final: bool,
}

const NAME: &str = "an answer is success, failure or unknown";

impl Caller {
    /// A client; `index` also names its values.
    pub fn new(index: usize, program: usize, client: Client, cx: &Context) -> Self {
        Self {
            index,
            program,
            client,
            agenda: Agenda::new(index, cx),
            slots: (0..cx.plan.workload.width).map(|_| None).collect(),
            next: 0,
            done: Arc::default(),
            random: Random::for_purpose(cx.plan.seed, 1_000 + index as u64),
            stamps: Vec::new(),
            watchers: Vec::new(),
        }
    }

    /// Begins its watches.
    pub fn watch(&mut self, running: &Running, cx: &Context) {
        let mut random = Random::for_purpose(cx.plan.seed, 8_000 + self.index as u64);
        for number in 0..random.below(3) as usize {
            let runtime = Arc::new(running.executor.clock());
            let (id, client) = ((self.index, number), self.client.clone());
            let (watcher, task) = Watcher::begin(id, client, runtime, &mut random, cx);
            running.executor.spawn(task);
            self.watchers.push(watcher);
        }
    }

    /// What one of its watches is about.
    pub fn watched(&self, number: usize) -> Option<&Range> {
        self.watchers.get(number).map(|watcher| &watcher.range)
    }

    /// Schedules its first operations.
    pub fn begin(&mut self, cx: &mut Context) {
        for slot in 0..self.slots.len() {
            let delay = self.agenda.first();
            self.schedule(delay, slot, cx);
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

    fn schedule(&self, delay: Duration, slot: usize, cx: &mut Context) {
        let event = LibraryEvent::Ask { client: self.program, slot };
        cx.after(delay, Event::Library(event));
    }

    /// Asks the library something.
    pub fn ask(&mut self, slot: usize, running: &Running, cx: &mut Context) {
        if self.slots[slot].is_some() {
            return;
        }
        let Some(next) = self.agenda.next(slot, cx) else { return };
        let Next { partition, mut action, is_final } = next;
        let token = self.client.session_token();
        let seen = SessionToken::from_bytes(&token).unwrap_or_default();
        if let Action::Get { freshness, .. } | Action::Scan { freshness, .. } = &mut action
            && let Freshness::Session(_) = freshness
        {
            // Until it was told anything, its session has seen nothing, and has no token.
            *freshness = if token.is_empty() {
                Freshness::Eventual
            } else {
                Freshness::Session(seen.revision(partition))
            };
        }
        if !is_final && matches!(action, Action::Get { .. } | Action::Scan { .. }) {
            action = self.perhaps_of_the_past(action, partition, &seen);
        }
        // A revision is of one partition.
        let of_one = matches!(action, Action::Past { at: At::Revision(_), .. });
        let everywhere = !is_final && !of_one && self.agenda.random.chance(700);
        let limit = (cx.plan.workload.keys / self.agenda.random.pick(&[1, 2, 4, 12])).max(2) as u32;
        let scanned = (!everywhere).then_some(partition);
        let asked = Asked::new(&action, token, scanned, limit);
        self.next += 1;
        let operation = Operation {
            client: self.index,
            partition,
            action,
            asked: cx.now,
            answered: None,
            staleness: None,
            server: 0,
            tries: 1,
        };
        let (client, done, work) = (self.client.clone(), self.done.clone(), asked.clone());
        running.executor.spawn(async move {
            let result = work.carry_out(&client, DEADLINE).await;
            done.lock().push((slot, result));
        });
        self.slots[slot] = Some(UnderWay { operation, asked, seen, is_final });
    }

    /// A third of the reads see the past: a revision or a stamp that the client has met, or one a
    /// little later, which nobody may have closed yet.
    fn perhaps_of_the_past(
        &mut self,
        action: Action,
        partition: u64,
        seen: &SessionToken,
    ) -> Action {
        let random = &mut self.random;
        if self.stamps.len() < 1_000 || random.chance(100) {
            self.stamps.push(seen.stamp);
        }
        if !random.chance(330) || seen.is_empty() {
            return action;
        }
        let (key, reverse) = match action {
            Action::Get { key, .. } => (Some(key), false),
            other => (None, other.scans().unwrap_or(false)),
        };
        let revision = seen.revision(partition);
        let at = match random.below(4) {
            0 => At::Revision(revision - random.below(revision.min(100) + 1)),
            1 => At::Stamp(seen.stamp + (random.below(20) << 16)),
            2 => At::Stamp(*random.pick(&self.stamps[self.stamps.len().saturating_sub(20)..])),
            _ => At::Stamp(*random.pick(&self.stamps)),
        };
        Action::Past { key, at, reverse }
    }

    /// Takes in what the library has reported since.
    ///
    /// # Errors
    /// A report that breaks a promise.
    pub fn take_reports(&mut self, cx: &mut Context) -> Result<(), Violation> {
        self.watchers.iter().try_for_each(|watcher| watcher.take_reports(cx))?;
        let done = std::mem::take(&mut *self.done.lock());
        for (slot, done) in done {
            let Some(running) = self.slots[slot].take() else { continue };
            let delay = self.agenda.pause(cx);
            self.schedule(delay, slot, cx);
            cx.trace.detail(cx.now, || format!("client {} is told: {done:?}", self.index));
            self.report(running, done, cx)?;
        }
        Ok(())
    }

    fn report(&mut self, running: UnderWay, done: Done, cx: &mut Context) -> Result<(), Violation> {
        let UnderWay { operation, asked, seen, is_final } = running;
        cx.coverage.hit("library operation");
        let is_late = !asked.is_scan() && cx.now > operation.asked + DEADLINE + LATE;
        if is_late {
            let what = format!(
                "client {} asked at {} s and was told at {} s: {done:?}",
                self.index, operation.asked, cx.now
            );
            return Err(Violation::new("operations end at their deadlines", what));
        }
        match done {
            Done::Answered(answer) => {
                stamped_later(&answer, operation.action.writes(), &seen)?;
                let answered = asked.understand(&answer, operation.partition, cx);
                let (answer, header) = answered.map_err(|what| {
                    Violation::new(NAME, format!("client {}: {what}", self.index))
                })?;
                self.answered(operation, answer, header, cx)?;
            }
            Done::Scanned(pages) => self.scanned(&operation, &seen, &pages, cx)?,
            Done::Failed(fault) => return self.failed(operation, &fault, cx),
        }
        if is_final {
            self.agenda.final_operation_done();
        }
        Ok(())
    }

    fn answered(
        &mut self,
        mut operation: Operation,
        answer: Answer,
        header: Header,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        if operation.action.writes() && answer.is_done() {
            self.agenda.wrote();
        }
        count(&operation.action, &answer, cx);
        self.agenda.answered(&operation, &answer);
        (operation.server, operation.staleness) = (header.server, header.staleness);
        operation.answered = Some((cx.now, answer));
        cx.checks.ended(operation)
    }

    /// One operation of the history for each partition that the scan met.
    fn scanned(
        &mut self,
        operation: &Operation,
        seen: &SessionToken,
        pages: &[Page],
        cx: &mut Context,
    ) -> Result<(), Violation> {
        if pages.len() > 1 {
            cx.coverage.hit("library scan of several pages");
        }
        let map = cx.database.map.clone();
        let parts = crate::checks::scans::parts(operation, pages, &map)?;
        if parts.len() > 1 {
            cx.coverage.hit("library scan of several partitions");
        }
        for (partition, answer) in parts {
            let mut operation = Operation { partition, ..operation.clone() };
            if let Action::Scan { freshness: Freshness::Session(least), .. } = &mut operation.action
            {
                *least = seen.revision(partition);
            }
            // Which node served which partition the library does not say.
            let header = Header { server: crate::history::ANY_SERVER, staleness: None };
            self.answered(operation, answer, header, cx)?;
        }
        Ok(())
    }

    fn failed(
        &mut self,
        operation: Operation,
        fault: &Fault,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        use tonic::Code;
        let wrong = |what: &str| {
            let what = format!("client {}: {what}: {fault:?}", self.index);
            Err(Violation::new(NAME, what))
        };
        if let (Action::Past { .. }, Some(floor)) = (&operation.action, fault.floor()) {
            cx.coverage.hit("read of the past refused: compacted");
            return cx.checks.compacted(&operation, floor);
        }
        // The clock of the partition asked may be behind that of another.
        if fault.clock_ahead_by().is_some() && matches!(operation.action, Action::Past { .. }) {
            return Ok(());
        }
        if matches!(fault.code, Code::InvalidArgument | Code::Unimplemented | Code::Internal) {
            return wrong("a valid request was refused as if it were not");
        }
        // Where a partition is, the library finds out by itself.
        if fault.leader_hint().is_some() || fault.wrong_partition().is_some() {
            return wrong("the caller is left to find the partition");
        }
        let is_scan = operation.action.scans().is_some();
        if fault.code == Code::FailedPrecondition && !fault.is_session_expired() && !is_scan {
            return wrong("an operation that asks for nothing special was refused");
        }
        if !operation.action.writes() {
            cx.coverage.hit("library read failed");
            return if fault.is_outcome_unknown() {
                wrong("a read is called unknown")
            } else {
                Ok(())
            };
        }
        // Until the clocks of its partition have caught up no write with this token is taken.
        if fault.clock_ahead_by().is_some() {
            cx.coverage.hit("session token let go: ahead of the clock");
            self.client.forget_session_token();
        }
        match (fault.is_not_executed(), fault.is_outcome_unknown()) {
            (true, false) => {
                cx.coverage.hit("library write failed for certain");
                cx.checks.refused(operation);
                Ok(())
            }
            (false, true) => {
                cx.coverage.hit("library write of unknown outcome");
                cx.checks.ended(operation)
            }
            (true, true) => wrong("an error says that it is certain and that it is not"),
            (false, false) => wrong("an error of a write does not say what became of it"),
        }
    }
}

/// A write has a later stamp than all that its client had seen, of whichever partition, before it
/// began.
fn stamped_later(answer: &Wire, is_write: bool, seen: &SessionToken) -> Result<(), Violation> {
    let header = match answer {
        Wire::Put(answer) => &answer.header,
        Wire::Delete(answer) => &answer.header,
        Wire::Batch(answer) => &answer.header,
        Wire::Transact(answer) if is_write => &answer.header,
        _ => return Ok(()),
    };
    match header.as_ref().map(|header| header.stamp) {
        Some(stamp) if stamp > seen.stamp => Ok(()),
        stamp => {
            let what =
                format!("a write has stamp {stamp:?}, and its client had seen {}", seen.stamp);
            Err(Violation::new("a write that follows another is stamped later", what))
        }
    }
}
