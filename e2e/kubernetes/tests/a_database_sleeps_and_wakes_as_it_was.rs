//! A database that hibernates has no pods and keeps its volumes; woken, it is the same. While it is
//! paused, nothing about it is changed.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn a_database_sleeps_and_wakes_as_it_was() {
    let namespace = Namespace::new("asleep");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    let (identity, epoch) = (database.status()["databaseId"].clone(), database.epoch());
    let ids = node_ids(&database);
    // Its clients wait meanwhile; what they were promised before must be there after.
    let witness = Witness::start(&database, "asleep");

    database.patch(&json!({"mode": "Paused"}));
    database.await_condition("Progressing", seconds(30), |one| one.reason == "Paused");
    database.kubectl(&["delete", "poddisruptionbudget", "orders-a"]);
    // One that is not paused has it again within seconds.
    always("what is deleted stays so", seconds(8), || budgets(&namespace) == 1);

    database.patch(&json!({"mode": "Hibernated"}));
    until("its pods are gone", seconds(120), || {
        (database.pods("node").is_empty() && database.pods("facade").is_empty()).then_some(())
    });
    database.await_condition("Progressing", seconds(30), |one| one.reason == "Hibernated");
    let degraded = database.condition("Degraded").expect("it is judged");
    assert_eq!(degraded.status, "False", "nobody is called: {degraded:?}");
    let claims = kubectl::list(&namespace.arguments(&["persistentvolumeclaims"]));
    assert_eq!(claims.len(), 3, "the volumes stay");

    database.patch(&json!({"mode": "Running"}));
    database.await_ready_nodes(3);
    database.await_settled(seconds(120));
    assert_eq!(database.status()["databaseId"], identity, "it is the same database");
    assert_eq!(node_ids(&database), ids, "and so are its nodes");
    assert!(database.epoch() >= epoch, "the epoch never falls");
    assert_eq!(budgets(&namespace), 2, "what was deleted is restored");
    witness.stop().nothing_lost();
}

fn node_ids(database: &Database<'_>) -> Vec<String> {
    let nodes = database.status()["nodes"].take();
    let nodes = nodes.as_array().into_iter().flatten();
    nodes.map(|node| node["id"].to_string()).collect()
}

fn budgets(namespace: &Namespace) -> usize {
    kubectl::list(&namespace.arguments(&["poddisruptionbudgets"])).len()
}
