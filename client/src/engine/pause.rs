//! How long an operation pauses before its next try.

use crate::jitter::Jitter;
use std::time::Duration;

/// The first pause between two tries; each is half as long again.
const FIRST: Duration = Duration::from_millis(5);
/// The longest.
const MOST: Duration = Duration::from_millis(100);
/// The first pause after a server had no room: each may be twice as long.
const OVERLOAD_FIRST: Duration = Duration::from_millis(10);
/// The longest.
const OVERLOAD_MOST: Duration = Duration::from_secs(1);

/// The pauses of one operation.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    overload: Duration,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: FIRST, overload: OVERLOAD_FIRST }
    }

    /// The next pause. An overloaded server refuses at once, so those it refuses must
    /// not come back together: each waits for any time up to a bound that doubles
    /// (exponential back-off with full jitter).
    pub(super) fn next(&mut self, overloaded: bool, jitter: &Jitter) -> Duration {
        if overloaded {
            let most = self.overload;
            self.overload = (most * 2).min(OVERLOAD_MOST);
            return jitter.up_to(most);
        }
        let mean = self.next;
        self.next = (mean * 3 / 2).min(MOST);
        jitter.spread(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_overload_the_bound_of_the_pauses_doubles_up_to_a_second() {
        let (jitter, mut pauses) = (Jitter::new(7), Pauses::new());
        for doubled in 0..20 {
            let most = (OVERLOAD_FIRST * (1 << doubled)).min(OVERLOAD_MOST);
            assert!(pauses.next(true, &jitter) <= most);
        }
        let long: Duration = (0..1_000).map(|_| pauses.next(true, &jitter)).sum();
        let mean = long / 1_000;
        assert!((450..550).contains(&mean.as_millis()), "any time up to a second: {mean:?}");
    }

    #[test]
    fn other_pauses_stay_short() {
        let (jitter, mut pauses) = (Jitter::new(7), Pauses::new());
        assert!((0..100).all(|_| pauses.next(false, &jitter) <= MOST * 3 / 2));
    }
}
