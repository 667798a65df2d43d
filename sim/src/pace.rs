//! When a client asks: in bursts, in which operations overlap, with pauses between them that
//! leave as many writes for later as there is time; and what it says before it rests.

use crate::context::Context;
use crate::random::Random;
use std::collections::VecDeque;

/// A client pauses at most twice this long between bursts, in microseconds.
const LONGEST_PAUSE: u64 = 10_000_000;

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
            let share = workload.acknowledged / cx.plan.callers().max(1);
            let time_left = cx.plan.duration.saturating_sub(cx.now);
            // Another share of the writes does not meet its condition.
            let per_write = time_left * 9 / 10 / share.saturating_sub(self.written).max(1);
            let per_operation = per_write * workload.width as u64 * workload.writes / 1_000;
            let most = LONGEST_PAUSE / per_operation.max(1);
            self.burst = random.between(1, workload.burst).min(most).max(1);
            delay += random.below(2 * (self.burst * per_operation).min(LONGEST_PAUSE) + 1);
        }
        delay
    }
}

/// What a client still says once the faults are over, one after the other: it shows that everybody
/// can be written to and read again.
#[derive(Debug, Default)]
pub struct LastWords(Option<VecDeque<(u64, bool)>>);

impl LastWords {
    /// A write to each of these partitions, and a read of it.
    pub fn to(partitions: &[u64]) -> Self {
        Self(Some(partitions.iter().flat_map(|p| [(*p, true), (*p, false)]).collect()))
    }

    /// Whether nothing else is said any more.
    pub fn have_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Whether all was said.
    pub fn are_said(&self) -> bool {
        self.0.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// The partition of the next one, and whether it is a write. Only the first slot has it to say.
    pub fn next(&self, slot: usize) -> Option<(u64, bool)> {
        self.0.as_ref()?.front().copied().filter(|_| slot == 0)
    }

    /// It was answered.
    pub fn was_answered(&mut self) {
        if let Some(words) = &mut self.0 {
            words.pop_front();
        }
    }
}
