//! The client library and the facade that ship, in the simulator.

use doug_client::simulation::Bug;
use doug_sim::Tracing;
use doug_sim::hunting::hunt;
use doug_sim::library::{LibraryPlan, MapFrom};
use doug_sim::mutants::Mutant;
use doug_sim::plan::{Plan, Workload};
use doug_sim::run::{Report, quiet_panics, run};
use doug_sim::time::seconds;

/// A drawn plan in which every client runs the library, half of them through facades.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::draw(seed);
    plan.last(seconds(30));
    plan.workload.clients = 0;
    plan.library = LibraryPlan {
        direct: 2,
        through_facades: 2,
        facades: vec![MapFrom::Nodes, MapFrom::Status(seconds(2))],
    };
    plan
}

fn calm(seed: u64) -> Report {
    let drawn = plan(seed);
    let workload = Workload { acknowledged: 700, ..drawn.workload };
    run(Plan { library: drawn.library, workload, ..Plan::calm(seed) }, Tracing::Off)
}

#[test]
fn without_faults_every_operation_of_the_library_succeeds() {
    let report = calm(1);
    assert_eq!(report.violation, None, "{:#?}", report.story);
    let count = |name: &str| report.coverage.get(name);
    for name in ["write of unknown outcome", "write failed for certain", "read failed"] {
        assert_eq!(count(&format!("library {name}")), 0, "{:#?}", report.coverage);
    }
    assert!(count("write acknowledged") > 300, "{:#?}", report.coverage);
    assert!(count("library scan of several pages") > 0, "{:#?}", report.coverage);
    assert!(count("library scan of several partitions") > 0, "{:#?}", report.coverage);
}

#[test]
fn a_run_with_the_library_depends_on_its_seed_alone() {
    let (first, second) = (run(plan(3), Tracing::Off), run(plan(3), Tracing::Off));
    assert_eq!((first.hash, first.events), (second.hash, second.events));
    assert_eq!(first.coverage, second.coverage);
}

#[test]
fn clients_that_run_the_library_keep_every_promise() {
    for seed in 1..=8 {
        let report = run(plan(seed), Tracing::Off);
        assert_eq!(report.violation, None, "seed {seed}: {:#?}", report.story);
    }
}

/// The plan in which this bug is looked for.
fn ground(bug: Bug, seed: u64) -> Plan {
    hunt(Mutant::Library(bug), Plan::draw(seed))
}

#[test]
fn every_known_bug_of_the_library_is_found() {
    quiet_panics();
    for bug in [
        Bug::LostWriteRepeated,
        Bug::UncertaintyForgotten,
        Bug::LeaderForEver,
        Bug::SequencePerAttempt,
        Bug::SnapshotForgotten,
        Bug::MisroutingTold,
    ] {
        let found = (1..=20).find_map(|seed| run(ground(bug, seed), Tracing::Off).violation);
        assert!(found.is_some(), "{bug:?} passed 20 seeds unnoticed");
    }
}

#[test]
fn where_its_bugs_are_looked_for_the_library_without_them_keeps_every_promise() {
    for seed in 1..=4 {
        let plan = Plan { mutant: Mutant::None, ..ground(Bug::LostWriteRepeated, seed) };
        let report = run(plan, Tracing::Off);
        assert_eq!(report.violation, None, "seed {seed}: {:#?}", report.story);
    }
}
