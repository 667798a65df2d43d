//! A cluster is added to the spec: its nodes join, and partitions move onto it until each cluster
//! holds as many, or one more. It is taken out again, while the other one is to have more nodes:
//! partitions leave it first, and get voters on all of these. Then that has fewer again. Volumes
//! stay, and clients of the facade do not notice.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn clusters_and_nodes_come_and_go_under_load() {
    let namespace = Namespace::new("sizes");
    let database = Database::create(&namespace, &Manifest::new("orders").partitions(4));
    assert_eq!(members::held(&database, "a"), 5, "the catalog's and four");
    let witness = Witness::start(&database, "sizes");

    database.patch(&json!({"clusters": [{"name": "a", "nodes": 3}, {"name": "b", "nodes": 3}]}));
    until("each cluster holds half of the partitions", seconds(270), || {
        let held = ["a", "b"].map(|cluster| members::held(&database, cluster));
        assert!(held[1] <= 2, "more than half of the partitions went to the new cluster");
        (held == [3, 2]).then_some(())
    });
    assert!(members::said(&database, "MovingPartition"), "no event told of the moves");

    database.patch(&json!({"clusters": [{"name": "a", "nodes": 5}]}));
    until("the cluster is gone, and the other one has five voters of each", seconds(270), || {
        let gone = ["statefulset", "service", "poddisruptionbudget"]
            .map(|kind| kubectl::get(&namespace.arguments(&[kind, "orders-b"])).is_none());
        // Asked after, or partitions could still move between the two questions.
        let left = members::on(&database, "b");
        assert!(left == 0 || !gone[0], "its nodes went while {left} partitions were on them");
        (gone == [true; 3] && members::voters(&database) == [5; 5]).then_some(())
    });
    database.await_settled(seconds(60));

    database.patch(&json!({"clusters": [{"name": "a", "nodes": 3}]}));
    until("the cluster has three nodes again", seconds(270), || {
        let pods = database.pods("node").len();
        // Asked after, as above. Pods of the cluster that is gone may still be about to end.
        let voters = members::voters(&database);
        assert!(pods >= 5 || voters == [3; 5], "{pods} pods are left for voters {voters:?}");
        (pods == 3).then_some(())
    });
    database.await_settled(seconds(60));
    let claims = kubectl::list(&namespace.arguments(&["persistentvolumeclaims"]));
    assert_eq!(claims.len(), 8, "volumes stay unless it is told otherwise");
    witness.stop().no_failed_request();
}
