//! What a client asks and when: in bursts, in which operations overlap, with pauses between them
//! that leave as many writes for later as there is time; and once the faults are over, a write to
//! each partition and a read of it. The clients of the simulator's own protocol and those that run
//! the library have it in common.

use crate::context::Context;
use crate::history::{Action, Answer, Operation};
use crate::random::Random;
use crate::time::{micros, millis, seconds, whole_micros};
use crate::workload::{self, Memory};
use std::collections::VecDeque;
use std::time::Duration;

/// What a client asks and when.
#[derive(Debug)]
pub struct Agenda {
    /// The client's own stream of chance.
    pub random: Random,
    memory: Memory,
    pace: Pace,
    final_operations: FinalOperations,
}

/// The next operation of a client.
pub struct Next {
    /// Of which partition.
    pub partition: u64,
    /// What is asked.
    pub action: Action,
    /// Whether it is one of the client's last, which must be carried out before it rests.
    pub is_final: bool,
}

impl Agenda {
    /// The agenda of client `index`, which also names its values.
    pub fn new(index: usize, cx: &Context) -> Self {
        Self {
            random: Random::for_purpose(cx.plan.seed, 2_000 + index as u64),
            memory: Memory::new(index as u64 + 1),
            pace: Pace::default(),
            final_operations: FinalOperations::default(),
        }
    }

    /// How long it is until a slot's first operation.
    pub fn first(&mut self) -> Duration {
        self.random.duration_below(millis(50))
    }

    /// How long it is from the end of an operation to the next one of its slot.
    pub fn pause(&mut self, cx: &Context) -> Duration {
        self.pace.next(&mut self.random, cx, self.final_operations.have_begun())
    }

    /// What a slot asks next; `None` if it is to rest.
    pub fn next(&mut self, slot: usize, cx: &Context) -> Option<Next> {
        let is_final = self.final_operations.have_begun();
        let (partition, action) = if is_final {
            let (partition, write) = self.final_operations.next(slot)?;
            workload::final_operation(&mut self.memory, &mut self.random, cx, partition, write)
        } else {
            workload::choose(&mut self.memory, &mut self.random, cx)
        };
        Some(Next { partition, action, is_final })
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
        self.final_operations = FinalOperations::to(partitions);
    }

    /// The final operation that was due has been carried out.
    pub fn final_operation_done(&mut self) {
        self.final_operations.was_answered();
    }

    /// Whether nothing is left on it.
    pub fn is_done(&self) -> bool {
        self.final_operations.are_done()
    }
}

/// A client pauses at most twice this long between bursts.
const LONGEST_PAUSE: Duration = seconds(10);

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

    /// How long from now the next operation begins. Whoever `is_leaving` does not
    /// pause any more.
    fn next(&mut self, random: &mut Random, cx: &Context, is_leaving: bool) -> Duration {
        let workload = &cx.plan.workload;
        let mut delay = random.duration_below(workload.think + micros(1));
        if self.burst > 0 {
            self.burst -= 1;
        } else if !is_leaving {
            let share = workload.acknowledged / cx.plan.callers().max(1);
            let time_left = cx.plan.duration.saturating_sub(cx.now.elapsed());
            // Another share of the writes does not meet its condition.
            let per_write =
                whole_micros(time_left) * 9 / 10 / share.saturating_sub(self.written).max(1);
            let per_operation = per_write * workload.width as u64 * workload.writes / 1_000;
            let longest = whole_micros(LONGEST_PAUSE);
            let most = longest / per_operation.max(1);
            self.burst = random.between(1, workload.burst).min(most).max(1);
            delay += micros(random.below(2 * (self.burst * per_operation).min(longest) + 1));
        }
        delay
    }
}

/// What a client still does once the faults are over, one operation after the other: it shows that
/// every partition can be written to and read again.
#[derive(Debug, Default)]
struct FinalOperations(Option<VecDeque<(u64, bool)>>);

impl FinalOperations {
    /// A write to each of these partitions, and a read of it.
    fn to(partitions: &[u64]) -> Self {
        Self(Some(partitions.iter().flat_map(|p| [(*p, true), (*p, false)]).collect()))
    }

    /// Whether nothing else is done any more.
    fn have_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Whether all are done.
    fn are_done(&self) -> bool {
        self.0.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// The partition of the next one, and whether it is a write. Only the first slot does them.
    fn next(&self, slot: usize) -> Option<(u64, bool)> {
        self.0.as_ref()?.front().copied().filter(|_| slot == 0)
    }

    /// It was answered.
    fn was_answered(&mut self) {
        if let Some(operations) = &mut self.0 {
            operations.pop_front();
        }
    }
}
