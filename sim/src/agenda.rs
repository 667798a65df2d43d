//! What a client asks and when: in bursts, in which operations overlap, with pauses between them
//! that leave as many writes for later as there is time; and once the faults are over, a write to
//! each partition and a read of it. The clients of the simulator's own protocol and those that run
//! the library have it in common.

use crate::context::Context;
use crate::history::{Action, Answer, Operation};
use crate::random::Random;
use crate::workload::{self, Memory};
use std::collections::VecDeque;

/// What a client asks and when.
#[derive(Debug)]
pub struct Agenda {
    /// All that is left to chance about the client.
    pub random: Random,
    memory: Memory,
    pace: Pace,
    last_words: LastWords,
}

/// The next operation of a client.
pub struct Next {
    /// Of which partition.
    pub partition: u64,
    /// What is asked.
    pub action: Action,
    /// Whether it is one of the client's last, which must be carried out before it rests.
    pub is_last_word: bool,
}

impl Agenda {
    /// The agenda of client `index`, which also names its values.
    pub fn new(index: usize, cx: &Context) -> Self {
        Self {
            random: Random::for_purpose(cx.plan.seed, 2_000 + index as u64),
            memory: Memory::new(index as u64 + 1),
            pace: Pace::default(),
            last_words: LastWords::default(),
        }
    }

    /// Microseconds until a slot's first operation.
    pub fn first(&mut self) -> u64 {
        self.random.below(50_000)
    }

    /// Microseconds from the end of an operation to the next one of its slot.
    pub fn pause(&mut self, cx: &Context) -> u64 {
        self.pace.next(&mut self.random, cx, self.last_words.have_begun())
    }

    /// What a slot asks next; `None` if it is to rest.
    pub fn next(&mut self, slot: usize, cx: &mut Context) -> Option<Next> {
        let is_last_word = self.last_words.have_begun();
        let (partition, action) = if is_last_word {
            let (partition, write) = self.last_words.next(slot)?;
            workload::last_word(&mut self.memory, &mut self.random, cx, partition, write)
        } else {
            workload::choose(&mut self.memory, &mut self.random, cx)
        };
        Some(Next { partition, action, is_last_word })
    }

    /// An operation was answered.
    pub fn answered(&mut self, operation: &Operation, answer: &Answer) {
        self.memory.learn(operation.partition, &operation.action, answer);
    }

    /// A write was acknowledged.
    pub fn wrote(&mut self) {
        self.pace.wrote();
    }

    /// The client is to write to and read each of these partitions once more, and then to rest.
    pub fn rest_after(&mut self, partitions: &[u64]) {
        self.last_words = LastWords::to(partitions);
    }

    /// The last word that was due has been carried out.
    pub fn last_word_said(&mut self) {
        self.last_words.was_answered();
    }

    /// Whether nothing is left on it.
    pub fn is_done(&self) -> bool {
        self.last_words.are_said()
    }
}

/// A client pauses at most twice this long between bursts, in microseconds.
const LONGEST_PAUSE: u64 = 10_000_000;

#[derive(Debug, Default)]
struct Pace {
    /// Operations left of the burst, and writes acknowledged so far.
    burst: u64,
    written: u64,
}

impl Pace {
    fn wrote(&mut self) {
        self.written += 1;
    }

    /// How many microseconds from now the next operation begins. Whoever `is_leaving` does not
    /// pause any more.
    fn next(&mut self, random: &mut Random, cx: &Context, is_leaving: bool) -> u64 {
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
struct LastWords(Option<VecDeque<(u64, bool)>>);

impl LastWords {
    /// A write to each of these partitions, and a read of it.
    fn to(partitions: &[u64]) -> Self {
        Self(Some(partitions.iter().flat_map(|p| [(*p, true), (*p, false)]).collect()))
    }

    /// Whether nothing else is said any more.
    fn have_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Whether all was said.
    fn are_said(&self) -> bool {
        self.0.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// The partition of the next one, and whether it is a write. Only the first slot has it to say.
    fn next(&self, slot: usize) -> Option<(u64, bool)> {
        self.0.as_ref()?.front().copied().filter(|_| slot == 0)
    }

    /// It was answered.
    fn was_answered(&mut self) {
        if let Some(words) = &mut self.0 {
            words.pop_front();
        }
    }
}
