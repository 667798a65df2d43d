//! Members that change in whole databases: calm stories, and seeds that once failed.

use doug_sim::Tracing;
use doug_sim::plan::{FaultKind, Plan};
use doug_sim::run::{Report, run};
use doug_sim::time::{millis, seconds};

/// Two clusters of three, where only this happens.
fn plan(seed: u64, kinds: &[FaultKind]) -> Plan {
    let mut plan = Plan { clusters: 2, nodes: 3, ..Plan::calm(seed) };
    plan.faults = kinds.iter().map(|kind| (*kind, seconds(2))).collect();
    plan.last(seconds(30));
    plan
}

fn good(plan: Plan) -> Report {
    let report = run(plan, Tracing::Only("gives up".to_owned()));
    assert_eq!(report.violation, None, "{:#?}", report.story);
    report
}

fn counted(report: &Report, name: &str) -> u64 {
    report.coverage.get(name)
}

#[test]
fn partitions_move_between_clusters_and_no_operation_is_given_up() {
    let mut plan = plan(1, &[FaultKind::Move]);
    // Only a session makes a write repeatable: without one, a leader that is still being
    // elected as the run begins leaves its outcome unknown.
    plan.workload.sessions = 1_000;
    let report = good(plan);
    assert!(counted(&report, "partition moved to another cluster") >= 3, "{:#?}", report.coverage);
    assert!(counted(&report, "goal reached") >= 5, "{:#?}", report.coverage);
    assert!(counted(&report, "replica removed") >= 9, "{:#?}", report.coverage);
    assert_eq!(counted(&report, "operation not executed"), 0, "{:#?}", report.story);
    assert_eq!(counted(&report, "write of unknown outcome"), 0, "{:#?}", report.story);
}

#[test]
fn members_are_replaced_on_their_own_nodes_under_new_ids() {
    let report = good(plan(2, &[FaultKind::MemberReplaced]));
    assert!(counted(&report, "discarded member replaced") >= 3, "{:#?}", report.coverage);
}

#[test]
fn a_node_that_lost_its_volume_comes_back_under_a_new_id_and_is_replaced() {
    let report = good(plan(3, &[FaultKind::Wipe]));
    assert!(counted(&report, "node joined") >= 2, "{:#?}", report.coverage);
    assert!(counted(&report, "snapshot installed by a learner") >= 2, "{:#?}", report.coverage);
}

#[test]
fn a_damaged_replica_leaves_its_group_and_gets_a_successor_on_its_node() {
    let reports = (4..12).map(|seed| good(plan(seed, &[FaultKind::BitFlip, FaultKind::Kill])));
    let fenced = reports.map(|report| counted(&report, "replica fenced")).sum::<u64>();
    assert!(fenced > 0, "no table was damaged where that is noticed");
}

#[test]
fn spare_nodes_join_and_take_over() {
    let mut plan = Plan { spares: 2, ..plan(5, &[FaultKind::Move]) };
    plan.clusters = 1;
    let report = good(plan);
    assert_eq!(counted(&report, "node joined"), 2, "{:#?}", report.coverage);
    assert!(counted(&report, "replica made for a leader") >= 3, "{:#?}", report.coverage);
}

#[test]
fn goals_replaced_and_given_up_half_way_leave_nothing_behind() {
    let mut plan = plan(6, &[FaultKind::Move, FaultKind::GoalGivenUp, FaultKind::Transfer]);
    plan.faults.values_mut().for_each(|mean| *mean = millis(100));
    let report = good(plan);
    assert!(counted(&report, "goal replaced by another") > 0, "{:#?}", report.coverage);
    assert!(counted(&report, "goal dropped half way") > 0, "{:#?}", report.coverage);
}

/// Where four messages of ten are lost, a newcomer is often the only one who knows of itself.
#[test]
fn a_newcomer_that_only_its_own_map_lists_becomes_known_to_all() {
    for seed in 40..80 {
        let mut plan = plan(seed, &[FaultKind::Wipe]);
        plan.clusters = 1;
        plan.network.loss = 400;
        let report = good(plan);
        assert!(counted(&report, "node joined") > 0, "{:#?}", report.coverage);
    }
}
