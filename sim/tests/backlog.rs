//! Queues behind a host have a bound, and the host waits for none of them.

use doug_sim::Tracing;
use doug_sim::hunting::hunt;
use doug_sim::mutants::Mutant;
use doug_sim::plan::Plan;
use doug_sim::run::{quiet_panics, run};

#[test]
fn a_full_log_under_load_costs_no_more_than_a_pause() {
    let mut dropped = 0;
    for seed in 1..=4 {
        let mut plan = hunt(Mutant::HostWaitsForLog, Plan::draw(seed));
        plan.mutant = Mutant::None;
        plan.backlog_bytes = 4 << 10;
        let report = run(plan, Tracing::Off);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.coverage.get("log full") > 0, "seed {seed}");
        dropped += report.coverage.get("append not taken in: the disk is behind");
    }
    assert!(dropped > 0, "no backlog reached its bound");
}

#[test]
fn a_host_that_waits_for_a_place_in_the_logs_queue_is_found() {
    quiet_panics();
    let bug = Mutant::HostWaitsForLog;
    let mut runs = (1..=12).map(|seed| run(hunt(bug, Plan::draw(seed)), Tracing::Off));
    let found = runs.find_map(|report| report.violation).expect("it is found");
    assert_eq!(found.checker, "recovers when faults stop", "{found}");
}
