//! The thread that applies what is committed and answers its writers.

use super::removal::leave_if_damaged;
use super::requests::Asked;
use super::shared::Shared;
use super::threads::Pulse;
use crate::apply::{AppliedWork, ApplyError, Partition, Unapplied};
use crate::flow::{ApplyQueue, Next};
use crate::host::{ApplyWork, Event, RequestId, undecided};
use crate::serving::{Served, answer_write};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use doug_storage::ReplicaKey;
use doug_storage::tree::{Pressure, ReadError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How soon a thread without work notices that the node stops.
const IDLE: Duration = Duration::from_millis(100);

/// Applies until the node stops.
pub fn run(work: Receiver<ApplyWork>, shared: Arc<Shared>, pulse: Pulse) {
    let mut queue = ApplyQueue::default();
    loop {
        pulse.beat();
        for work in work.try_iter() {
            queue.push(work.replica, work);
        }
        let now = shared.clock.now();
        let wait = match queue.next(now, |replica| pressure(replica, &shared)) {
            Next::Work(work) => {
                if let Some(rest) = apply(work, &shared) {
                    queue.put_back(shared.clock.now(), rest.replica, rest);
                }
                continue;
            }
            Next::Wait(until) => Duration::from_micros(until.since(now)).min(IDLE),
            Next::Idle => IDLE,
        };
        match work.recv_timeout(wait) {
            Ok(work) => queue.push(work.replica, work),
            Err(RecvTimeoutError::Timeout) if !shared.is_stopping() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Applies what can be applied now; the rest is to be tried again.
fn apply(work: ApplyWork, shared: &Arc<Shared>) -> Option<ApplyWork> {
    let replica = work.replica;
    let held = shared.partition(replica.partition);
    let Some(partition) = held.filter(|partition| partition.key() == replica) else {
        leave_undecided(replica, work.waiting(), shared);
        return None;
    };
    match partition.apply(work) {
        Ok(mut applied) => {
            let rest = applied.rest.take();
            finish(&partition, applied, shared);
            rest
        }
        Err(Unapplied { error, waiting }) => {
            match error {
                ApplyError::Read { error: ReadError::Storage(error), .. } => {
                    leave_if_damaged(shared, replica, error)
                        .unwrap_or_else(|error| end(replica, &error));
                }
                error => end(replica, &error),
            }
            leave_undecided(replica, waiting, shared);
            None
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

/// How the replica's tree bears more. Memtables that cannot be flushed must not fill the
/// memory. Level 0 gets no shorter while no compaction finds room: to wait for that would
/// stall the partition without a word; filled on, the volume refuses writes in words.
fn pressure(replica: ReplicaKey, shared: &Shared) -> Pressure {
    let Some(partition) = shared.partition(replica.partition) else { return Pressure::None };
    if shared.memtables_full.load(Ordering::Relaxed) {
        return Pressure::Stop;
    }
    let pressure =
        if shared.volume.compacts() { partition.pressure() } else { partition.flush_pressure() };
    if pressure != Pressure::None {
        shared.maintain(&partition);
    }
    pressure
}

fn finish(partition: &Partition, work: AppliedWork, shared: &Shared) {
    let replica = partition.key();
    leave_undecided(replica, work.overtaken, shared);
    if !work.outcomes.is_empty() {
        let descriptor = partition.descriptor();
        let map = shared.maps.get();
        let epoch = map.as_ref().map_or(0, |map| map.epoch);
        let keyspace = map.as_ref().and_then(|map| map.keyspace(descriptor.keyspace));
        let keyspace = keyspace.map(|keyspace| &*keyspace.name);
        for (request, outcome, stamp) in work.outcomes {
            let Some(mut request) = shared.requests.take(request) else { continue };
            request.permit.carried_out(shared.clock.now());
            let served = Served {
                database: partition.database(),
                node: shared.config.node,
                descriptor: &descriptor,
                leader: true,
                staleness: None,
            };
            shared.metrics.written(&outcome, keyspace);
            // Only operations are proposed for an answer.
            let (Some(sink), Asked::Operation(asked)) = (request.sink, request.asked) else {
                continue;
            };
            match answer_write(&asked, served, epoch, (&outcome, stamp)) {
                Ok(answer) => sink.answer(answer),
                Err(fault) => sink.fail(&fault),
            }
        }
    }
    if let Some(descriptor) = work.descriptor {
        shared.publish(descriptor);
    }
    let AppliedWork { index, feature_level, .. } = work;
    shared.log_reader.note_commit(replica, index);
    shared.host(replica.partition).send(Event::Applied { replica, index, feature_level });
    if work.wants_maintenance {
        shared.maintain(partition);
    }
}
