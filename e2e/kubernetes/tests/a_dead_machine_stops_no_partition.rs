//! A machine dies, kubelet and containers at once: every partition goes on with
//! the nodes on the other machines, and is whole again when it returns.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::witness::Witness;
use serde_json::json;

#[test]
fn a_dead_machine_stops_no_partition() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("dead");
    let required = json!({"spread": "Required"});
    let manifest = Manifest::new("orders").with("/node/scheduling", required);
    let database = Database::create(&namespace, &manifest);
    let witness = Witness::start(&database, "dead");
    // The operator, if its machine died, would say nothing until it is started elsewhere.
    let broken = Broken::node(witness.expendable().node());
    until("the node is seen as silent", seconds(90), || {
        let status = database.status();
        let nodes = status["nodes"].as_array()?;
        nodes.iter().find(|node| node["state"] == "Unreachable").map(|_| ())
    });
    broken.mend();
    database.await_ready_nodes(3);
    database.await_ready();
    let report = witness.stop();
    report.nothing_lost();
    assert!(
        report.longest_gap_milliseconds < 15_000,
        "the partitions did not go on at once: {report:?}"
    );
}
