//! The threads that serve reads from immutable views.

use super::queue;
use super::{Pulse, watch};
use crate::apply::ReplicaData;
use crate::engine::Engine;
use crate::engine::removal::leave_if_damaged;
use crate::engine::requests::{Asked, Request};
use crate::engine::tasks::ReadTask;
use crate::host::ReadyRead;
use crate::serving::{
    self, ReadFailure, Served, answer_read, gone, just_joined, just_left, replaying, serves,
};
use crossbeam_channel::Receiver;
use doug_proto::error::Fault;
use doug_storage::tree::ReadError;
use std::sync::Arc;

/// Serves until the node stops.
pub fn run(tasks: Receiver<ReadTask>, engine: Arc<Engine>, pulse: Pulse) {
    while let Some(task) = queue::next(&tasks, &engine, &pulse) {
        match task {
            ReadTask::Ready(ready) => {
                if let Some(request) = engine.requests.take(ready.request) {
                    serve(request, Some(ready), &engine);
                }
            }
            ReadTask::Now(request) => serve(*request, None, &engine),
            ReadTask::Woken(request) => {
                if let Some(request) = engine.requests.take(request) {
                    serve(request, None, &engine);
                }
            }
        }
    }
}

/// `ready`: what its host has proven, and of which replica.
fn serve(mut request: Request, ready: Option<ReadyRead>, engine: &Engine) {
    let (Some(sink), Asked::Operation(asked)) = (request.sink.take(), request.asked) else {
        return;
    };
    let Some(partition) = engine.partition(request.partition) else {
        return sink.fail(&just_left());
    };
    if let Some(ready) = ready
        && let Err(fault) = serves(partition.key(), ready.replica)
    {
        return sink.fail(&fault);
    }
    let descriptor = partition.descriptor();
    if descriptor.generation == 0 {
        return sink.fail(&just_joined());
    }
    // What rests on a leader's word is fresh enough; all else waits for the replay.
    let staleness = ready.and_then(|ready| ready.staleness);
    if staleness.is_none() && !partition.serves() {
        return sink.fail(&replaying());
    }
    let served = Served {
        database: partition.database(),
        node: engine.config.node,
        descriptor: &descriptor,
        leader: ready.is_some_and(|ready| ready.leader),
        staleness,
    };
    if let serving::Asked::Watch(watching) = asked {
        let told = watch::serve(&partition, *watching, served, (sink, request.permit), engine);
        return match told {
            Ok(()) => {}
            Err((sink, ReadFailure::Refused(fault))) => sink.fail(&fault),
            Err((sink, ReadFailure::Unreadable(error))) => {
                sink.fail(&read_fault(&partition, error, engine));
            }
        };
    }
    let now = engine.clock.now();
    match answer_read(&partition, &asked, served, &engine.scan_pins, now) {
        Ok(answer) => {
            request.permit.carried_out(engine.clock.now());
            partition.served().note_read(&answer);
            sink.answer(answer);
        }
        Err(ReadFailure::Refused(fault)) => sink.fail(&fault),
        Err(ReadFailure::Unreadable(error)) => sink.fail(&read_fault(&partition, error, engine)),
    }
}

/// What a failed read means for its client; damage ends its replica.
fn read_fault(partition: &ReplicaData, error: ReadError, engine: &Engine) -> Fault {
    match error {
        ReadError::Storage(error) => {
            tracing::error!(%error, "a read met damaged or unreadable data");
            let fault = Fault::unavailable(format!(
                "this replica cannot read its data ({error}): another one can"
            ));
            // What is no damage may pass: the replica stays.
            drop(leave_if_damaged(engine, partition.key(), error));
            fault
        }
        let_go => gone(&let_go),
    }
}
