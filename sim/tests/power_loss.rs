//! Ten nodes lose power at once, and everything they had not synced.

use doug_sim::checks::Violation;
use doug_sim::mutants::Mutant;
use doug_sim::run::{Report, report};
use doug_sim::scenarios::{all_nodes_lose_power, lose_power_thrice};

fn lose_power(seed: u64, mutant: Mutant) -> Report {
    let mut world = all_nodes_lose_power(seed, mutant);
    report(&mut world, |world| lose_power_thrice(world).map(drop))
}

/// What the first seed that meets the bug says of it. Whether power is lost at a
/// moment that matters is up to the seed.
fn found(mutant: Mutant) -> Violation {
    found_with(mutant, "")
}

/// The first violation that says `what`: one bug shows in several ways.
fn found_with(mutant: Mutant, what: &str) -> Violation {
    let violations = (1..=30).filter_map(|seed| lose_power(seed, mutant).violation);
    let mut violations = violations.filter(|violation| violation.what.contains(what));
    violations.next().expect("the loss of acknowledged writes is noticed")
}

#[test]
fn all_nodes_lose_all_unsynced_bytes_and_no_acknowledged_write_is_lost() {
    let report = lose_power(7, Mutant::None);
    assert_eq!(report.violation, None, "{:#?}", report.story);
    assert_eq!(report.coverage.get("process ended"), 30);
    assert!(report.coverage.get("write acknowledged") > 500, "{:#?}", report.coverage);
}

#[test]
fn without_the_fdatasync_of_the_log_the_same_check_fails() {
    // The log's own marks say what had been called durable, so the node refuses to start.
    found_with(Mutant::NoLogSync, "was durable");
}

#[test]
fn without_any_fdatasync_the_same_check_fails() {
    found(Mutant::NoSync);
}

#[test]
fn without_the_fsync_of_directories_the_same_check_fails() {
    found(Mutant::NoDirectorySync);
}
