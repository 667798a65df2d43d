//! The longest time without an acknowledged write: what a user of the database
//! would have noticed of a failure meanwhile.

use std::time::Duration;
use tokio::time::Instant;

/// Watches acknowledgements.
#[derive(Debug)]
pub struct Gaps {
    start: Instant,
    last: Option<Instant>,
    longest: Duration,
    longest_at: Duration,
}

impl Gaps {
    /// Begins at `start`.
    pub fn new(start: Instant) -> Self {
        Self { start, last: None, longest: Duration::ZERO, longest_at: Duration::ZERO }
    }

    /// A write was acknowledged at `now`. The time before the first is no gap:
    /// connections are opened in it.
    pub fn acknowledged(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let gap = now - last;
            if gap > self.longest {
                self.longest = gap;
                self.longest_at = last - self.start;
            }
        }
        self.last = Some(now);
    }

    /// The longest gap, and when it began, from the start.
    pub fn longest(&self) -> (Duration, Duration) {
        (self.longest, self.longest_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_lies_between_two_acknowledgements() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut gaps = Gaps::new(start);
        for milliseconds in [900, 910, 1_500, 1_501, 1_700] {
            gaps.acknowledged(at(milliseconds));
        }
        let expected = (Duration::from_millis(590), Duration::from_millis(910));
        assert_eq!(gaps.longest(), expected);
    }
}
