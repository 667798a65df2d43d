//! What a replica has served it never serves an older state of, restarts or not.

use doug_sim::Tracing;
use doug_sim::mutants::Mutant;
use doug_sim::plan::{FaultKind, Plan};
use doug_sim::run::{Report, quiet_panics, run};
use doug_sim::time::seconds;

fn restarts(seed: u64, mutant: Mutant) -> Report {
    let mut plan = Plan { mutant, ..Plan::calm(seed) };
    plan.duration = seconds(40);
    plan.faults.insert(FaultKind::Kill, seconds(1));
    plan.faults.insert(FaultKind::PowerLoss, seconds(3));
    plan.faults.insert(FaultKind::AllPowerLoss, seconds(8));
    run(plan, Tracing::Off)
}

#[test]
fn no_replica_goes_back_over_restarts() {
    let mut refused = 0;
    // Few reads meet a replica in the moment after its start: one in twelve runs.
    for seed in 1..=40 {
        let report = restarts(seed, Mutant::None);
        assert_eq!(report.violation, None, "seed {seed}");
        refused += report.coverage.get("read refused: the replica has just started");
        if seed >= 4 && refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "no read met a replica that had just started");
}

#[test]
fn a_replica_that_serves_before_it_has_found_its_former_state_is_found() {
    quiet_panics();
    let mut runs = (1..=12).map(|seed| restarts(seed, Mutant::ReadBeforeReplay));
    let found = runs.find_map(|report| report.violation).expect("it is found");
    assert_eq!(found.checker, "no replica goes back", "{found}");
}
