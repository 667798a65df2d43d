//! Volumes that hold only so many bytes: writes are refused, what is overwritten and deleted makes
//! room, and nobody takes the room of the log. Room that is promised twice is a mutant
//! (`ReservationIgnored`), found by the same checker.

use doug_sim::Tracing;
use doug_sim::hunting::full_volumes;
use doug_sim::plan::Plan;
use doug_sim::run::run;

#[test]
fn full_volumes_are_freed_by_deletes_and_take_writes_again() {
    let (mut full, mut again, mut looked) = (0, 0, 0);
    // Found by these: snapshots of a killed node outlived its start; a follower applied more
    // than it had room to flush.
    for seed in [2, 19] {
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
