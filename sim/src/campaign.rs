//! Many seeds: side by side on the machine's cores, one world each, reported in order.

use crate::checks::Violation;
use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::run::{Report, run};
use crate::trace::Tracing;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// One seed in so many runs twice.
const TWICE: u64 = 10;

/// When a campaign ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many seeds did enough to count.
    Counted(u64),
    /// So much real time has passed, in seconds; seeds under way are finished.
    Elapsed(f64),
}

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Those that did enough to count.
    pub counted: u64,
    /// Those that ran twice and went the same way.
    pub twice: u64,
    /// Simulated time; of a seed that ran twice, once.
    pub simulated: Duration,
    /// Processor time of their threads, in seconds; of seeds that ran twice, once.
    pub processor: f64,
    /// The same two of runs of one cluster of five nodes.
    pub five_nodes: (Duration, f64),
    /// What was done.
    pub coverage: Coverage,
    /// The seeds that broke a promise.
    pub failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.counted += u64::from(report.coverage.counts());
        self.simulated += report.simulated;
        self.processor += report.processor;
        if report.nodes == 5 {
            self.five_nodes.0 += report.simulated;
            self.five_nodes.1 += report.processor;
        }
        self.coverage.merge(&report.coverage);
        if report.violation.is_some() {
            self.failed.push(report.seed);
        }
        self.twice += u64::from(runs_twice(report.seed) && report.violation.is_none());
    }

    /// Simulated seconds.
    pub fn seconds(&self) -> f64 {
        self.simulated.as_secs_f64()
    }

    /// Simulated seconds of a database of five nodes in a second of one core.
    pub fn speed(&self) -> f64 {
        self.five_nodes.0.as_secs_f64() / self.five_nodes.1.max(f64::EPSILON)
    }
}

fn runs_twice(seed: u64) -> bool {
    seed.is_multiple_of(TWICE)
}

/// Runs seeds from `first` on, as many at once as `threads`, and tells each one's
/// report in the order of the seeds.
pub fn run_seeds(
    first: u64,
    until: Until,
    threads: usize,
    plan: impl Fn(u64) -> Plan + Sync,
    mut tell: impl FnMut(&Report),
) -> Totals {
    let next = AtomicU64::new(first);
    let enough = AtomicBool::new(false);
    let clock = crate::stopwatch::Stopwatch::start();
    let (sender, receiver) = mpsc::sync_channel::<Report>(threads * 4);
    let mut totals = Totals::default();
    let order = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, plan, next, enough) = (sender.clone(), &plan, &next, &enough);
            let order = &order;
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = {
                        let _one_at_a_time = order.lock();
                        next.fetch_add(1, Ordering::Relaxed)
                    };
                    let report = judge(seed, plan);
                    if sender.send(report).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = std::collections::BTreeMap::new();
        let mut due = first;
        for report in receiver {
            waiting.insert(report.seed, report);
            while let Some(report) = waiting.remove(&due) {
                due += 1;
                totals.add(&report);
                tell(&report);
                let done = match until {
                    Until::Counted(count) => totals.counted >= count,
                    Until::Elapsed(seconds) => clock.seconds() >= seconds,
                };
                if done || totals.is_hopeless() {
                    enough.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    totals
}

impl Totals {
    /// Most seeds fail or do too little: more of them would tell nothing new.
    fn is_hopeless(&self) -> bool {
        self.failed.len() >= 20 || (self.seeds >= 100 && self.counted * 2 < self.seeds)
    }
}

/// Runs a seed, one in ten twice.
fn judge(seed: u64, plan: &(impl Fn(u64) -> Plan + Sync)) -> Report {
    let mut report = run(plan(seed), Tracing::Off);
    if runs_twice(seed) && report.violation.is_none() {
        let again = run(plan(seed), Tracing::Off);
        if (report.hash, report.events) != (again.hash, again.events)
            || report.coverage != again.coverage
        {
            let what = format!(
                "run twice, seed {seed} did {} events of hash {:016x}, and then {} of {:016x}",
                report.events, report.hash, again.events, again.hash
            );
            report.violation = Some(Violation::new("same seed, same run", what));
        }
    }
    report
}
