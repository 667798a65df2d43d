//! A greater size declared: the claims and the file systems behind them grow, the
//! StatefulSet is made anew around its running pods, and clients do not notice.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::{Value, json};

fn set(namespace: &Namespace) -> Option<Value> {
    kubectl::get(&namespace.arguments(&["statefulset", "orders-a"]))
}

#[test]
fn storage_grows_in_place_under_load() {
    let namespace = Namespace::new("grows");
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::create(&namespace, &manifest);
    let pods = database.pods("node");
    let before = set(&namespace).expect("the StatefulSet");
    let witness = Witness::start(&database, "grows");

    database.patch(&json!({"node": {"storage": {"size": "448Mi"}}}));
    until("every volume has grown", seconds(120), || {
        let claims = kubectl::list(&namespace.arguments(&["persistentvolumeclaims"]));
        let grown = claims.iter().filter(|claim| claim["status"]["capacity"]["storage"] == "448Mi");
        (grown.count() == 3).then_some(())
    });
    let after = until("the StatefulSet has the new size", seconds(60), || {
        let set = set(&namespace)?;
        let template = &set["spec"]["volumeClaimTemplates"][0]["spec"];
        (template["resources"]["requests"]["storage"] == "448Mi").then_some(set.clone())
    });
    database.await_settled(seconds(60));
    let events = database.kubectl(&["get", "events"]);
    assert!(!events.contains("ObjectRefused"), "no object was refused on the way: {events}");

    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"], "it was made anew");
    for pod in &pods {
        let now = database.pods("node").into_iter().find(|now| now.uid() == pod.uid());
        let now = now.unwrap_or_else(|| panic!("{} was replaced", pod.name()));
        assert_eq!(now.restarts(), pod.restarts(), "{} was restarted", pod.name());
    }
    witness.stop().no_failed_request();
}
