//! A node one of whose threads is stuck is noticed, and started again by its supervisor.

use doug_sim::Tracing;
use doug_sim::hunting::hunt;
use doug_sim::mutants::Mutant;
use doug_sim::plan::{FaultKind, Plan};
use doug_sim::run::{quiet_panics, run};
use doug_sim::time::seconds;

const SEEDS: u64 = 12;

#[test]
fn stuck_threads_of_every_kind_cost_a_restart_and_nothing_else() {
    let mut stuck = 0;
    for seed in 1..=3 {
        let mut plan = Plan::calm(seed);
        plan.duration = seconds(60);
        plan.faults.insert(FaultKind::StuckThread, seconds(4));
        let report = run(plan, Tracing::Off);
        assert_eq!(report.violation, None);
        stuck += report.coverage.get("fault: stuck thread");
    }
    assert!(stuck > 10, "{stuck} threads got stuck");
}

#[test]
fn a_liveness_probe_that_looks_at_the_hosts_only_is_found() {
    quiet_panics();
    let bug = Mutant::HalfDeadThread;
    let mut runs = (1..=SEEDS).map(|seed| run(hunt(bug, Plan::draw(seed)), Tracing::Off));
    let found = runs.find_map(|report| report.violation).expect("it is found");
    assert_eq!(found.checker, "recovers when faults stop", "{found}");
}
