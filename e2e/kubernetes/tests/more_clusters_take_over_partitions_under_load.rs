//! A cluster is added to the spec: its nodes join, and partitions move onto it until
//! each cluster holds as many, or one more. Clients of the facade do not notice.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn more_clusters_take_over_partitions_under_load() {
    let namespace = Namespace::new("more");
    let database = Database::create(&namespace, &Manifest::new("orders").partitions(4));
    assert_eq!(members::held(&database, "a"), 5, "the catalog's and four");
    let witness = Witness::start(&database, "more");

    database.patch(&json!({"clusters": [{"name": "a", "nodes": 3}, {"name": "b", "nodes": 3}]}));
    until("each cluster holds half of the partitions", seconds(270), || {
        let held = ["a", "b"].map(|cluster| members::held(&database, cluster));
        assert!(held[1] <= 2, "more than half of the partitions went to the new cluster");
        (held == [3, 2]).then_some(())
    });
    database.await_settled(seconds(60));
    assert!(members::said(&database, "MovingPartition"), "no event told of the moves");
    witness.stop().no_failed_request();
}
