//! `replaceAfter`: a machine is dead, nobody says anything, and when its node has been
//! silent for as long as declared, it is made anew elsewhere; not before.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn a_silent_node_is_replaced_after_the_time_declared() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("silent");
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::create(&namespace, &manifest.with("/node/replaceAfter", json!("1m")));
    let witness = Witness::start(&database, "silent");

    let dead = witness.expendable();
    let name = dead.node_name();
    let old = members::id(&database, name);
    let broken = Broken::node(dead.node());
    until("the node is seen as silent", seconds(60), || {
        (members::state(&database, name) != "Ready").then_some(())
    });
    // Whatever it is that the operator sees, a minute has not passed.
    always("the node is not given up yet", seconds(45), || {
        !members::said(&database, "ReplacingNode")
    });
    members::await_replaced(&database, name, &old, seconds(240));
    let elsewhere = database.pods("node").into_iter().find(|pod| pod.name() == dead.name());
    assert_ne!(elsewhere.expect("it is there").node(), dead.node());
    witness.stop().nothing_lost();
    broken.mend();
}
