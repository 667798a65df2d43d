//! The thread that owns the log: one write and one fdatasync cover whatever
//! arrived while the last one ran.

use super::Pulse;
use crate::engine::Engine;
use crate::engine::tasks::LogWork;
use crate::flow::{Appended, LogQueue};
use crate::host::{Event, host_of};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use doug_storage::StorageError;
use doug_storage::log::{LogWriter, Record};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    let mut queue = LogQueue::default();
    loop {
        pulse.beat();
        match work.recv_timeout(pause(&queue, log.wants_mark())) {
            Ok(first) => {
                for work in std::iter::once(first).chain(work.try_iter().take(TURN)) {
                    for (sequence, record) in work.records {
                        queue.push(work.host, sequence, record);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                check(log.mark().map(drop));
                if engine.stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        turn(&mut log, &mut queue, &engine);
        keep_room(&mut log, &engine);
    }
}

/// How long the log waits for records before it does something else.
fn pause(queue: &LogQueue, wants_mark: bool) -> Duration {
    if !queue.is_empty() {
        FULL
    } else if wants_mark {
        MARK
    } else {
        IDLE
    }
}

/// Writes what there is room for. What waits for the write buffer goes with the next sync; what
/// waits for room in the log, with a later turn. Batches are never dropped.
fn turn(log: &mut LogWriter, queue: &mut LogQueue, engine: &Engine) {
    while !queue.is_empty() {
        let appended = check(queue.append(|record| {
            log.append(record.clone())?;
            if let Record::Batch { count, data, .. } = record {
                engine.metrics.pipeline.appended(*count, data.len());
            }
            Ok(())
        }));
        if appended.is_empty() {
            return;
        }
        check(log.sync());
        engine.metrics.pipeline.syncs.inc();
        for (host, Appended { upto, passed }) in appended {
            engine.hosts[host].send(Event::Persisted { upto, passed });
        }
    }
}

/// Retires what is dead, and asks for a flush of what keeps the rest alive.
fn keep_room(log: &mut LogWriter, engine: &Engine) {
    loop {
        match log.maintain() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => check(Err(error)),
        }
    }
    if let Some(replica) = log.pressure() {
        let host = host_of(replica.partition, engine.hosts.len());
        engine.hosts[host].note_log_pressure(replica, engine.clock.now());
    }
}

fn check<T>(result: Result<T, StorageError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            tracing::error!(
                %error,
                "the log failed: this process ends, to start again from what is on disk"
            );
            doug_streams::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Sequence;
    use doug_storage::ReplicaKey;

    #[test]
    fn an_idle_log_says_within_a_few_milliseconds_what_is_durable_and_rests_then() {
        let mut queue = LogQueue::default();
        assert!(pause(&queue, true) <= Duration::from_millis(5));
        assert!(pause(&queue, false) >= Duration::from_millis(50));
        let replica = ReplicaKey { partition: 1, replica: 1 };
        queue.push(0, Sequence(1), Record::HardState { replica, term: 1, vote: None });
        assert!(pause(&queue, false) <= Duration::from_millis(10), "it may have room again");
    }
}
