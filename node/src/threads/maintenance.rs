//! The threads that flush, compact and read the log back.

use super::Pulse;
use super::memory::note_memtables;
use crate::apply::ReplicaData;
use crate::background::{Background, Passing, Step};
use crate::engine::Engine;
use crate::engine::removal::leave_if_damaged;
use crate::engine::tasks::MaintenanceTask;
use crate::host::{Event, Fetch};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use doug_raft::Batch;
use doug_storage::tree::TreeChange;
use doug_storage::{ReplicaKey, StorageError};
use std::sync::Arc;
use std::time::Duration;

/// Pause before an idle thread tidies up.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes a job works through between looks at whether the node stops.
const STEP: usize = 1 << 20;

/// Works until the node stops. A job that fails because of a failed sync, or of
/// damage outside the tables, ends the process: going on would answer from data
/// that is not there. A replica whose tables are damaged leaves its group instead,
/// and a table that finds no room on the volume, or no descriptor, is tried again.
pub fn run(tasks: Receiver<MaintenanceTask>, engine: Arc<Engine>, pulse: Pulse) {
    loop {
        pulse.beat();
        let result = match tasks.recv_timeout(IDLE) {
            Ok(MaintenanceTask::Jobs(replica)) => jobs(replica, false, &engine, &pulse),
            Ok(MaintenanceTask::Flush(replica)) => jobs(replica, true, &engine, &pulse),
            Ok(MaintenanceTask::Publish(descriptor)) => engine.maps.publish(&descriptor),
            Ok(MaintenanceTask::TailRepaired(replica)) => tail_repaired(replica, &engine),
            Ok(MaintenanceTask::Fetch { host, fetch }) => read_back(host, fetch, &engine),
            Err(RecvTimeoutError::Timeout) => tidy(&engine, &pulse),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Err(error) = result {
            tracing::error!(%error, "background work failed: this process ends");
            doug_streams::exit(1);
        }
        if engine.is_stopping() {
            return;
        }
    }
}

/// Views and scan pins that ended may have freed tables, or revisions that held a
/// compaction back.
fn tidy(engine: &Engine, pulse: &Pulse) -> Result<(), StorageError> {
    engine.scan_pins.expire(engine.clock.now());
    let now = Duration::from_micros(engine.clock.now().0);
    engine.store.tidy_snapshots(now, engine.volume.wants_room())?;
    let partitions: Vec<_> = engine.partitions.read().values().cloned().collect();
    for partition in partitions {
        jobs(partition.key(), false, engine, pulse)?;
    }
    engine.store.delete_obsolete_files().map(drop)
}

fn jobs(
    replica: ReplicaKey,
    mut force: bool,
    engine: &Engine,
    pulse: &Pulse,
) -> Result<(), StorageError> {
    let Some(partition) = engine.partition(replica.partition) else { return Ok(()) };
    if partition.key() != replica {
        return Ok(());
    }
    loop {
        let (volume, now) = (&engine.volume, engine.clock.now());
        let work = Background::next(&partition, force, volume, now);
        // A memtable that is frozen for a flush is given the sessions first, whether or not the
        // flush finds room.
        note_memtables(engine, replica, partition.memtable_bytes());
        let Some(work) = work else { return Ok(()) };
        force = false;
        match drive(work, engine, pulse) {
            Ok(Some(change)) => publish(&partition, change, engine)?,
            Ok(None) if engine.is_stopping() => return Ok(()),
            Ok(None) => {}
            Err(error) => {
                give_up(replica, error, engine)?;
                // What was written of a table that found no room takes room from the next.
                return engine.store.delete_obsolete_files().map(drop);
            }
        }
    }
}

/// The change that work leads to, if it does and the node does not stop before.
fn drive(
    mut work: Background,
    engine: &Engine,
    pulse: &Pulse,
) -> Result<Option<TreeChange>, StorageError> {
    loop {
        pulse.beat();
        match work.step(STEP, &engine.volume)? {
            Step::Done(change) => return Ok(Some(change)),
            Step::More(_) if engine.is_stopping() => return Ok(None),
            Step::More(more) => work = more,
            Step::Nothing => return Ok(None),
        }
    }
}

/// A job has failed: it is tried again later, or its replica leaves.
fn give_up(replica: ReplicaKey, error: StorageError, engine: &Engine) -> Result<(), StorageError> {
    match Passing::of(&error) {
        Some(Passing::NoRoom) => {
            tracing::warn!(%replica, %error, "a table found no room on the volume: trying on");
        }
        Some(Passing::NoDescriptor) => tracing::warn!(
            %replica, %error,
            "a table could not be opened: trying on; raise the limit of open files \
             (ulimit -n) or use fewer connections"
        ),
        None => return leave_if_damaged(engine, replica, error),
    }
    engine.volume.found_none(engine.clock.now());
    Ok(())
}

fn publish(
    partition: &ReplicaData,
    change: TreeChange,
    engine: &Engine,
) -> Result<(), StorageError> {
    let replica = partition.key();
    if let Some(applied) = partition.publish(&engine.store, change)? {
        engine.metrics.flushes.inc();
        note_memtables(engine, replica, partition.memtable_bytes());
        engine.host(replica.partition).send(Event::Flushed { replica, index: applied.index });
    } else {
        engine.metrics.compactions.inc();
    }
    engine.store.delete_obsolete_files()?;
    Ok(())
}

fn tail_repaired(replica: ReplicaKey, engine: &Engine) -> Result<(), StorageError> {
    match engine.store.tail_repaired(replica) {
        Ok(()) => tracing::info!(%replica, "holds all that it acknowledged before the log was cut"),
        Err(StorageError::Removed { .. } | StorageError::Fenced { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Reads batches for a core that has let go of them. Some may have been
/// compacted or replaced since it asked: it then needs those no more.
fn read_back(host: usize, fetch: Fetch, engine: &Engine) -> Result<(), StorageError> {
    let Fetch { replica, from, to } = fetch;
    let mut batches = Vec::new();
    let mut next = from;
    while next <= to {
        match engine.log_reader.read(replica, next, next) {
            Ok(found) => {
                for bytes in found {
                    let batch = decode(replica, bytes)?;
                    next = batch.last() + 1;
                    batches.push(batch);
                }
            }
            Err(StorageError::NotInLog { .. }) => next += 1,
            Err(error) => return Err(error),
        }
    }
    engine.hosts[host].send(Event::Fetched { replica, batches });
    Ok(())
}

fn decode(replica: ReplicaKey, bytes: bytes::Bytes) -> Result<Batch, StorageError> {
    Batch::decode(bytes).map_err(|error| {
        StorageError::Refused(format!(
            "the log of replica {replica} holds an unreadable batch: {error}"
        ))
    })
}
