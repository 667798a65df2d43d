//! Every order of events within a scope that takes seconds; larger ones:
//! `cargo run --release -p doug-model`.

use doug_model::{GroupModel, Scope};
use doug_raft::ReplicaId;
use stateright::{Checker, Model};
use std::collections::BTreeSet;

fn two() -> BTreeSet<ReplicaId> {
    [1, 2].map(ReplicaId).into()
}

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
fn a_leader_proposes_to_quiesce_and_is_read_and_rivalled_in_every_order() {
    check(Scope {
        campaigns: 2,
        writes: 0,
        reads: 1,
        quiesces: 1,
        voters: two(),
        ..Scope::three()
    });
}

#[test]
fn three_replicas_quiesce_in_every_order() {
    check(Scope { campaigns: 1, writes: 0, quiesces: 1, ..Scope::three() });
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
