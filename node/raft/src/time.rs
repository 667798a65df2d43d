//! Instants on a process's monotone clock. What lies between two of them is a
//! [`Duration`](std::time::Duration).

use std::time::Duration;

/// An instant: microseconds on a monotone clock whose zero means nothing. Instants of two processes
/// cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// So much later, in whole microseconds; saturates at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(microseconds(duration)))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in whole microseconds; saturates.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_in_whole_microseconds_and_time_has_an_end() {
        assert_eq!(Time(5).after(Duration::from_nanos(1_999)), Time(6));
        assert_eq!(Time(5).after(Duration::MAX), Time(u64::MAX));
    }

    #[test]
    fn nothing_lies_between_an_instant_and_a_later_one() {
        assert_eq!(Time(7).since(Time(5)), Duration::from_micros(2));
        assert_eq!(Time(5).since(Time(7)), Duration::ZERO);
    }
}
