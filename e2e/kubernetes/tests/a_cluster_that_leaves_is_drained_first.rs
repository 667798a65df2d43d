//! A cluster is taken out of the spec: its partitions move to the others first, then
//! its nodes go. Its volumes stay, and clients of the facade do not notice.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn a_cluster_that_leaves_is_drained_first() {
    let namespace = Namespace::new("fewer");
    let manifest = Manifest::new("orders").clusters(&[("a", 3), ("b", 3)]).partitions(4);
    let database = Database::create(&namespace, &manifest);
    assert_eq!(members::held(&database, "b"), 2);
    let witness = Witness::start(&database, "fewer");

    database.patch(&json!({"clusters": [{"name": "a", "nodes": 3}]}));
    until("the cluster is gone", seconds(270), || {
        let gone = ["statefulset", "service", "poddisruptionbudget"]
            .map(|kind| kubectl::get(&namespace.arguments(&[kind, "orders-b"])).is_none());
        // Asked after, or partitions could still move between the two questions.
        let held = members::held(&database, "a");
        // The catalog's and four.
        assert!(held == 5 || !gone[0], "its nodes went while it held {} partitions", 5 - held);
        (gone == [true; 3]).then_some(())
    });
    database.await_settled(seconds(60));
    let claims = kubectl::list(&namespace.arguments(&["persistentvolumeclaims"]));
    assert_eq!(claims.len(), 6, "its volumes stay unless it is told otherwise");
    witness.stop().no_failed_request();
}
