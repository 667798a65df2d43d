//! Volumes that hold only so many bytes: writes are refused, deletes make room, and nobody takes
//! the room of the log.

use doug_sim::Tracing;
use doug_sim::hunting::{full_volumes, hunt};
use doug_sim::mutants::Mutant;
use doug_sim::plan::Plan;
use doug_sim::run::{quiet_panics, run};
use doug_storage::simulation::Bug;

#[test]
fn full_volumes_are_freed_by_deletes_and_take_writes_again() {
    let (mut full, mut again, mut looked) = (0, 0, 0);
    for seed in 1..=6 {
        let mut plan = Plan::draw(seed);
        full_volumes(&mut plan);
        let report = run(plan, Tracing::Off);
        assert_eq!(report.violation, None, "seed {seed}");
        full += report.coverage.get("volume full");
        again += report.coverage.get("volume has room again");
        looked += report.coverage.get("table looked through for room");
    }
    assert!(full > 0 && again > 0 && looked > 0, "{full} times full, {again} times not any more");
}

#[test]
fn room_that_is_promised_twice_is_found() {
    quiet_panics();
    let bug = Mutant::Storage(Bug::ReservationIgnored);
    let mut runs = (1..=40).map(|seed| run(hunt(bug, Plan::draw(seed)), Tracing::Off));
    let found = runs.find_map(|report| report.violation).expect("it is found");
    assert_eq!(found.checker, "the log's room is kept", "{found}");
}
