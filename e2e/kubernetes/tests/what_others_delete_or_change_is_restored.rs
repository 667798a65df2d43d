//! Whoever deletes or scales what belongs to a database finds it as it was within seconds; the
//! token is the same as before, so that nodes restarted since are let in.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use serde_json::Value;

#[test]
fn what_others_delete_or_change_is_restored() {
    let namespace = Namespace::new("restored");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    database.await_settled(seconds(120));
    let read = |object: &[&str]| -> Option<Value> {
        doug_kubernetes_tests::kubectl::get(&namespace.arguments(object))
    };
    let token = read(&["secret", "orders-token"]).expect("a token")["data"].take();

    for object in [
        ["service", "orders-facade"],
        ["service", "orders-a"],
        ["poddisruptionbudget", "orders-a"],
        ["networkpolicy", "orders-nodes"],
        ["role", "orders-facade"],
        ["secret", "orders-token"],
    ] {
        let old = read(&object).unwrap_or_else(|| panic!("there is no {object:?}"));
        database.kubectl(&[&["delete"], &object[..]].concat());
        until(&format!("{object:?} is back"), seconds(20), || {
            read(&object).filter(|new| new["metadata"]["uid"] != old["metadata"]["uid"])
        });
    }
    assert_eq!(read(&["secret", "orders-token"]).expect("a token")["data"], token);

    database.kubectl(&["scale", "statefulset", "orders-a", "--replicas=2"]);
    until("three nodes are declared again", seconds(20), || {
        let set = read(&["statefulset", "orders-a"])?;
        (set["spec"]["replicas"] == 3).then_some(())
    });
    // One that is started now has the token that the others know.
    database.kill(&database.pods("node")[..1]);
    database.await_ready_nodes(3);
    database.await_settled(seconds(120));
}
