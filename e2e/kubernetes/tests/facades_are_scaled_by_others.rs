//! Facades are scaled by the scale subresource of the DougCluster, which is what an autoscaler
//! uses; and one who scales the Deployment itself is not fought.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds, until};

#[test]
fn facades_are_scaled_by_others() {
    let namespace = Namespace::new("scaled");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    database.await_settled(seconds(120));

    let path = format!(
        "/apis/dougdb.io/v1alpha1/namespaces/{}/dougclusters/orders/scale",
        namespace.name()
    );
    let scale = kubectl::run(&["get", "--raw", &path]);
    for said in ["\"replicas\":2", "app.kubernetes.io/component=facade"] {
        assert!(scale.contains(said), "an autoscaler is not told {said}: {scale}");
    }
    database.kubectl(&["scale", "dougcluster", "orders", "--replicas=3"]);
    await_facades(&database, 3);
    assert_eq!(database.object()["spec"]["facade"]["replicas"], 3);

    database.kubectl(&["scale", "deployment", "orders-facade", "--replicas=1"]);
    await_facades(&database, 1);
    // Objects are applied again within two seconds of a change, and after a minute anyway.
    always("one facade, as somebody wants it", seconds(70), || declared(&database) == Some(1));

    database.kubectl(&["scale", "dougcluster", "orders", "--replicas=2"]);
    await_facades(&database, 2);
}

fn declared(database: &Database<'_>) -> Option<u64> {
    let arguments = database.namespace().arguments(&["deployment", "orders-facade"]);
    kubectl::get(&arguments)?["spec"]["replicas"].as_u64()
}

fn await_facades(database: &Database<'_>, count: usize) {
    until(&format!("{count} facades"), seconds(60), || {
        let ready = database.pods("facade").iter().filter(|pod| pod.is_ready()).count();
        (ready == count).then_some(())
    });
}
