//! The threads that serve reads from immutable views.

use super::answers::Served;
use super::departure::leave_if_damaged;
use super::requests::{Asked, Request};
use super::shared::Shared;
use super::{queue, scan};
use crate::apply::Partition;
use crate::host::ReadyRead;
use crossbeam_channel::Receiver;
use doug_proto::error::Fault;
use doug_proto::v1::{self, stream_answer::Answer};
use doug_storage::tree::ReadError;
use std::sync::Arc;

/// A read that may be served now.
#[derive(Debug)]
pub enum ReadTask {
    /// Its host has established what it must see.
    Ready(ReadyRead),
    /// It may see whatever is applied.
    Now(Request),
}

/// Serves until the node stops.
pub fn run(tasks: Receiver<ReadTask>, shared: Arc<Shared>) {
    while let Some(task) = queue::next(&tasks, &shared) {
        match task {
            ReadTask::Ready(ready) => {
                if let Some(request) = shared.requests.take(ready.request) {
                    let now = shared.clock.now();
                    let staleness = ready.fresh.map(|fresh| now.since(fresh).div_ceil(1_000));
                    serve(request, ready.leader, staleness, &shared);
                }
            }
            ReadTask::Now(request) => serve(request, false, None, &shared),
        }
    }
}

fn serve(request: Request, leader: bool, staleness: Option<u64>, shared: &Shared) {
    let Some(sink) = request.sink else { return };
    let Some(partition) = shared.partition(request.partition) else {
        return sink.fail(&Fault::unavailable("the replica has just left this node"));
    };
    let descriptor = partition.descriptor();
    if descriptor.generation == 0 {
        let message = "this replica has just joined its group and holds nothing yet: ask another";
        return sink.fail(&Fault::unavailable(message));
    }
    let served = Served {
        node: shared.config.node,
        descriptor: &descriptor,
        leader,
        // A leader that has just proved its leadership is as fresh as can be.
        staleness: if leader { Some(0) } else { staleness },
    };
    let answer = match request.asked {
        Asked::Get(get) => read_one(&partition, &get, served, shared).map(Answer::Get),
        Asked::Scan(scan) => scan::page(&partition, &scan, served, shared).map(Answer::Scan),
        _ => Err(Fault::unknown("a write reached the readers: a bug")),
    };
    match answer {
        Ok(answer) => sink.answer(answer),
        Err(fault) => sink.fail(&fault),
    }
}

fn read_one(
    partition: &Partition,
    get: &v1::GetRequest,
    served: Served,
    shared: &Shared,
) -> Result<v1::GetResponse, Fault> {
    let view = partition.reader().view();
    let found = view.get(&get.key, None).map_err(|error| read_fault(partition, error, shared))?;
    let header = Some(served.header(view.revision()));
    Ok(match found {
        Some(found) => v1::GetResponse {
            header,
            found: true,
            value: found.value,
            value_revision: found.revision,
        },
        None => v1::GetResponse { header, ..Default::default() },
    })
}

/// What a failed read means for its client; damage ends its replica.
pub fn read_fault(partition: &Partition, error: ReadError, shared: &Shared) -> Fault {
    match error {
        ReadError::Storage(error) => {
            tracing::error!(%error, "a read met damaged or unreadable data");
            let fault = Fault::unavailable(format!(
                "this replica cannot read its data ({error}): another one can"
            ));
            // What is no damage may pass: the replica stays.
            drop(leave_if_damaged(shared, partition.key(), error));
            fault
        }
        gone => Fault::new(
            tonic::Code::FailedPrecondition,
            format!("{gone}: the scan was left alone too long, so start it anew"),
        )
        .not_executed(),
    }
}
