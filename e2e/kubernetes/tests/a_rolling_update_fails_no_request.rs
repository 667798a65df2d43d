//! A change of configuration goes through all nodes, one at a time and leaders
//! last, and clients of the facade do not notice.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn a_rolling_update_fails_no_request() {
    let namespace = Namespace::new("rolling");
    let manifest = Manifest::new("orders").clusters(&[("a", 3), ("b", 3)]).partitions(4);
    let database = Database::create(&namespace, &manifest);
    let old: Vec<_> = database.pods("node").iter().map(|pod| pod.uid().to_owned()).collect();
    let witness = Witness::start(&database, "rolling");

    database.patch(&json!({"node": {"config": {"memoryBudget": "72Mi"}}}));
    let mut worst = 0;
    until("every node is another pod and ready", seconds(600), || {
        let pods = database.pods("node");
        let in_cluster = |cluster: &str| {
            let prefix = format!("orders-{cluster}-");
            let of_it = pods.iter().filter(|pod| pod.name().starts_with(&prefix));
            3 - of_it.filter(|pod| pod.is_ready()).count()
        };
        worst = worst.max(in_cluster("a")).max(in_cluster("b"));
        let new = pods.iter().filter(|pod| pod.is_ready() && !old.contains(&pod.uid().to_owned()));
        (new.count() == 6).then_some(())
    });
    assert!(worst <= 1, "{worst} nodes of one cluster were away at once");
    database.await_settled(seconds(60));
    witness.stop().no_failed_request();
}
