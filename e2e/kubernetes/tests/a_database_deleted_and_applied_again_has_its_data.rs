//! Deleting the resource keeps the volumes; applied again, it finds its data.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

fn claims(namespace: &Namespace) -> usize {
    kubectl::list(&namespace.arguments(&["persistentvolumeclaims"])).len()
}

fn delete(database: &Database<'_>) {
    database.kubectl(&["delete", "dougcluster", database.name(), "--timeout=120s"]);
    until("its pods are gone", seconds(120), || {
        (database.pods("node").is_empty() && database.pods("facade").is_empty()).then_some(())
    });
}

#[test]
fn a_database_deleted_and_applied_again_has_its_data() {
    let namespace = Namespace::new("deleted");
    let manifest = Manifest::new("orders");
    let database = Database::create(&namespace, &manifest);
    let identity = database.status()["databaseId"].clone();
    let epoch = database.epoch();
    // Its clients wait while there is no database; what they were promised before must be there
    // after.
    let witness = Witness::start(&database, "deleted");

    delete(&database);
    assert_eq!(claims(&namespace), 3, "the volumes stay");
    let database = Database::create(&namespace, &manifest);
    assert_eq!(database.status()["databaseId"], identity, "it is the same database");
    assert!(database.epoch() >= epoch, "the epoch never falls");
    witness.stop().nothing_lost();
}

#[test]
fn volumes_go_with_the_database_when_asked_to() {
    let namespace = Namespace::new("removed");
    let manifest = Manifest::new("orders").with("/node/storage/whenDeleted", json!("Delete"));
    let database = Database::create(&namespace, &manifest);
    delete(&database);
    until("the volumes are gone", seconds(120), || (claims(&namespace) == 0).then_some(()));
}
