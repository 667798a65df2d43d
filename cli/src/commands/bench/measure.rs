//! The measurement: who starts which operation when, and what it took.

use super::Operation;
use super::keys::{Random, key, value};
use super::open::Schedule;
use super::progress::Progress;
use super::target::Target;
use bytes::Bytes;
use doug_client::{Fault, Read};
use futures::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// Operations under way while keys are prepared.
const PREPARING: usize = 512;
/// Bytes of them: what the least node has queues for. More would only be refused.
const PREPARING_BYTES: usize = 1 << 20;
/// How often a key is written that a node refuses because too much waits there already. Each time
/// the library tries until the operation's own deadline.
const TRIES: usize = 12;
/// Beyond this the histogram only says "at least".
const MOST_MICROSECONDS: u64 = 600_000_000;

/// What to measure.
pub struct Plan {
    /// Which operations.
    pub operation: Operation,
    /// Closed loop: how many under way. Open loop: not used.
    pub clients: usize,
    /// Open loop: operations to start each second.
    pub rate: Option<u64>,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
    /// Bytes a value.
    pub value_size: usize,
    /// Different keys.
    pub keys: u64,
    /// How fresh reads are.
    pub read: Read,
}

/// What came of it.
pub struct Measured {
    /// Microseconds of the operations that ended well.
    pub latencies: Histogram<u64>,
    /// How often each error came.
    pub errors: BTreeMap<String, u64>,
    /// What the first operation that failed outside of the time measured ended with.
    pub failed_outside: Option<Fault>,
    /// Open loop: operations that should have started and did not, because too
    /// many were under way.
    pub not_started: u64,
    /// The time counted.
    pub took: Duration,
}

/// Writes every key that may be read.
///
/// # Errors
/// The first write that fails.
pub async fn prepare(plan: &Plan, target: &Target) -> Result<(), Fault> {
    let value = value(plan.value_size);
    let progress = Progress::of_keys(plan.keys);
    let mut writes = futures::stream::iter(0..plan.keys)
        .map(|number| {
            let value = value.clone();
            insist(move || target.put(number as usize, key(number), value.clone()))
        })
        .buffer_unordered(preparing(plan.value_size));
    while let Some(result) = writes.next().await {
        result?;
        progress.wrote_key();
    }
    Ok(())
}

/// How many keys of such values are written at a time.
fn preparing(value_size: usize) -> usize {
    (PREPARING_BYTES / value_size.max(1)).clamp(1, PREPARING)
}

/// Writes until it is done, or refused for another reason than that too much waits there.
async fn insist<F>(mut put: impl FnMut() -> F) -> Result<(), Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    for _ in 1..TRIES {
        match put().await {
            Err(fault) if fault.is_not_executed() && fault.code == Code::ResourceExhausted => {}
            done => return done,
        }
    }
    put().await
}

/// Whether anybody answers at all: a measurement of nothing says nothing.
///
/// # Errors
/// What a read of any key ends with.
pub async fn probe(target: &Target) -> Result<(), Fault> {
    target.get(0, key(0), &Read::Linearizable).await.map(drop)
}

/// Measures.
pub async fn run(plan: &Plan, target: &Target) -> Measured {
    let start = Instant::now();
    let (counted_from, end) = (start + plan.warm_up, start + plan.warm_up + plan.duration);
    let progress = Progress::of_time(plan.warm_up, plan.duration);
    let run = Run { plan, target, value: value(plan.value_size), counted_from, end, progress };
    match plan.rate {
        None => run.closed().await,
        Some(rate) => run.open(Schedule::new(start, rate)).await,
    }
}

struct Run<'a> {
    plan: &'a Plan,
    target: &'a Target,
    value: Bytes,
    counted_from: Instant,
    end: Instant,
    progress: Progress,
}

struct Ended {
    client: usize,
    intended: Instant,
    ended: Instant,
    result: Result<(), Fault>,
}

impl Run<'_> {
    /// Each client starts the next operation when the last one is answered.
    async fn closed(&self) -> Measured {
        let mut random = Random::new(7);
        let mut measured = Measured::new(self.plan.duration);
        let mut running = FuturesUnordered::new();
        for client in 0..self.plan.clients {
            running.push(self.operation(client, Instant::now(), random.next()));
        }
        while let Some(ended) = running.next().await {
            let client = ended.client;
            self.count(ended, &mut measured);
            let now = Instant::now();
            if now < self.end {
                running.push(self.operation(client, now, random.next()));
            }
        }
        measured
    }

    /// Operations start when they should, whatever became of those before; a
    /// stall then shows as the wait of all that should have started in it.
    async fn open(&self, mut schedule: Schedule) -> Measured {
        let mut random = Random::new(7);
        let mut measured = Measured::new(self.plan.duration);
        let mut running = FuturesUnordered::new();
        let mut turn = 0;
        while schedule.next_start() < self.end || !running.is_empty() {
            let now = Instant::now();
            let due = schedule.due(now.min(self.end));
            let room = schedule.most_running().saturating_sub(running.len());
            let started = due.min(room as u64);
            for _ in 0..started {
                let intended = schedule.start_one();
                running.push(self.operation(turn, intended, random.next()));
                turn += 1;
            }
            measured.not_started += schedule.skip(due - started, self.counted_from);
            let more = schedule.next_start() < self.end;
            tokio::select! {
                biased;
                Some(ended) = running.next(), if !running.is_empty() => {
                    self.count(ended, &mut measured);
                }
                () = tokio::time::sleep_until(schedule.next_start()), if more => {}
            }
        }
        measured
    }

    async fn operation(&self, client: usize, intended: Instant, random: u64) -> Ended {
        let key = key(random % self.plan.keys);
        let write = match self.plan.operation {
            Operation::Put => true,
            Operation::Get => false,
            Operation::Mixed => random >> 63 == 0,
        };
        let result = if write {
            self.target.put(client, key, self.value.clone()).await
        } else {
            self.target.get(client, key, &self.plan.read).await.and_then(expect_found)
        };
        Ended { client, intended, ended: Instant::now(), result }
    }

    fn count(&self, ended: Ended, measured: &mut Measured) {
        self.progress.ended();
        if ended.intended < self.counted_from || ended.intended >= self.end {
            measured.failed_outside = measured.failed_outside.take().or(ended.result.err());
            return;
        }
        match ended.result {
            Ok(()) => {
                let took = (ended.ended - ended.intended).as_micros();
                let took = u64::try_from(took).unwrap_or(u64::MAX).clamp(1, MOST_MICROSECONDS);
                measured.latencies.saturating_record(took);
            }
            Err(fault) => {
                let error = format!("{:?}: {}", fault.code, fault.message);
                *measured.errors.entry(error).or_default() += 1;
            }
        }
    }
}

/// All keys were written: a missing one is a lost write.
fn expect_found(found: bool) -> Result<(), Fault> {
    if found {
        Ok(())
    } else {
        Err(Fault::new(tonic::Code::DataLoss, "a key written before is missing"))
    }
}

impl Measured {
    fn new(took: Duration) -> Self {
        let latencies = Histogram::new_with_bounds(1, MOST_MICROSECONDS, 3)
            .expect("the bounds are constants that fit");
        Self { latencies, errors: BTreeMap::new(), failed_outside: None, not_started: 0, took }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn large_values_are_prepared_few_at_a_time() {
        assert_eq!([0, 256, 64 << 10, 8 << 20].map(preparing), [512, 512, 16, 1]);
    }

    #[tokio::test]
    async fn a_node_that_has_too_much_waiting_is_asked_again_and_any_other_refusal_ends_it() {
        let asked = Cell::new(0);
        let busy_at_first = || {
            asked.set(asked.get() + 1);
            let busy = asked.get() < 3;
            async move { if busy { Err(Fault::exhausted("too much waits")) } else { Ok(()) } }
        };
        assert!(insist(busy_at_first).await.is_ok());
        assert_eq!(asked.replace(0), 3);
        let wrong = || {
            asked.set(asked.get() + 1);
            async { Err(Fault::invalid("the key is too long")) }
        };
        assert!(insist(wrong).await.is_err());
        assert_eq!(asked.get(), 1);
    }
}
