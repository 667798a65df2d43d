//! A quota that allows no pods, then an image that does not exist: the conditions quote what
//! Kubernetes says, and once both are corrected the database comes up by itself.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::seconds;
use serde_json::json;

const BROKEN: &str = "dougdb/no-such-image:0";
const QUOTA: &str = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: no-pods}
spec: {hard: {pods: '0'}}
";

#[test]
fn a_mistake_at_the_first_apply_is_corrected() {
    let namespace = Namespace::new("mistaken");
    namespace.apply(QUOTA).expect("the quota is applied");
    let manifest = Manifest::new("orders").with("/image", json!(BROKEN));
    let database = Database::apply(&namespace, &manifest);
    let refused =
        database.await_condition("Degraded", seconds(60), |one| one.reason == "PodsRefused");
    assert!(refused.message.contains("no-pods"), "which quota it is: {refused:?}");

    database.kubectl(&["delete", "resourcequota", "no-pods"]);
    let broken =
        database.await_condition("Degraded", seconds(180), |one| one.reason == "PodBroken");
    assert!(broken.message.contains(BROKEN), "which image it is: {broken:?}");

    database.patch(&json!({"image": null}));
    database.await_ready_nodes(3);
    database.await_settled(seconds(120));
    let degraded = database.condition("Degraded").expect("it is judged");
    assert_eq!(degraded.reason, "AllWell", "{degraded:?}");
}
