//! The thread that owns the log: one write and one fdatasync cover whatever
//! arrived while the last one ran.

use super::parts::Engine;
use super::threads::Pulse;
use crate::host::{Event, Sequence, host_of};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use doug_storage::StorageError;
use doug_storage::log::{LogWriter, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Records of one turn of one host, in order.
#[derive(Debug)]
pub struct LogWork {
    /// Number of the host.
    pub host: usize,
    /// What to append.
    pub records: Vec<(Sequence, Record)>,
}

/// An idle log writes after this long how far it is durable and what is committed. Until then,
/// damage to its last records is taken for a torn tail, and a start-up does not know that they
/// are committed. It costs one write and sync whenever nothing arrives for so long.
const MARK: Duration = Duration::from_millis(1);
/// Pause before an idle log looks whether there is anything else to do.
const IDLE: Duration = Duration::from_millis(100);
/// Pause before a log without room is tried again.
const FULL: Duration = Duration::from_millis(5);
/// A turn of the log ends at this many work items.
const TURN: usize = 1_024;

/// Appends until the node stops. A failed write or sync ends the process: what
/// reached the disk is then unknown, and nothing may be acknowledged any more.
pub fn run(mut log: LogWriter, work: Receiver<LogWork>, engine: Arc<Engine>, pulse: Pulse) {
    loop {
        pulse.beat();
        let pause = if log.wants_mark() { MARK } else { IDLE };
        match work.recv_timeout(pause) {
            Ok(first) => turn(&mut log, first, &work, &engine, &pulse),
            Err(RecvTimeoutError::Timeout) => {
                check(log.mark().map(drop));
                if engine.stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        keep_room(&mut log, &engine);
    }
}

fn turn(
    log: &mut LogWriter,
    first: LogWork,
    more: &Receiver<LogWork>,
    engine: &Engine,
    pulse: &Pulse,
) {
    let mut reached: BTreeMap<usize, Sequence> = BTreeMap::new();
    for work in std::iter::once(first).chain(more.try_iter().take(TURN)) {
        for (sequence, record) in work.records {
            reached.insert(work.host, sequence);
            append(log, record, engine, pulse);
        }
    }
    check(log.sync().map(drop));
    for (host, sequence) in reached {
        engine.hosts[host].send(Event::Persisted { sequence });
    }
}

fn append(log: &mut LogWriter, record: Record, engine: &Engine, pulse: &Pulse) {
    loop {
        match log.append(record.clone()) {
            // What a removed replica still had on its way is of no use to anyone.
            Ok(_) | Err(StorageError::Removed { .. }) => return,
            // The buffer is full, or the log: what waits is written, and room
            // is made. Records are never dropped, and never pass each other.
            Err(StorageError::Busy { .. }) => {
                pulse.beat();
                check(log.sync().map(drop));
                keep_room(log, engine);
                if log.append(record.clone()).is_ok() {
                    return;
                }
                std::thread::sleep(FULL);
            }
            Err(error) => check(Err(error)),
        }
    }
}

/// Retires what is dead, and asks for a flush of what keeps the rest alive.
fn keep_room(log: &mut LogWriter, engine: &Engine) {
    loop {
        match log.maintain() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return check(Err(error)),
        }
    }
    if let Some(replica) = log.pressure() {
        let host = host_of(replica.partition, engine.hosts.len());
        engine.hosts[host].note_log_pressure(replica, engine.clock.now());
    }
}

fn check(result: Result<(), StorageError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the log failed: this process ends, to start again from what is on disk");
        doug_streams::exit(1);
    }
}
