//! Partitions cannot be split or merged: another number is refused by the API server,
//! and where a DougCluster is applied anew with one, it is said, and the database goes
//! on with the partitions that it has.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::seconds;
use doug_kubernetes_tests::witness::Witness;

#[test]
fn another_number_of_partitions_is_refused() {
    let namespace = Namespace::new("number");
    let manifest = Manifest::new("orders").partitions(2);
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "number");

    let more = manifest.clone().partitions(4);
    let refusal = namespace.apply(&more.to_string()).expect_err("the number cannot be changed");
    assert!(refusal.contains("partitioning cannot be changed"), "in other words: {refusal}");

    database.kubectl(&["delete", "dougcluster", "orders", "--cascade=orphan", "--timeout=60s"]);
    let database = Database::apply(&namespace, &more);
    let degraded = database.await_condition("Degraded", seconds(60), |one| one.status == "True");
    assert_eq!(degraded.reason, "InvalidSpec");
    assert!(degraded.message.contains("Declare 2 again"), "what to do: {degraded:?}");
    database.await_ready();
    assert_eq!(
        members::held(&database, "a"),
        3,
        "it has the partitions that it had, and the catalog"
    );
    witness.stop().no_failed_request();

    // What was said is to be done.
    database.kubectl(&["delete", "dougcluster", "orders", "--cascade=orphan", "--timeout=60s"]);
    let database = Database::create(&namespace, &manifest);
    database.await_condition("Degraded", seconds(60), |one| one.status == "False");
    assert!(kubectl::list(&namespace.arguments(&["persistentvolumeclaims"])).len() == 3);
}
