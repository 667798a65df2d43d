//! A process's front door for the library's streams: operations planned, answered and
//! refused by the code that ships.

use super::death::Death;
use super::process::Process;
use crate::context::Context;
use crate::events::NodeEvent;
use crate::library::{NodeAnswer, StreamId};
use crate::mutants::Mutant;
use crate::time::{SimTime, micros};
use doug_node::flow::{Class, overloaded};
use doug_node::host::{Event, ReadKind, ReadyRead};
use doug_node::serving::{
    Asked, Interval, Plan, ReadFailure, Served, Site, Work, answer_read, answer_write, gone,
    just_joined, just_left, plan, replaying, serves, tell, with_leader_address,
};
use doug_node::work::RequestId;
use doug_proto::deadline;
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use doug_proto::v1::{self, StreamAnswer, StreamRequest, stream_answer::Answer};
use doug_raft::Stamp;
use doug_storage::tree::ReadError;
use std::sync::Arc;
use std::time::Duration;

/// An operation of the library that waits for its answer.
#[derive(Debug)]
pub(super) struct Operation {
    stream: StreamId,
    id: u64,
    partition: u64,
    asked: Asked,
    /// None while it waits for others to do something.
    class: Option<Class>,
    since: SimTime,
}

/// What a node knows when it takes operations up.
struct Here<'a> {
    process: &'a Process,
    map: Option<Arc<PartitionMap>>,
}

impl Site for Here<'_> {
    fn map(&self) -> Result<Arc<PartitionMap>, Fault> {
        let empty = || Fault::unavailable("this node is empty and belongs to no database yet");
        self.map.clone().ok_or_else(empty)
    }

    fn holds(&self, partition: u64) -> bool {
        self.process.partitions.contains_key(&partition)
    }

    fn closed(&self, partition: u64) -> Stamp {
        self.process.partitions.get(&partition).map_or(Stamp(0), |held| held.closed())
    }

    fn admit(&self, partition: u64, command: &v1::WriteCommand) -> Result<(), Fault> {
        self.process.admit_write(partition, command)
    }

    /// What memory all sessions may take is not simulated.
    fn admit_session(&self, partition: u64) -> Result<(), Fault> {
        self.process.admit_session(partition)
    }
}

impl Process {
    /// Watches look whether there is something to tell.
    pub fn wake_watches(&self, watches: Vec<RequestId>, cx: &mut Context) {
        for request in watches {
            let delay = cx.random.duration_below(micros(300));
            self.schedule(delay, NodeEvent::Serve(request, None), cx);
        }
    }

    /// A snapshot has taken a replica further, or it has left.
    pub fn wake_all(&mut self, partition: u64, cx: &mut Context) {
        let watches = self.watches.skipped(partition);
        self.wake_watches(watches, cx);
    }

    /// Answers the watches that have waited long enough, and lets changes go that nobody asks for.
    pub(super) fn look_after_watches(&mut self, cx: &mut Context) {
        let now = self.clock.local(cx.now);
        let (expired, forgotten) = (self.watches.expired(now), self.watches.forgotten(now));
        self.wake_watches(expired, cx);
        for replica in forgotten.iter().filter_map(|id| self.partitions.get(id)) {
            replica.recent().end();
        }
    }

    /// Takes operations of a stream up.
    pub fn take_operations(&mut self, stream: StreamId, request: StreamRequest, cx: &mut Context) {
        for operation in request.operations {
            let id = operation.id;
            let timeout = deadline::in_stream(operation.timeout_milliseconds);
            let Some(operation) = operation.operation else { continue };
            let here = Here { process: self, map: self.map().cloned() };
            match plan(&here, operation) {
                Ok(planned) => self.begin(stream, id, planned, timeout, cx),
                Err(fault) => self.answer(stream, id, Err(fault), cx),
            }
        }
    }

    fn begin(
        &mut self,
        stream: StreamId,
        id: u64,
        plan: Plan,
        timeout: Duration,
        cx: &mut Context,
    ) {
        let Plan { partition, asked, work, .. } = plan;
        let (class, since) = (work.class(), cx.now);
        if let Err(limit) = self.admission.of(class).admit(since.exact()) {
            cx.coverage.hit("operation refused: enough are under way");
            return self.answer(stream, id, Err(overloaded(class, limit)), cx);
        }
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let class = Some(class);
        let operation = Operation { stream, id, partition, asked, class, since };
        self.operations.insert(request, operation);
        let deadline = self.clock.local(cx.now).after(timeout);
        let event = match mutate(work, cx.plan.mutant) {
            Work::Write { command, seen } => {
                Event::Write { request, partition, command, seen, deadline }
            }
            Work::Read(kind) => Event::Read { request, partition, kind, deadline },
            Work::ReadNow => {
                let delay = cx.random.duration_below(micros(300));
                return self.schedule(delay, NodeEvent::Serve(request, None), cx);
            }
        };
        self.post(self.host_of(partition), event, cx);
    }

    fn answer(&self, stream: StreamId, id: u64, result: Result<Answer, Fault>, cx: &mut Context) {
        let answer = result.unwrap_or_else(|fault| Answer::Error(fault.to_wire()));
        let answer = StreamAnswer { id, answer: Some(answer) };
        let (node, life) = (self.index, self.life);
        cx.node_answers.push(NodeAnswer { node, life, stream, answer });
    }

    /// An operation ends, carried out or not.
    fn take_operation(
        &mut self,
        request: RequestId,
        carried_out: bool,
        cx: &Context,
    ) -> Option<Operation> {
        let operation = self.operations.remove(&request)?;
        let took = cx.now - operation.since;
        if let Some(class) = operation.class {
            self.admission.of(class).ended(carried_out.then_some(took));
        }
        Some(operation)
    }

    /// A host refuses an operation. Whether it was one.
    pub(super) fn refuse_operation(
        &mut self,
        request: RequestId,
        fault: &Fault,
        cx: &mut Context,
    ) -> bool {
        let Some(operation) = self.take_operation(request, false, cx) else { return false };
        let fault = with_leader_address(fault.clone(), self.map().map(Arc::as_ref));
        self.answer(operation.stream, operation.id, Err(fault), cx);
        true
    }

    /// A command was applied. Whether an operation waited for it.
    pub(super) fn answer_outcome(
        &mut self,
        request: RequestId,
        outcome: (&v1::Outcome, Stamp),
        cx: &mut Context,
    ) -> bool {
        let Some(operation) = self.take_operation(request, true, cx) else { return false };
        let Operation { stream, id, partition, asked, .. } = operation;
        let Some(replica) = self.partitions.get(&partition) else { return true };
        let descriptor = replica.descriptor();
        let (node, leader, staleness) = (self.id, true, None);
        let database = replica.database();
        let served = Served { database, node, descriptor: &descriptor, leader, staleness };
        let epoch = self.map().map_or(0, |map| map.epoch);
        let answer = answer_write(&asked, served, epoch, outcome);
        self.answer(stream, id, answer, cx);
        true
    }

    /// A read may be served. Whether it is an operation's.
    ///
    /// # Errors
    /// What its disk did to it.
    pub(super) fn serve_operation(
        &mut self,
        request: RequestId,
        ready: Option<ReadyRead>,
        cx: &mut Context,
    ) -> Result<bool, Death> {
        let Some(operation) = self.take_operation(request, true, cx) else { return Ok(false) };
        let Operation { stream, id, partition, mut asked, since, .. } = operation;
        let Some(replica) = self.partitions.get(&partition).cloned() else {
            self.answer(stream, id, Err(just_left()), cx);
            return Ok(true);
        };
        if let Some(ready) = ready
            && let Err(fault) = serves(replica.key(), ready.replica)
        {
            cx.coverage.hit("read made ready for a replica that has left");
            self.answer(stream, id, Err(fault), cx);
            return Ok(true);
        }
        let descriptor = replica.descriptor();
        if descriptor.generation == 0 {
            self.answer(stream, id, Err(just_joined()), cx);
            return Ok(true);
        }
        let proven = ready.and_then(|ready| ready.staleness);
        if !self.may_serve(&replica, proven.is_some(), cx)? {
            self.answer(stream, id, Err(replaying()), cx);
            return Ok(true);
        }
        let now = self.clock.local(cx.now);
        let leader = ready.is_some_and(|ready| ready.leader);
        let unproven = leader && cx.plan.mutant == Mutant::StalenessUnproven;
        let staleness = if unproven { Some(Duration::ZERO) } else { proven };
        let (node, database) = (self.id, replica.database());
        let served = Served { database, node, descriptor: &descriptor, leader, staleness };
        let read = if let Asked::Watch(watching) = &mut asked {
            self.watches.asked(partition, now);
            match tell(&replica, watching, served, &self.watch_room, now) {
                Ok(Some(told)) => Ok(Answer::Watch(told)),
                Ok(None) => {
                    cx.coverage.hit("watch waits");
                    let (interval, until) = (Interval::of(&watching.request), watching.until);
                    let request = self.next_request();
                    let waits = (partition, request);
                    let wait = self.watches.wait(waits, interval, until.unwrap_or(now));
                    wait.expect("there are few watches");
                    let class = None;
                    let operation = Operation { stream, id, partition, asked, class, since };
                    self.operations.insert(request, operation);
                    return Ok(true);
                }
                Err(failure) => Err(failure),
            }
        } else {
            answer_read(&replica, &asked, served, &self.scan_pins, now)
        };
        let answer = match read {
            Ok(answer) => Ok(answer),
            Err(ReadFailure::Refused(fault)) => Err(fault),
            // Another replica can read what this one cannot.
            Err(ReadFailure::Unreadable(ReadError::Storage(error))) => {
                if error.is_out_of_descriptors() {
                    cx.coverage.hit("read without a descriptor");
                } else {
                    self.leave_if_damaged(replica.key(), error, cx)?;
                }
                Err(Fault::unavailable("this replica cannot read its data: another one can"))
            }
            Err(ReadFailure::Unreadable(let_go)) => {
                cx.coverage.hit("scan whose snapshot was let go");
                Err(gone(&let_go))
            }
        };
        self.answer(stream, id, answer, cx);
        Ok(true)
    }
}

/// How fresh a read is with a bug in.
fn mutate(work: Work, mutant: Mutant) -> Work {
    match (mutant, work) {
        (Mutant::ReadWithoutRound, Work::Read(ReadKind::Linearizable))
        | (Mutant::TokenIgnored, Work::Read(ReadKind::Applied { .. }))
        | (Mutant::LagIgnored, Work::Read(ReadKind::Bounded { .. })) => Work::ReadNow,
        (_, work) => work,
    }
}
