//! The node's clocks: the monotone one, and the wall clock.
#![allow(clippy::disallowed_types)] // this adapter is where time enters

use doug_raft::Time;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts microseconds since the process started. Never follows the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at one second, so that no moment is mistaken for "never".
    pub fn start() -> Self {
        Self { start: Instant::now() - Duration::from_secs(1) }
    }

    /// What the wall clock shows. It may jump, stand still and be wrong: only a majority of the
    /// nodes' is believed (docs/time.md). 0 where it shows a time before 1970.
    pub fn wall(&self) -> doug_raft::Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        doug_raft::Clock(since.as_millis() as u64)
    }

    /// The time now.
    pub fn now(&self) -> Time {
        Time(self.start.elapsed().as_micros() as u64)
    }

    /// How long the process has been running.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_secs(1))
    }

    /// The moment `timeout` from now.
    pub fn after(&self, timeout: Duration) -> Time {
        self.now().after(timeout)
    }
}
