//! Bugs put in on purpose are found, and told as stories. The whole list
//! takes a release build: `doug-sim --mutants`.

use doug_sim::Tracing;
use doug_sim::hunting::hunt;
use doug_sim::mutants::Mutant;
use doug_sim::plan::Plan;
use doug_sim::run::{Report, quiet_panics, run};
use doug_sim::story::story;
use doug_sim::time::seconds;
use doug_storage::simulation::Bug;

/// Seeds tried for each bug.
const SEEDS: u64 = 40;

fn plan(mutant: Mutant, seed: u64) -> Plan {
    let mut plan = Plan { mutant, ..Plan::draw(seed) };
    plan.last(seconds(60));
    plan
}

/// The first seed in which a checker that counts notices the bug.
fn found_by(mutant: Mutant, counts: impl Fn(&str) -> bool) -> (Plan, Report) {
    quiet_panics();
    let runs = (1..=SEEDS).map(|seed| (plan(mutant, seed), run(plan(mutant, seed), Tracing::Off)));
    let notices = |report: &Report| report.violation.as_ref().is_some_and(|v| counts(v.checker));
    let mut failing = runs.filter(|(_, report)| notices(report));
    failing.next().unwrap_or_else(|| panic!("{mutant:?} passed {SEEDS} seeds unnoticed"))
}

fn found(mutant: Mutant) -> (Plan, Report) {
    found_by(mutant, |_| true)
}

#[test]
fn a_bug_of_a_disk_is_found() {
    found(Mutant::NoLogSync);
}

#[test]
fn a_bug_of_the_storage_engine_is_found() {
    found(Mutant::Storage(Bug::BloomFalseNegative));
}

#[test]
fn a_table_that_nobody_deletes_is_found() {
    let (_, report) = found(Mutant::Storage(Bug::TableForgotten));
    let violation = report.violation.expect("it failed");
    assert_eq!(violation.checker, "segments and tables reachable or gone");
}

#[test]
fn a_bug_of_consensus_is_found_in_its_hunting_ground() {
    let bug = Mutant::Consensus(doug_raft::Mutant::ReadBeforeOwnTermCommit);
    quiet_panics();
    let mut runs = (1..=SEEDS).map(|seed| run(hunt(bug, Plan::draw(seed)), Tracing::Off));
    let found = runs.find_map(|report| report.violation).expect("it is found");
    // It answers of less than somebody was told, or than the replica itself has served before.
    assert!(matches!(found.checker, "reads as fresh as promised" | "no replica goes back"));
}

#[test]
fn the_story_of_a_failing_seed_says_what_was_broken_and_how_to_see_it_again() {
    let (plan, report) =
        found_by(Mutant::RetryAsNewWrite, |checker| checker == "retried writes once");
    let told = story(&plan, &report).expect("it failed");
    assert!(told.contains("promise: retried writes once"), "{told}");
    assert!(told.contains("was applied at"), "{told}");
    assert!(told.contains(&format!("doug-sim --seed {}", report.seed)), "{told}");
    assert!(told.lines().count() < 35, "{told}");
}
