//! Every bug that is put in on purpose is found.

use doug_sim::mutants::Mutant;
use doug_sim::plan::Plan;
use doug_sim::run::{quiet_panics, run};

/// Seeds tried for each bug.
const SEEDS: u64 = 40;

#[test]
fn every_bug_put_in_on_purpose_is_found() {
    quiet_panics();
    for mutant in Mutant::ALL {
        let found = (1..=SEEDS).any(|seed| {
            let plan = Plan { mutant, ..Plan::draw(seed) };
            run(plan, false).violation.is_some()
        });
        assert!(found, "{mutant:?} passed {SEEDS} seeds unnoticed");
    }
}
