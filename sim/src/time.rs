//! Simulated time: what the run's own clock shows. No node sees it; each has clocks of its own,
//! one monotone and one of the wall, which run from it as the seed wants.

use doug_raft::Time;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant of simulated time: whole microseconds since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

impl SimTime {
    /// When the run begins.
    pub const ZERO: SimTime = SimTime(0);
    /// After every event.
    pub const END: SimTime = SimTime(u64::MAX);

    /// The instant so many microseconds after the beginning.
    pub const fn from_micros(micros: u64) -> SimTime {
        SimTime(micros)
    }

    /// Microseconds since the beginning.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long the run has gone on.
    pub const fn elapsed(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The instant so much earlier; the beginning if the run had not begun then.
    #[must_use]
    pub fn before(self, duration: Duration) -> SimTime {
        SimTime(self.0.saturating_sub(whole_micros(duration)))
    }

    /// How long it is until then; nothing if that has passed.
    pub fn until(self, later: SimTime) -> Duration {
        Duration::from_micros(later.0.saturating_sub(self.0))
    }

    /// What a clock shows that runs exactly as the run's own: parts of a node that measure only
    /// how long something took are given this one.
    pub const fn exact(self) -> Time {
        Time(self.0)
    }
}

/// Saturates at [`SimTime::END`]; nanoseconds do not count.
impl Add<Duration> for SimTime {
    type Output = SimTime;

    fn add(self, duration: Duration) -> SimTime {
        SimTime(self.0.saturating_add(whole_micros(duration)))
    }
}

/// How long ago the other was.
///
/// # Panics
/// If it is later: whoever asks has the order of events wrong.
impl Sub for SimTime {
    type Output = Duration;

    fn sub(self, earlier: SimTime) -> Duration {
        assert!(earlier <= self, "{earlier} lies after {self}");
        Duration::from_micros(self.0 - earlier.0)
    }
}

/// Seconds with microseconds.
impl std::fmt::Display for SimTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// What happens to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It shows so much more from now on.
    Ahead(Duration),
    /// It shows so much less from now on.
    Back(Duration),
    /// It stands still.
    Frozen,
}

impl std::fmt::Display for ClockFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClockFault::Ahead(by) => write!(f, "jumps {by:?} ahead"),
            ClockFault::Back(by) => write!(f, "falls {by:?} back"),
            ClockFault::Frozen => write!(f, "stands still"),
        }
    }
}

/// A duration in whole microseconds; saturates.
pub fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// So many microseconds.
pub const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// So many milliseconds.
pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// So many seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_durations_count_in_whole_microseconds() {
        let at = SimTime::ZERO + Duration::from_nanos(1_999);
        assert_eq!((at, at.to_string().as_str()), (SimTime::from_micros(1), "0.000001"));
        assert_eq!(at + seconds(2) - at, seconds(2));
        assert_eq!(at + Duration::MAX, SimTime::END);
    }

    #[test]
    #[should_panic(expected = "lies after")]
    fn nothing_is_younger_than_what_comes_later() {
        let _ = SimTime::ZERO - SimTime::from_micros(1);
    }
}
