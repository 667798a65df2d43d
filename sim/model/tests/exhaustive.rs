//! Every order of events within a scope that takes seconds; larger ones: `cargo run --release -p doug-model`.

use doug_model::{GroupModel, Scope};
use stateright::{Checker, Model};

fn check(scope: Scope) {
    let checker = GroupModel(scope).checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
}

#[test]
fn two_candidates_of_three_replicas_in_every_order() {
    check(Scope { campaigns: 2, writes: 0, ..Scope::three() });
}

#[test]
fn a_leader_writes_in_every_order() {
    check(Scope { campaigns: 1, writes: 1, ..Scope::three() });
}

#[test]
fn a_leader_reads_in_every_order() {
    check(Scope { campaigns: 1, writes: 0, reads: 1, ..Scope::three() });
}

#[test]
fn a_replica_crashes_with_its_last_records_not_durable_in_every_order() {
    check(Scope { campaigns: 1, writes: 0, crashes: 1, slow_disks: true, ..Scope::three() });
}

#[test]
fn a_voter_joins_and_another_leaves_in_every_order() {
    let mut scope = Scope { campaigns: 1, ..Scope::replacement() };
    // The learner and the joint configuration; the way out of it: `doug-model replacement`.
    scope.path.truncate(2);
    check(scope);
}
