//! The resource is deleted without its objects and applied again while clients
//! write: the same pods, the same partitions, an epoch not lower, no failed request.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::witness::Witness;

fn uids(database: &Database<'_>) -> Vec<String> {
    database.pods("node").iter().map(|pod| pod.uid().to_owned()).collect()
}

#[test]
fn an_orphaned_database_is_adopted_under_load() {
    let namespace = Namespace::new("orphaned");
    let manifest = Manifest::new("orders");
    let database = Database::create(&namespace, &manifest);
    let (pods, epoch) = (uids(&database), database.epoch());
    let map = database.status()["partitionMap"].clone();
    let witness = Witness::start(&database, "orphaned");

    database.kubectl(&["delete", "dougcluster", "orders", "--cascade=orphan", "--timeout=120s"]);
    let database = Database::create(&namespace, &manifest);

    assert_eq!(uids(&database), pods, "no node was restarted");
    assert!(database.epoch() >= epoch, "the epoch never falls");
    let again = database.status()["partitionMap"].clone();
    assert_eq!(again["partitions"], map["partitions"], "they are the same partitions");
    witness.stop().no_failed_request();
}
