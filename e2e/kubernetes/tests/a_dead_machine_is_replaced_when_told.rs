//! A machine is dead for good, and someone says so: the node on it is made anew
//! elsewhere, while the machine stays dead, and nothing is lost.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;

#[test]
fn a_dead_machine_is_replaced_when_told() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("told");
    // The default class has its provisioner in a pod, which may die with the machine.
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "told");

    let dead = witness.expendable();
    let name = dead.node_name();
    let old = members::id(&database, name);
    let broken = Broken::node(dead.node());
    until("the node is seen as silent", seconds(60), || {
        (members::state(&database, name) != "Ready").then_some(())
    });
    database.annotate(&format!("dougdb.io/replace={name}"));
    members::await_replaced(&database, name, &old, seconds(240));
    until("the request is taken back", seconds(60), || {
        let object = database.object();
        object["metadata"]["annotations"]["dougdb.io/replace"].is_null().then_some(())
    });
    let elsewhere = database.pods("node").into_iter().find(|pod| pod.name() == dead.name());
    assert_ne!(elsewhere.expect("it is there").node(), dead.node());
    witness.stop().nothing_lost();
    broken.mend();
}
