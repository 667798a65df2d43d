//! `kubectl drain` takes at most one node of a cluster away, and ends.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

/// A machine that takes pods again when the test ends, however it does.
struct Drained(String);

impl Drop for Drained {
    fn drop(&mut self) {
        let _ = kubectl::attempt(&["uncordon", &self.0]);
    }
}

#[test]
fn a_drain_respects_the_budget_and_ends() {
    let namespace = Namespace::new("drain");
    // One node a machine: volumes of the default class stay on theirs, so a
    // second node of the drained machine could go nowhere.
    let required = json!({"spread": "Required"});
    let manifest = Manifest::new("orders").with("/node/scheduling", required);
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "drain");
    let witnessed = witness.node();

    let nodes = database.pods("node");
    let pod = nodes.iter().find(|pod| pod.node() != witnessed).expect("three machines");
    let drained = Drained(pod.node().to_owned());
    let options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
    kubectl::run(&[&["drain", &drained.0], &options[..]].concat());

    let ready = database.pods("node").iter().filter(|pod| pod.is_ready()).count();
    assert_eq!(ready, 2, "one node is away, the others serve");
    assert!(a_second_eviction_is_refused(&database), "the budget lets a second node go");

    drop(drained);
    database.await_ready_nodes(3);
    database.await_ready();
    witness.stop().nothing_lost();
}

fn a_second_eviction_is_refused(database: &Database<'_>) -> bool {
    let pods = database.pods("node");
    let pod = pods.iter().find(|pod| pod.is_ready()).expect("two are ready");
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name(), "namespace": database.namespace().name()},
    });
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/eviction?dryRun=All",
        database.namespace().name(),
        pod.name()
    );
    let answer =
        kubectl::attempt_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
    matches!(answer, Err(refusal) if refusal.contains("disruption budget"))
}
