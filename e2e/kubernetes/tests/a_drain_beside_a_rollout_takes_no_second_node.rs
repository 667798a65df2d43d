//! A drain and a rolling update at the same time never have two nodes of a cluster away: both ask
//! the budget, and each waits for the other.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
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
fn a_drain_beside_a_rollout_takes_no_second_node() {
    let namespace = Namespace::new("drain-rollout");
    let required = json!({"spread": "Required"});
    let manifest = Manifest::new("orders").with("/node/scheduling", required);
    let database = Database::create(&namespace, &manifest);
    database.await_settled(seconds(120));
    let witness = Witness::start(&database, "drain-rollout");
    let witnessed = witness.node();
    let before = database.pods("node");
    let pod = before.iter().find(|pod| pod.node() != witnessed).expect("three machines");

    // A pod of the drained machine finds no other. Whoever comes first, the other waits.
    let drained = Drained(pod.node().to_owned());
    database.patch(&json!({"node": {"config": {"quiesceAfterMilliseconds": 4_000}}}));
    let selector = "--pod-selector=app.kubernetes.io/component=node";
    let machine = drained.0.clone();
    let draining = std::thread::spawn(move || {
        let options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
        kubectl::run(&[&["drain", &machine, selector], &options[..]].concat());
    });
    until("the drain has ended", seconds(200), || {
        assert!(away(&database) <= 1, "two nodes are away at once");
        draining.is_finished().then_some(())
    });
    draining.join().expect("the drain succeeds");

    drop(drained);
    until("every pod is made anew", seconds(240), || {
        assert!(away(&database) <= 1, "two nodes are away at once");
        (away(&database) == 0 && !a_node_still_to_be_replaced(&database, &before)).then_some(())
    });
    database.await_settled(seconds(120));
    witness.stop().nothing_lost();
}

/// How many of the three nodes are on their way out, or not ready.
fn away(database: &Database<'_>) -> usize {
    let pods = database.pods("node");
    // None at all: the API server did not answer.
    if pods.is_empty() { 0 } else { 3 - pods.iter().filter(|pod| pod.is_ready()).count() }
}

fn a_node_still_to_be_replaced(
    database: &Database<'_>,
    before: &[doug_kubernetes_tests::database::Pod],
) -> bool {
    let pods = database.pods("node");
    pods.iter().any(|pod| before.iter().any(|old| old.uid() == pod.uid()))
}
