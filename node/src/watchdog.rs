//! Whether every thread of a node gets on with its work: what `/livez` asks.
//!
//! Each thread says at every pass of its loop that it came round ([`Heartbeat::beat`]).
//! It waits for work for a second at most, so one that is silent for longer is stuck in
//! a piece of work, or gone. A node with such a thread must be restarted: its other
//! threads may still send heartbeats, so that nobody takes its leaderships over.

use doug_raft::Time;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a thread's last beat becomes once the thread has ended.
const ENDED: u64 = u64::MAX;

/// All threads that are watched.
#[derive(Debug, Default)]
pub struct Watchdog {
    threads: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    patience: Duration,
    last: Arc<AtomicU64>,
}

/// One thread's word that it lives. Dropped, it says that the thread has ended.
#[derive(Debug)]
pub struct Heartbeat {
    last: Arc<AtomicU64>,
}

/// A thread that does not get on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The thread's name.
    pub thread: String,
    /// For how long it has not come round; `None`: it has ended.
    pub silent: Option<Duration>,
}

impl Watchdog {
    /// Watches a thread from `now` on. It is stuck once it has not come round for
    /// longer than `patience`.
    pub fn watch(&self, name: &str, patience: Duration, now: Time) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(now.0));
        let watched = Watched { name: name.to_owned(), patience, last: last.clone() };
        self.threads.lock().push(watched);
        Heartbeat { last }
    }

    /// The first thread that is stuck or has ended.
    pub fn complaint(&self, now: Time) -> Option<Complaint> {
        self.threads.lock().iter().find_map(|thread| thread.complaint(now))
    }
}

impl Watched {
    fn complaint(&self, now: Time) -> Option<Complaint> {
        let last = self.last.load(Ordering::Relaxed);
        if last == ENDED {
            return Some(Complaint { thread: self.name.clone(), silent: None });
        }
        let silent = now.since(Time(last));
        let stuck = silent > self.patience;
        stuck.then(|| Complaint { thread: self.name.clone(), silent: Some(silent) })
    }
}

impl Heartbeat {
    /// The thread came round.
    pub fn beat(&self, now: Time) {
        self.last.store(now.0, Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.last.store(ENDED, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { thread, silent } = self;
        match silent {
            Some(silent) => write!(f, "thread {thread} has not come round for {silent:.1?}"),
            None => write!(f, "thread {thread} has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    #[test]
    fn a_thread_that_comes_round_is_no_reason_to_complain() {
        let watchdog = Watchdog::default();
        let log = watchdog.watch("log", PATIENCE, seconds(1));
        assert_eq!(watchdog.complaint(seconds(11)), None);
        log.beat(seconds(11));
        assert_eq!(watchdog.complaint(seconds(21)), None);
    }

    #[test]
    fn a_stuck_thread_is_named_while_the_others_beat() {
        let watchdog = Watchdog::default();
        let host = watchdog.watch("host-0", PATIENCE, seconds(1));
        let _apply = watchdog.watch("apply", PATIENCE, seconds(1));
        host.beat(seconds(12));
        let complaint = watchdog.complaint(seconds(12)).expect("apply is stuck");
        assert_eq!(complaint.to_string(), "thread apply has not come round for 11.0s");
    }

    #[test]
    fn a_thread_that_panics_has_ended() {
        let watchdog = Watchdog::default();
        let beat = watchdog.watch("read-1", PATIENCE, seconds(1));
        let thread = std::thread::spawn(move || {
            beat.beat(seconds(2));
            // Without a message of a panic hook.
            std::panic::resume_unwind(Box::new("a bug"));
        });
        thread.join().expect_err("it panics");
        let complaint = watchdog.complaint(seconds(2)).expect("it is gone");
        assert_eq!(complaint.to_string(), "thread read-1 has ended");
    }
}
