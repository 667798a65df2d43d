//! A greater size on a class that cannot expand volumes: nothing is touched, the
//! database serves, and the status names the class and the remedy, which works.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::{FIXED, Manifest};
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds};
use serde_json::json;

fn sizes(namespace: &Namespace) -> Vec<String> {
    let claims = kubectl::list(&namespace.arguments(&["persistentvolumeclaims"]));
    let asked = |claim: &serde_json::Value| {
        claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default().to_owned()
    };
    claims.iter().map(asked).collect()
}

#[test]
fn a_class_that_cannot_expand_is_said() {
    let namespace = Namespace::new("fixed");
    let manifest = Manifest::new("orders").storage(FIXED, "320Mi");
    let database = Database::create(&namespace, &manifest);

    database.patch(&json!({"node": {"storage": {"size": "448Mi"}}}));
    let degraded = database.await_condition("Degraded", seconds(60), |one| one.status == "True");
    assert_eq!(degraded.reason, "VolumesCannotGrow");
    assert!(degraded.message.contains(FIXED), "which class it is: {degraded:?}");
    assert!(degraded.message.contains("--cascade=orphan"), "what to do: {degraded:?}");
    always("no claim is touched, and writes work", seconds(5), || {
        let ready = database.condition("Ready").is_some_and(|ready| ready.status == "True");
        ready && sizes(&namespace).iter().all(|size| size == "320Mi")
    });

    database.kubectl(&["delete", "dougcluster", "orders", "--cascade=orphan", "--timeout=60s"]);
    let database = Database::create(&namespace, &manifest);
    database.await_condition("Degraded", seconds(60), |one| one.status == "False");
}
