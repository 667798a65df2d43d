//! A machine is dead for good, and someone says so: the node on it is made anew
//! elsewhere, while the machine stays dead, and nothing is lost.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;

/// The machines on which the operator runs: without it nobody would be told.
fn machines_of_the_operator() -> Vec<String> {
    let pods = kubectl::list(&["-n", operator::NAMESPACE, "pods", "-l", operator::SELECTOR]);
    let name = |pod: &serde_json::Value| Some(pod["spec"]["nodeName"].as_str()?.to_owned());
    pods.iter().filter_map(name).collect()
}

#[test]
fn a_dead_machine_is_replaced_when_told() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("told");
    // The default class has its provisioner in a pod, which may die with the machine.
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "told");
    let mut needed = machines_of_the_operator();
    needed.push(witness.node());

    let nodes = database.pods("node");
    let dead = nodes.iter().find(|pod| !needed.iter().any(|machine| machine == pod.node()));
    let dead = dead.expect("of three machines one has a node and neither operator nor witness");
    let name = dead.name().trim_start_matches("orders-").to_owned();
    let old = members::id(&database, &name);
    let broken = Broken::node(dead.node());
    until("the node is seen as silent", seconds(60), || {
        (members::state(&database, &name) != "Ready").then_some(())
    });
    let told = format!("dougdb.io/replace={name}");
    database.kubectl(&["annotate", "dougcluster", database.name(), &told]);
    members::await_replaced(&database, &name, &old, seconds(240));
    until("the request is taken back", seconds(60), || {
        let object = database.object();
        object["metadata"]["annotations"]["dougdb.io/replace"].is_null().then_some(())
    });
    let elsewhere = database.pods("node").into_iter().find(|pod| pod.name() == dead.name());
    assert_ne!(elsewhere.expect("it is there").node(), dead.node());
    witness.stop().nothing_lost();
    broken.mend();
}
