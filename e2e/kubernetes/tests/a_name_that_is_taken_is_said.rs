//! An object that somebody else made has a name that the database needs: it is left
//! alone, the status says whose it is, and once it is gone the database is made.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::seconds;
use serde_json::{Value, json};

fn service(namespace: &Namespace) -> Value {
    kubectl::get(&namespace.arguments(&["service", "orders-a"])).expect("the Service is there")
}

#[test]
fn a_name_that_is_taken_is_said() {
    let namespace = Namespace::new("taken");
    // Labelled as the database's own would be: what counts is who owns it.
    let theirs = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "orders-a", "labels": {"app.kubernetes.io/instance": "orders"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "shop"}},
    });
    namespace.apply(&theirs.to_string()).expect("a Service of the shop's own");
    let before = service(&namespace);

    let database = Database::apply(&namespace, &Manifest::new("orders"));
    let degraded = database.await_condition("Degraded", seconds(60), |one| one.status == "True");
    assert_eq!(degraded.reason, "NameTaken");
    assert!(degraded.message.contains("Service orders-a"), "which it is: {degraded:?}");
    let after = service(&namespace);
    assert_eq!(after["spec"], before["spec"], "it is left alone");
    assert_eq!(after["metadata"]["ownerReferences"], Value::Null, "nobody took it");

    database.kubectl(&["delete", "service", "orders-a"]);
    database.await_ready();
    database.await_condition("Degraded", seconds(60), |one| one.status == "False");
}
