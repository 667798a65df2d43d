//! The two times of a batch: the *clock*, which the nodes agree on and which never falls, and the
//! *stamp*, which orders batches causally, also across partitions (docs/time.md).

use std::fmt;
use std::time::Duration;

use crate::ids::ReplicaId;
use crate::mutant::mutant;
use crate::raft::Raft;
use crate::time::Time;

/// Milliseconds since the beginning of 1970, UTC. 0 stands for a clock that was never heard, below
/// every other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clock(pub u64);

impl Clock {
    /// What it shows `elapsed` after it was read, by a monotone clock: a second later at most, for
    /// a monotone clock may jump, and a leader hears a majority far more often than that. One that
    /// was never heard stays so.
    #[must_use]
    pub fn advanced(self, elapsed: Duration) -> Clock {
        if self == Clock(0) {
            return self;
        }
        Clock(self.0.saturating_add(elapsed.min(MOST_ADVANCE).as_millis() as u64))
    }

    /// How much later it is than `earlier`; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Clock) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// For how long a clock that was read goes on at most.
const MOST_ADVANCE: Duration = Duration::from_secs(1);

/// Orders batches: milliseconds since 1970 in the high 48 bits, a counter in the low 16. Where a
/// clock stands still, the counter counts on into the milliseconds; so a stamp may be ahead of its
/// clock, never behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// The low bits of a stamp, its counter.
const COUNTER_BITS: u32 = 16;

impl Stamp {
    /// The first stamp of a clock's millisecond. Clocks after the year 10,000 all have the last
    /// one.
    #[must_use]
    pub fn first_of(clock: Clock) -> Stamp {
        Stamp(clock.0.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS)
    }

    /// Its milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// The least stamp after this one; saturates.
    #[must_use]
    pub fn next(self) -> Stamp {
        Stamp(self.0.saturating_add(1))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.milliseconds(), self.0 & ((1 << COUNTER_BITS) - 1))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a batch was made. From batch to batch of a log the clock never falls and the stamp rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchTime {
    /// What a majority of the voters' clocks had reached. For expiry, leases and retention.
    pub clock: Clock,
    /// At or above the clock. For the order of batches, within a partition and across them.
    pub stamp: Stamp,
}

impl BatchTime {
    /// Whether a batch of this time may directly follow one of `earlier`.
    #[must_use]
    pub fn may_follow(self, earlier: BatchTime) -> bool {
        self.clock >= earlier.clock && self.stamp > earlier.stamp
    }

    /// The time of the batch that follows, when `median` is what a majority of the clocks has
    /// reached and its requests have seen nothing later than `seen`.
    #[must_use]
    fn following(self, median: Clock, seen: Stamp) -> BatchTime {
        let clock = self.clock.max(median);
        let stamp = Stamp::first_of(clock).max(self.stamp.next()).max(seen.next());
        BatchTime { clock, stamp }
    }
}

impl Raft {
    /// Takes up what the wall clocks of the group's nodes show at `now`; [`Clock`] 0 for one that
    /// was never heard. What a majority of the voters has reached (of either half of a joint
    /// configuration) becomes the clock of the batches this replica makes as leader, unless their
    /// log is further already. It goes on with `now`, for a second at most.
    pub fn observe_clocks(&mut self, now: Time, clock_of: impl Fn(ReplicaId) -> Clock) {
        self.advance_clock(now);
        let reached = if mutant!(self.config, OneClockBelieved) {
            clock_of(self.config.id).0
        } else {
            self.deciding().reached(|id| clock_of(id).0)
        };
        self.observed = (Clock(reached), self.now);
    }

    /// The clock of a batch that this replica would make at `now` as leader: never below that of
    /// its log's end.
    #[must_use]
    pub fn clock(&self, now: Time) -> Clock {
        let (reached, then) = self.observed;
        self.log.last_time().clock.max(reached.advanced(now.max(self.now).since(then)))
    }

    /// Clock and stamp of the last batch of its log, durable or not.
    #[must_use]
    pub fn last_time(&self) -> BatchTime {
        self.log.last_time()
    }

    /// The time of the next batch of this leader, whose requests have seen nothing later than
    /// `seen`.
    pub(crate) fn next_time(&self, seen: Stamp) -> BatchTime {
        let seen = if mutant!(self.config, StampIgnoresToken) { Stamp(0) } else { seen };
        let time = self.log.last_time().following(self.clock(self.now), seen);
        if mutant!(self.config, StampGoesBack) {
            return BatchTime { stamp: Stamp::first_of(time.clock), ..time };
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(clock: u64, stamp: u64) -> BatchTime {
        BatchTime { clock: Clock(clock), stamp: Stamp(stamp) }
    }

    #[test]
    fn a_stamp_is_its_clock_as_long_as_that_moves_on() {
        let next = time(5, 5 << 16).following(Clock(7), Stamp(0));
        assert_eq!(next, time(7, 7 << 16));
        assert!(next.may_follow(time(5, 5 << 16)));
    }

    #[test]
    fn while_the_clock_stands_still_or_falls_stamps_count_on() {
        let last = time(5, (5 << 16) + 3);
        assert_eq!(last.following(Clock(5), Stamp(0)), time(5, (5 << 16) + 4));
        assert_eq!(last.following(Clock(1), Stamp(0)), time(5, (5 << 16) + 4));
        assert_eq!(
            last.following(Clock(0), Stamp(0)),
            time(5, (5 << 16) + 4),
            "no clock was heard"
        );
        let end_of_counter = time(5, (6 << 16) - 1);
        let next = end_of_counter.following(Clock(5), Stamp(0));
        assert_eq!(next, time(5, 6 << 16), "the counter runs on into the milliseconds");
    }

    #[test]
    fn a_stamp_is_later_than_any_that_its_requests_have_seen_and_the_clock_is_not() {
        let next = time(5, 5 << 16).following(Clock(7), Stamp(9 << 16));
        assert_eq!(next, time(7, (9 << 16) + 1));
    }

    #[test]
    fn a_clock_never_heard_stays_below_all_others() {
        assert_eq!(Clock(0).advanced(Duration::MAX), Clock(0));
        assert_eq!(Clock(3).advanced(Duration::from_micros(2_999)), Clock(5));
        let jumped = Clock(3).advanced(Duration::MAX);
        assert_eq!(jumped, Clock(1_003), "the monotone clock may have jumped");
    }

    #[test]
    fn the_end_of_all_stamps_is_never_passed() {
        assert_eq!(Stamp::first_of(Clock(u64::MAX)).milliseconds(), u64::MAX >> 16);
        assert_eq!(Stamp(u64::MAX).next(), Stamp(u64::MAX));
    }
}
