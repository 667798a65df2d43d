use super::*;
use crate::testing::{answered, database, empty, first_map, member};

fn map(epoch: u64) -> PartitionMap {
    PartitionMap { epoch, ..first_map() }
}

fn members(epoch: u64) -> Observed {
    answered([0, 1, 2].map(|ordinal| member(ordinal, &map(epoch), ordinal == 0)))
}

fn published(old: &DougClusterStatus, observed: &Observed, now: &str) -> DougClusterStatus {
    let findings = Findings {
        ready: Finding::yes("AllPartitionsWritable", "4 of 4 partitions accept writes"),
        available: Finding::yes("Serving", "all of it"),
        progressing: Finding::no("Settled", "nothing is being changed"),
        degraded: Finding::no("AllWell", "nothing needs attention"),
    };
    status(old, &Outcome { database: &database(), observed, findings, now: now.into() })
}

const NOON: &str = "2026-01-01T12:00:00Z";
const LATER: &str = "2026-01-01T12:05:00Z";

#[test]
fn a_database_that_runs_is_published_so() {
    let status = published(&DougClusterStatus::default(), &members(1), NOON);
    insta::assert_snapshot!(serde_yaml_ng::to_string(&status).unwrap());
}

#[test]
fn an_autoscaler_learns_how_many_facades_there_are_and_what_selects_them() {
    let mut observed = members(1);
    let facade = serde_json::json!({"status": {"replicas": 3, "readyReplicas": 2}});
    observed.facade = Some(serde_json::from_value(facade).unwrap());
    let first = published(&DougClusterStatus::default(), &observed, NOON);
    let selector = "app.kubernetes.io/name=dougdb,app.kubernetes.io/instance=orders,\
                    app.kubernetes.io/component=facade";
    let told = FacadeStatus { replicas: 3, ready_replicas: 2, selector: selector.into() };
    assert_eq!(first.facade, Some(told));
    let lost = published(&first, &members(1), LATER);
    assert_eq!(lost.facade, first.facade, "what nobody says at the moment stays");
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let first = published(&DougClusterStatus::default(), &members(1), NOON);
    assert_eq!(published(&first, &members(1), LATER), first);
}

#[test]
fn the_epoch_never_falls() {
    let first = published(&DougClusterStatus::default(), &members(7), NOON);
    let older = published(&first, &members(3), LATER);
    let silent = published(&first, &Observed::default(), LATER);
    assert_eq!([older, silent].map(|status| status.partition_map.unwrap().epoch), [7, 7]);
}

#[test]
fn news_from_nodes_raises_the_published_epoch() {
    let first = published(&DougClusterStatus::default(), &members(7), NOON);
    let mut observed = members(3);
    for answer in observed.answers.values_mut() {
        answer.map.as_mut().unwrap().partitions[1].generation = 2;
    }
    let then = published(&first, &observed, LATER);
    let map = then.partition_map.clone().unwrap();
    assert_eq!((map.epoch, map.partitions[1].generation), (8, 2));
    assert_eq!(published(&then, &observed, LATER), then);
}

#[test]
fn a_node_that_falls_silent_keeps_its_id_and_the_time_it_did() {
    let first = published(&DougClusterStatus::default(), &members(1), NOON);
    let mut observed = members(1);
    observed.answers.remove(&crate::testing::place(2));
    observed.silent.insert(crate::testing::place(2), "its pod does not run".into());
    let then = published(&first, &observed, LATER);
    let last = published(&then, &observed, "2026-01-01T12:30:00Z");
    let node = &last.nodes[2];
    assert_eq!(
        (node.id.as_deref(), node.silent_since.as_deref()),
        (Some("0000000000a2"), Some(LATER))
    );
}

fn unwritable(observed: &Observed, leaders: &mut Leaders) -> usize {
    writable(&map(1), observed, leaders).len()
}

#[test]
fn a_partition_is_writable_once_its_leader_has_committed_in_its_term() {
    let mut leaders = Leaders::default();
    let mut observed = members(1);
    let leader = observed.answers.get_mut(&crate::testing::place(0)).unwrap();
    for replica in &mut leader.status.replicas {
        (replica.commit, replica.last_index) = (5, 9);
    }
    assert_eq!(unwritable(&observed, &mut leaders), 4);
    // Under load the log is always ahead; but its former end is committed now.
    let leader = observed.answers.get_mut(&crate::testing::place(0)).unwrap();
    for replica in &mut leader.status.replicas {
        (replica.commit, replica.last_index) = (9, 14);
    }
    assert_eq!(unwritable(&observed, &mut leaders), 0);
    // A new term begins anew.
    let leader = observed.answers.get_mut(&crate::testing::place(0)).unwrap();
    leader.status.replicas[0].term += 1;
    assert_eq!(unwritable(&observed, &mut leaders), 1);
}

#[test]
fn without_a_leader_nothing_is_writable() {
    let empty = answered([empty(0), empty(1), empty(2)]);
    assert_eq!(unwritable(&empty, &mut Leaders::default()), 4);
}
