//! Running seeds and saying what came of them.

use crate::checks::Violation;
use crate::coverage::Coverage;
use crate::plan::{FaultKind, Plan};
use crate::stopwatch::processor_seconds;
use crate::time::seconds;
use crate::trace::Tracing;
use crate::world::World;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Hash of everything that happened: the same for the same seed and program.
    pub hash: u64,
    /// Number of events.
    pub events: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Processor time, in seconds.
    pub processor: f64,
    /// Nodes simulated.
    pub nodes: usize,
    /// What was done.
    pub coverage: Coverage,
    /// The last that happened.
    pub story: Vec<String>,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says for the story, instead of printing it at once.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
    }));
}

/// Runs a plan to its end.
pub fn run(plan: Plan, tracing: Tracing) -> Report {
    let mut world = World::new(plan, tracing);
    report(&mut world, |world| world.run().map(drop))
}

/// Runs `course` on a world; a panic of the code under test is a violation too.
pub fn report(
    world: &mut World,
    course: impl FnOnce(&mut World) -> Result<(), Violation>,
) -> Report {
    let begun = processor_seconds();
    let outcome = catch_unwind(AssertUnwindSafe(|| course(world)));
    let violation = match outcome {
        Ok(result) => result.err(),
        Err(payload) => Some(Violation::new("no panic", describe(payload.as_ref()))),
    };
    Report {
        seed: world.seed(),
        violation,
        hash: world.trace().hash(),
        events: world.trace().events(),
        simulated: world.now().elapsed(),
        processor: processor_seconds() - begun,
        nodes: world.nodes.len(),
        coverage: world.coverage().clone(),
        story: world.trace().story().map(str::to_owned).collect(),
    }
}

fn describe(payload: &(dyn std::any::Any + Send)) -> String {
    let kept = PANIC.with(|panic| panic.borrow_mut().take());
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    kept.or(text).unwrap_or_else(|| "a panic without a word".to_owned())
}

/// The plan of a failing seed with every kind of fault left out that the failure does not need,
/// and then as short as it still fails.
pub fn shrink(plan: &Plan, checker: &str) -> Plan {
    let fails = |plan: &Plan| {
        let violation = run(plan.clone(), Tracing::Off).violation;
        violation.is_some_and(|violation| violation.checker == checker)
    };
    let mut least = plan.clone();
    let kinds: Vec<FaultKind> = least.faults.keys().copied().collect();
    for kind in kinds {
        let mut without = least.clone();
        without.faults.remove(&kind);
        if fails(&without) {
            least = without;
        }
    }
    loop {
        let mut shorter = least.clone();
        shorter.last(least.duration * 2 / 3);
        if shorter.duration < seconds(1) || !fails(&shorter) {
            return least;
        }
        least = shorter;
    }
}
