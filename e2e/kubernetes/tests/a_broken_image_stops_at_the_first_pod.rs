//! An image that does not start is tried on one node; the others keep the old
//! one, clients do not notice, the status says what is wrong, and the old image
//! declared again mends it.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

const BROKEN: &str = "dougdb/no-such-image:0";

#[test]
fn a_broken_image_stops_at_the_first_pod() {
    let namespace = Namespace::new("broken");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    let good = database.pods("node")[0].image().to_owned();
    let with_broken = || {
        let pods = database.pods("node");
        pods.iter().filter(|pod| pod.image() == BROKEN).count()
    };
    let witness = Witness::start(&database, "broken");

    database.patch(&json!({"image": BROKEN}));
    until("one node tries the image", seconds(120), || (with_broken() == 1).then_some(()));
    let degraded =
        database.await_condition("Degraded", seconds(180), |one| one.reason == "PodBroken");
    assert!(degraded.message.contains("orders-a-"), "which pod it is: {degraded:?}");
    always("only one node tries it", seconds(10), || with_broken() <= 1);

    database.patch(&json!({"image": good}));
    until("no node tries it any more", seconds(120), || (with_broken() == 0).then_some(()));
    database.await_ready_nodes(3);
    database.await_settled(seconds(120));
    witness.stop().no_failed_request();
}
