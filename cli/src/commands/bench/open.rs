//! When the operations of an open loop should start.

use std::time::Duration;
use tokio::time::Instant;

/// So many seconds of operations may be under way; beyond that the target has
/// failed, and memory must not follow.
const SECONDS_UNDER_WAY: u64 = 2;

/// Evenly spaced starts.
pub struct Schedule {
    start: Instant,
    rate: u64,
    started: u64,
}

impl Schedule {
    /// `rate` operations a second from `start` on; at least 1.
    pub fn new(start: Instant, rate: u64) -> Self {
        Self { start, rate, started: 0 }
    }

    /// When the next operation should start. Computed from the count, so that
    /// rounding never adds up.
    pub fn next_start(&self) -> Instant {
        let whole = Duration::from_secs(self.started / self.rate);
        let rest = self.started % self.rate * 1_000_000_000 / self.rate;
        self.start + whole + Duration::from_nanos(rest)
    }

    /// Takes the next operation; gives when it should start.
    pub fn start_one(&mut self) -> Instant {
        let next = self.next_start();
        self.started += 1;
        next
    }

    /// Most operations that may be under way.
    pub fn most_running(&self) -> usize {
        usize::try_from(self.rate * SECONDS_UNDER_WAY).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_evenly_spaced_and_do_not_drift() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 3);
        let starts: Vec<u128> =
            (0..7).map(|_| (schedule.start_one() - start).as_micros()).collect();
        assert_eq!(starts, [0, 333_333, 666_666, 1_000_000, 1_333_333, 1_666_666, 2_000_000]);
    }
}
