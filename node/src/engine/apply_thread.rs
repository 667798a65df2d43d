//! The thread that applies what is committed and answers its writers.

use super::departure::leave_if_damaged;
use super::queue;
use super::requests::Asked;
use super::shared::Shared;
use super::threads::Pulse;
use crate::apply::{AppliedWork, ApplyError, Partition, Unapplied};
use crate::host::{ApplyWork, Event, RequestId, undecided};
use crate::serving::{Served, answer_write};
use crossbeam_channel::Receiver;
use doug_storage::ReplicaKey;
use doug_storage::tree::{Pressure, ReadError};
use std::sync::Arc;
use std::time::Duration;

/// Pause while flushes and compactions of a partition fall behind.
const SLOW: Duration = Duration::from_millis(1);

/// Applies until the node stops.
pub fn run(work: Receiver<ApplyWork>, shared: Arc<Shared>, pulse: Pulse) {
    while let Some(work) = queue::next(&work, &shared, &pulse) {
        let replica = work.replica;
        let held = shared.partition(replica.partition);
        let Some(partition) = held.filter(|partition| partition.key() == replica) else {
            leave_undecided(replica, work.waiting(), &shared);
            continue;
        };
        hold_back(&partition, &shared, &pulse);
        match partition.apply(work) {
            Ok(applied) => finish(&partition, applied, &shared),
            Err(Unapplied { error, waiting }) => {
                match error {
                    ApplyError::Read { error: ReadError::Storage(error), .. } => {
                        leave_if_damaged(&shared, replica, error)
                            .unwrap_or_else(|error| end(replica, &error));
                    }
                    error => end(replica, &error),
                }
                leave_undecided(replica, waiting, &shared);
            }
        }
    }
}

/// Tells whoever waits for the outcome of a write that it is applied only elsewhere.
fn leave_undecided(
    replica: ReplicaKey,
    waiting: impl IntoIterator<Item = RequestId>,
    shared: &Shared,
) {
    for request in waiting {
        if let Some(sink) = shared.requests.take(request).and_then(|request| request.sink) {
            sink.fail(&undecided(replica.partition));
        }
    }
}

fn end(replica: ReplicaKey, error: &dyn std::fmt::Display) {
    tracing::error!(
        %replica, %error,
        "a committed command could not be applied: this process ends, \
         since a replica that skipped it would differ from the others"
    );
    doug_streams::exit(1);
}

/// Memtables that cannot be flushed must not fill the memory: the log behind
/// them is bounded, so waiting here pushes back on the writers.
fn hold_back(partition: &Partition, shared: &Shared, pulse: &Pulse) {
    while pressure(partition, shared) == Pressure::Stop {
        pulse.beat();
        shared.maintain(partition);
        std::thread::sleep(SLOW);
        if shared.is_stopping() {
            return;
        }
    }
}

/// Level 0 gets no shorter while no compaction finds room. To wait for that would
/// stall the partition without a word; filled on, the volume refuses writes in words.
fn pressure(partition: &Partition, shared: &Shared) -> Pressure {
    match shared.volume.compacts() {
        true => partition.pressure(),
        false => partition.flush_pressure(),
    }
}

fn finish(partition: &Partition, work: AppliedWork, shared: &Shared) {
    let replica = partition.key();
    leave_undecided(replica, work.overtaken, shared);
    if !work.outcomes.is_empty() {
        let descriptor = partition.descriptor();
        let epoch = shared.maps.epoch();
        for (request, outcome) in work.outcomes {
            let Some(request) = shared.requests.take(request) else { continue };
            let served = Served {
                node: shared.config.node,
                descriptor: &descriptor,
                leader: true,
                staleness: None,
            };
            shared.metrics.written(&outcome);
            // Only operations are proposed for an answer.
            let (Some(sink), Asked::Operation(asked)) = (request.sink, request.asked) else {
                continue;
            };
            match answer_write(&asked, served, epoch, &outcome) {
                Ok(answer) => sink.answer(answer),
                Err(fault) => sink.fail(&fault),
            }
        }
    }
    if let Some(descriptor) = work.descriptor {
        shared.publish(descriptor);
    }
    let AppliedWork { index, feature_level, .. } = work;
    shared.host(replica.partition).send(Event::Applied { replica, index, feature_level });
    if work.wants_maintenance {
        shared.maintain(partition);
    }
}
