//! A node loses its volume: its partitions leave the old member out, and the new,
//! empty one takes its place under a new id, unasked and under load.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::seconds;
use doug_kubernetes_tests::witness::Witness;

#[test]
fn a_lost_volume_is_replaced_unasked() {
    let namespace = Namespace::new("lost");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    let old = members::id(&database, "a-1");
    let witness = Witness::start(&database, "lost");

    database.kubectl(&["delete", "persistentvolumeclaim", "data-orders-a-1", "--wait=false"]);
    let lost: Vec<_> =
        database.pods("node").into_iter().filter(|pod| pod.name() == "orders-a-1").collect();
    database.kill(&lost);
    members::await_replaced(&database, "a-1", &old, seconds(240));
    database.await_settled(seconds(60));
    witness.stop().nothing_lost();
}
