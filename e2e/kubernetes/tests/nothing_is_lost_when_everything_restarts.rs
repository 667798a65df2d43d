//! Nodes, facades, the operator and the API server go away one after the other
//! while clients write: nothing that was acknowledged is lost.

use doug_kubernetes_tests::database::{Database, Pod};
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;
use std::time::Duration;

/// How long the API server is away after every facade has ended; clients try for ten seconds.
const AWAY: Duration = seconds(12);

#[test]
fn nothing_is_lost_when_everything_restarts() {
    assert!(lab::is_ours(), "the API server can be stopped only in the suite's own Kubernetes");
    let namespace = Namespace::new("restarts");
    let manifest = Manifest::new("orders").clusters(&[("a", 3), ("b", 3)]).partitions(4);
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "restarts");

    a_node_is_deleted_and_comes_back_with_its_volume(&database);
    every_facade_is_deleted(&database);
    the_operator_is_deleted(&database);
    the_api_server_restarts_and_facades_meanwhile(&database);

    database.await_ready();
    let report = witness.stop();
    report.nothing_lost();
    let gap = Duration::from_millis(report.longest_gap_milliseconds);
    assert!(gap < AWAY, "facades waited for the API server: {gap:?} without a success");
}

fn a_node_is_deleted_and_comes_back_with_its_volume(database: &Database<'_>) {
    let id = |database: &Database<'_>| {
        let status = database.status();
        let nodes = status["nodes"].as_array()?;
        let node = nodes.iter().find(|node| node["name"] == "a-0")?;
        node["id"].as_str().map(str::to_owned)
    };
    let before = id(database).expect("the node has an id");
    let pods = database.pods("node");
    let pod = pods.iter().find(|pod| pod.name() == "orders-a-0").expect("the pod is there");
    database.kill(std::slice::from_ref(pod));
    until("the pod is another one", seconds(60), || {
        let pods = database.pods("node");
        let new = pods.into_iter().find(|new| new.name() == pod.name() && new.uid() != pod.uid());
        new.filter(Pod::is_ready)
    });
    database.await_ready_nodes(6);
    assert_eq!(id(database), Some(before), "the volume came back with its node's id");
}

fn every_facade_is_deleted(database: &Database<'_>) {
    let old = database.pods("facade");
    database.kill(&old);
    until("two facades are ready", seconds(90), || {
        let ready = database.pods("facade").into_iter().filter(Pod::is_ready);
        let new = ready.filter(|pod| old.iter().all(|old| old.uid() != pod.uid()));
        (new.count() == 2).then_some(())
    });
}

fn the_operator_is_deleted(database: &Database<'_>) {
    let nodes: Vec<_> = database.pods("node").iter().map(|pod| pod.uid().to_owned()).collect();
    operator::kill();
    operator::await_rollout();
    database.await_ready();
    let after: Vec<_> = database.pods("node").iter().map(|pod| pod.uid().to_owned()).collect();
    assert_eq!(nodes, after, "the operator's restart restarts no node");
}

/// Nodes and facades need no API server to serve, not even to start; and the operator sees what is
/// declared after it.
fn the_api_server_restarts_and_facades_meanwhile(database: &Database<'_>) {
    let broken = Broken::api_server();
    lab::kill_containers("facade");
    std::thread::sleep(AWAY);
    broken.mend();
    database.patch(&json!({"facade": {"replicas": 3}}));
    until("a third facade is ready", seconds(90), || {
        (database.pods("facade").iter().filter(|pod| pod.is_ready()).count() == 3).then_some(())
    });
    database.await_ready();
}
