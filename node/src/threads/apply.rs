//! The thread that applies what is committed and answers its writers.

use super::Pulse;
use super::memory::note_memtables;
use crate::apply::{AppliedWork, ApplyError, Change, ReplicaData, Unapplied};
use crate::background;
use crate::engine::Engine;
use crate::engine::removal::leave_if_damaged;
use crate::engine::requests::Asked;
use crate::flow::{ApplyQueue, Next};
use crate::host::{Event, Reply, undecided};
use crate::serving::{Served, answer_write};
use crate::work::{ApplyWork, RequestId};
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use doug_storage::ReplicaKey;
use doug_storage::tree::{Pressure, ReadError};
use std::sync::Arc;
use std::time::Duration;

/// How soon a thread without work notices that the node stops.
const IDLE: Duration = Duration::from_millis(100);

/// Applies until the node stops.
pub fn run(work: Receiver<ApplyWork>, engine: Arc<Engine>, pulse: Pulse) {
    let mut queue = ApplyQueue::default();
    let mut looked = engine.clock.now();
    loop {
        pulse.beat();
        if engine.clock.now().since(looked) >= IDLE {
            looked = engine.clock.now();
            look_after_watches(&engine);
        }
        for work in work.try_iter() {
            queue.push(work.replica, work);
        }
        let now = engine.clock.now();
        let full = engine.memtables.lock().is_full();
        let wait = match queue.next(now, |replica| pressure(replica, full, &engine)) {
            Next::Work(work) => {
                if let Some(rest) = apply(work, &engine) {
                    queue.put_back(engine.clock.now(), rest.replica, rest);
                }
                continue;
            }
            Next::Wait(until) => until.since(now).min(IDLE),
            Next::Idle => IDLE,
        };
        match work.recv_timeout(wait) {
            Ok(work) => queue.push(work.replica, work),
            Err(RecvTimeoutError::Timeout) if !engine.is_stopping() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Applies what can be applied now; the rest is to be tried again.
fn apply(work: ApplyWork, engine: &Arc<Engine>) -> Option<ApplyWork> {
    let replica = work.replica;
    let held = engine.partition(replica.partition);
    let Some(partition) = held.filter(|partition| partition.key() == replica) else {
        leave_undecided(replica, work.waiting(), engine);
        return None;
    };
    match partition.apply(work) {
        Ok(mut applied) => {
            let rest = applied.rest.take();
            note_memtables(engine, replica, partition.memtable_bytes());
            finish(&partition, applied, engine);
            rest
        }
        Err(Unapplied { error, waiting }) => {
            match error {
                ApplyError::Read { error: ReadError::Storage(error), .. } => {
                    leave_if_damaged(engine, replica, error)
                        .unwrap_or_else(|error| end(replica, &error));
                }
                error => end(replica, &error),
            }
            leave_undecided(replica, waiting, engine);
            None
        }
    }
}

/// Tells whoever waits for the outcome of a write that it is applied only elsewhere.
fn leave_undecided(
    replica: ReplicaKey,
    waiting: impl IntoIterator<Item = RequestId>,
    engine: &Engine,
) {
    for request in waiting {
        if let Some(sink) = engine.requests.take(request).and_then(|request| request.sink) {
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

/// How the replica bears more; what makes it bear more is asked for.
fn pressure(replica: ReplicaKey, memtables_full: bool, engine: &Engine) -> Pressure {
    let Some(partition) = engine.partition(replica.partition) else { return Pressure::None };
    let pressure = background::pressure(&partition, memtables_full, &engine.volume);
    if pressure != Pressure::None && !memtables_full {
        engine.maintain(&partition);
    }
    pressure
}

fn finish(partition: &ReplicaData, work: AppliedWork, engine: &Engine) {
    let replica = partition.key();
    leave_undecided(replica, work.overtaken, engine);
    tell_watches(replica, &work.changes, work.skipped, engine);
    if !work.outcomes.is_empty() {
        let descriptor = partition.descriptor();
        let map = engine.maps.get();
        let epoch = map.as_ref().map_or(0, |map| map.epoch);
        let keyspace = map.as_ref().and_then(|map| map.keyspace(descriptor.keyspace));
        let keyspace = keyspace.map(|keyspace| &*keyspace.name);
        for (request, outcome, stamp) in work.outcomes {
            let Some(mut request) = engine.requests.take(request) else { continue };
            let asked = match request.asked {
                Asked::Operation(asked) => asked,
                Asked::Control(sender) => {
                    drop(sender.send(Ok(Reply::Applied)));
                    continue;
                }
            };
            request.permit.carried_out(engine.clock.now());
            let served = Served {
                database: partition.database(),
                node: engine.config.node,
                descriptor: &descriptor,
                leader: true,
                staleness: None,
            };
            engine.metrics.written(&outcome, keyspace);
            let Some(sink) = request.sink else { continue };
            match answer_write(&asked, served, epoch, (&outcome, stamp)) {
                Ok(answer) => {
                    partition.served().note_write(request.permit.request_bytes());
                    sink.answer(answer);
                }
                Err(fault) => sink.fail(&fault),
            }
        }
    }
    if let Some(descriptor) = work.descriptor {
        engine.publish(descriptor);
    }
    if partition.leads() {
        engine.metrics.expired(&work.lateness);
    }
    let AppliedWork { index, feature_level, next_expiry, .. } = work;
    engine.log_reader.note_commit(replica, index);
    let wanted = wanted(partition, engine);
    let applied = Event::Applied { replica, index, feature_level, wanted, next_expiry };
    engine.host(replica.partition).send(applied);
    if work.wants_maintenance {
        engine.maintain(partition);
    }
}

/// Wakes the watches that are to be told of what was applied.
fn tell_watches(replica: ReplicaKey, changes: &[Change], skipped: bool, engine: &Engine) {
    if changes.is_empty() && !skipped {
        return;
    }
    let mut watches = engine.watches.lock();
    let woken = if skipped {
        watches.skipped(replica.partition)
    } else {
        watches.changed(replica.partition, changes)
    };
    drop(watches);
    engine.wake(woken);
}

/// Answers the watches that have waited long enough, and lets changes go that nobody asks for.
fn look_after_watches(engine: &Engine) {
    let now = engine.clock.now();
    let mut watches = engine.watches.lock();
    let expired = watches.expired(now);
    // Before anybody can ask again: whoever did meanwhile would wait for what nobody keeps.
    for partition in watches.forgotten(now).into_iter().filter_map(|id| engine.partition(id)) {
        partition.recent().end();
    }
    drop(watches);
    engine.wake(expired);
}

/// What the partition wants its leader to propose, given what its keyspace declares.
fn wanted(partition: &ReplicaData, engine: &Engine) -> Option<Bytes> {
    if !partition.leads() {
        return None;
    }
    let map = engine.maps.get()?;
    let keyspace = map.keyspace(partition.descriptor().keyspace)?;
    partition.wanted((keyspace.generation, keyspace.history))
}
