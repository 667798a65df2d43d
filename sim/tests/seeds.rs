//! A few random runs, and that a run depends on its seed alone.

use doug_sim::Tracing;
use doug_sim::plan::Plan;
use doug_sim::run::{Report, run};
use doug_sim::time::seconds;

fn short(seed: u64) -> Report {
    let mut plan = Plan::draw(seed);
    plan.last(seconds(20));
    run(plan, Tracing::Off)
}

#[test]
fn the_same_seed_always_runs_the_same_way() {
    let (first, second) = (short(3), short(3));
    assert_eq!((first.hash, first.events), (second.hash, second.events));
    assert_eq!(first.coverage, second.coverage);
    assert_ne!(first.hash, short(4).hash);
}

#[test]
fn a_calm_run_turns_every_mechanism() {
    let report = run(Plan::calm(1), Tracing::Off);
    assert_eq!(report.violation, None, "{:#?}", report.story);
    assert!(report.coverage.counts(), "{:#?}", report.coverage);
}

#[test]
fn a_few_random_seeds_keep_every_promise() {
    for seed in 100..105 {
        let report = short(seed);
        assert_eq!(report.violation, None, "seed {seed}: {:#?}", report.story);
    }
}

#[test]
fn leaders_that_read_by_lease_keep_every_promise() {
    for seed in 200..203 {
        let mut plan = Plan::draw(seed);
        plan.read_by_lease();
        plan.last(seconds(20));
        let report = run(plan, Tracing::Off);
        assert_eq!(report.violation, None, "seed {seed}: {:#?}", report.story);
    }
}
