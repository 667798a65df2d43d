//! One operation of a client: admitted, made ready, handed to its partition's host.

use crate::engine::Engine;
use crate::engine::requests::{Asked, Permit, Request, Sink};
use crate::engine::tasks::ReadTask;
use crate::host::Event;
use crate::metrics::kind_of;
use crate::services::status;
use crate::serving::{Plan, Site, Work, plan};
use crate::volume::only_deletes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::PartitionMap;
use doug_proto::v1::{self, stream_operation::Operation};
use doug_raft::{Stamp, Time};
use std::sync::Arc;

/// Takes an operation up; its answer goes to `sink`, now or later.
pub fn submit(engine: &Arc<Engine>, operation: Operation, deadline: Time, sink: Sink) {
    let permit = match admit(engine, operation.encoded_len()) {
        Ok(permit) => permit,
        Err(fault) => return sink.fail(&fault),
    };
    let kind = kind_of(&operation);
    if let Operation::Status(request) = operation {
        engine.metrics.operation(kind, None);
        let engine = engine.clone();
        tokio::spawn(async move {
            let status = status::page(&engine, &request).await;
            sink.answer(v1::stream_answer::Answer::Status(status));
            drop(permit);
        });
        return;
    }
    let planned = plan(&**engine, operation);
    let map = engine.maps.get();
    let keyspace = planned.as_ref().ok().and_then(|plan| map.as_ref()?.keyspace(plan.keyspace));
    let keyspace = keyspace.map(|keyspace| &*keyspace.name);
    engine.metrics.operation(kind, keyspace);
    match planned {
        Ok(plan) => start(engine, plan, keyspace, deadline, (sink, permit)),
        Err(fault) => sink.fail(&fault),
    }
}

fn admit(engine: &Engine, bytes: usize) -> Result<Permit, Fault> {
    // Whoever passed it on has checked what its client sent, and added an envelope.
    limits::check_request_bytes(bytes.saturating_sub(limits::ENVELOPE_BYTES))?;
    if engine.is_stopping() {
        return Err(Fault::unavailable("this node is stopping: ask another"));
    }
    engine.requests.admit(bytes)
}

impl Site for Engine {
    fn map(&self) -> Result<Arc<PartitionMap>, Fault> {
        self.maps.required()
    }

    fn holds(&self, partition: u64) -> bool {
        self.partition(partition).is_some()
    }

    fn closed(&self, partition: u64) -> Stamp {
        self.partition(partition).map_or(Stamp(0), |partition| partition.closed())
    }

    /// Only a leader refuses for want of room: of a follower's the leader is not known to
    /// be short as well, and a client sent to the leader must hear who that is.
    fn admit(&self, partition: u64, command: &v1::WriteCommand) -> Result<(), Fault> {
        if self.leads(partition) { self.volume.admit(only_deletes(command)) } else { Ok(()) }
    }

    fn admit_session(&self, partition: u64) -> Result<(), Fault> {
        if !self.leads(partition) {
            return Ok(());
        }
        // Where not even deletes are taken nobody has a use for one, and it would take the room
        // that the partition needs to go on reading.
        self.volume.admit(true)?;
        self.session_memory.admit()
    }
}

fn start(
    engine: &Engine,
    plan: Plan,
    keyspace: Option<&str>,
    deadline: Time,
    (sink, mut permit): (Sink, Permit),
) {
    let Plan { partition, asked, work, .. } = plan;
    if let Err(fault) = engine.requests.enter(&mut permit, work.class(), engine.clock.now()) {
        engine.metrics.refused(work.class(), keyspace);
        return sink.fail(&fault);
    }
    let asked = Asked::Operation(asked);
    match work {
        Work::Write { command, seen } => {
            engine.submit(partition, asked, Some(sink), permit, |request| Event::Write {
                request,
                partition,
                command,
                seen,
                deadline,
            });
        }
        Work::Read(kind) => {
            engine.submit(partition, asked, Some(sink), permit, |request| Event::Read {
                request,
                partition,
                kind,
                deadline,
            });
        }
        Work::ReadNow => {
            let request = Request { partition, asked, sink: Some(sink), permit };
            drop(engine.reads.send(ReadTask::Now(Box::new(request))));
        }
    }
}
