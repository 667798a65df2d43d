//! When the operations of an open loop should start.

use std::time::Duration;
use tokio::time::Instant;

/// So many seconds of operations may be under way; beyond that the target has
/// failed, and memory must not follow.
const SECONDS_UNDER_WAY: u64 = 2;
/// Nor may more than these be, at any rate.
const MOST_UNDER_WAY: usize = 1 << 16;

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

    /// How many should have started by `now` and have not been taken yet.
    pub fn due(&self, now: Instant) -> u64 {
        self.before(now + Duration::from_nanos(1)).saturating_sub(self.started)
    }

    /// Passes over the next `count` operations; gives how many of them should have started
    /// at `from` or later. By arithmetic: at a rate beyond reason, counting them one by one
    /// would never catch up with the clock.
    pub fn skip(&mut self, count: u64, from: Instant) -> u64 {
        let before = self.started;
        self.started += count;
        self.started - self.before(from).clamp(before, self.started)
    }

    /// How many should start before a moment.
    fn before(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.start).as_nanos();
        let count = (elapsed * u128::from(self.rate)).div_ceil(1_000_000_000);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Most operations that may be under way.
    pub fn most_running(&self) -> usize {
        let most = self.rate.saturating_mul(SECONDS_UNDER_WAY);
        usize::try_from(most).unwrap_or(usize::MAX).clamp(1, MOST_UNDER_WAY)
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

    #[test]
    fn as_many_are_due_as_should_have_started() {
        let start = Instant::now();
        for rate in [1, 3, 7, 1_000, 999_983] {
            let mut schedule = Schedule::new(start, rate);
            for microseconds in [0, 1, 333_333, 333_334, 1_000_000, 1_234_567] {
                let now = start + Duration::from_micros(microseconds);
                for _ in 0..schedule.due(now) {
                    assert!(schedule.start_one() <= now, "{rate}/s at {microseconds} µs");
                }
                assert!(schedule.next_start() > now, "{rate}/s at {microseconds} µs");
            }
        }
    }

    #[test]
    fn of_those_passed_over_the_ones_of_the_time_measured_count() {
        let start = Instant::now();
        let from = start + Duration::from_secs(1);
        let mut schedule = Schedule::new(start, 10);
        // At 0, 0.1 … 0.9 s, then at 1.0 and 1.1 s.
        assert_eq!((schedule.skip(5, from), schedule.skip(7, from)), (0, 2));
        assert_eq!(schedule.skip(3, from), 3);
    }

    #[test]
    fn a_rate_beyond_reason_neither_fills_memory_nor_takes_for_ever() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1_000_000_000);
        assert_eq!(schedule.most_running(), MOST_UNDER_WAY);
        let hour = start + Duration::from_secs(3_600);
        let due = schedule.due(hour);
        assert_eq!(due, 3_600_000_000_001);
        assert_eq!(schedule.skip(due, start), due);
        assert_eq!(schedule.due(hour), 0);
    }
}
