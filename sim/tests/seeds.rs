//! A few random runs, and that a run depends on its seed alone.

use doug_sim::plan::{Plan, SECOND};
use doug_sim::run::{Report, run};

fn short(seed: u64) -> Report {
    run(Plan { duration: 8 * SECOND, ..Plan::draw(seed) }, false)
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
    let report = run(Plan::calm(1), false);
    assert_eq!(report.violation, None, "{:#?}", report.story);
    assert!(report.coverage.counts(), "{:#?}", report.coverage);
}

/// A snapshot arrived just when the log had reached its very index: the disk then
/// forgot what the core still kept.
#[test]
fn a_log_that_meets_its_snapshot_is_not_forgotten() {
    let report = run(Plan { duration: 30 * SECOND, ..Plan::draw(209) }, false);
    assert_eq!(report.violation, None, "{:#?}", report.story);
}

/// Its votes were long under way: the next term had a leader by then, and had
/// committed what this one lacks. That is no violation.
#[test]
fn a_leader_of_an_outdated_term_owes_nothing_to_later_ones() {
    let report = run(Plan::draw(5000), false);
    assert_eq!(report.violation, None, "{:#?}", report.story);
}

#[test]
fn a_few_random_seeds_keep_every_promise() {
    for seed in 100..105 {
        let report = short(seed);
        assert_eq!(report.violation, None, "seed {seed}: {:#?}", report.story);
    }
}
