//! Real time: for figures only, never seen by anything simulated.
#![allow(clippy::disallowed_types)] // nothing simulated depends on it

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Measures real time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since then.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Seconds this thread has spent on a processor: unlike real time, hardly a matter
/// of what else the machine does.
pub fn processor_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
