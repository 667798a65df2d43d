//! When a client asks: in bursts, in which operations overlap, with pauses between them that
//! leave as many writes for later as there is time.

use crate::context::Context;
use crate::random::Random;

/// A client pauses at most twice this long between bursts, in microseconds.
const LONGEST_PAUSE: u64 = 5_000_000;

/// A client's pace.
#[derive(Debug, Default)]
pub struct Pace {
    /// Operations left of the burst, and writes acknowledged so far.
    burst: u64,
    written: u64,
}

impl Pace {
    /// A write was acknowledged.
    pub fn wrote(&mut self) {
        self.written += 1;
    }

    /// How many microseconds from now the next operation begins. Whoever `is_leaving` does not
    /// pause any more.
    pub fn next(&mut self, random: &mut Random, cx: &Context, is_leaving: bool) -> u64 {
        let workload = &cx.plan.workload;
        let mut delay = random.below(workload.think + 1);
        if self.burst > 0 {
            self.burst -= 1;
        } else if !is_leaving {
            self.burst = random.between(1, workload.burst);
            let share = workload.acknowledged / cx.plan.callers().max(1);
            let time_left = cx.plan.duration.saturating_sub(cx.now);
            // Another share of the writes does not meet its condition.
            let per_write = time_left * 9 / 10 / share.saturating_sub(self.written).max(1);
            let expected = self.burst * per_write * workload.writes / 1_000;
            delay += random.below(2 * expected.min(LONGEST_PAUSE));
        }
        delay
    }
}
