//! A machine is dead, and someone asks to replace another node that holds the same
//! partitions: what only that one has would be lost. It is refused in words, at once,
//! and its volume stays.

use doug_kubernetes_tests::database::{Database, Pod};
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{always, seconds};
use doug_kubernetes_tests::witness::Witness;

#[test]
fn a_replacement_that_could_lose_data_is_refused() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("refused");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    let witness = Witness::start(&database, "refused");
    let down = witness.expendable();
    let nodes = database.pods("node");
    let wanted = nodes.iter().find(|pod| pod.node() != down.node()).expect("another machine");
    let claim = |pod: &Pod| {
        let name = format!("data-{}", pod.name());
        let claim = kubectl::get(&namespace.arguments(&["persistentvolumeclaim", &name]));
        claim.expect("the claim is there")["metadata"].clone()
    };
    let before = claim(wanted);

    // Asked in the moment of its death, when its leader may take it for up still.
    let broken = Broken::node(down.node());
    database.annotate(&format!("dougdb.io/replace={}", wanted.node_name()));
    // First, perhaps, because a partition has lost its leader.
    let why = format!("node {} is down as well", down.node_name());
    database.await_condition("Degraded", seconds(60), |one| {
        one.reason == "ReplacementRefused" && one.message.contains(&why)
    });
    always("its volume stays, and it serves", seconds(5), || {
        let now = claim(wanted);
        now["uid"] == before["uid"]
            && now["deletionTimestamp"].is_null()
            && members::state(&database, wanted.node_name()) == "Ready"
    });

    database.annotate("dougdb.io/replace-");
    broken.mend();
    database.await_ready_nodes(3);
    database.await_settled(seconds(60));
    assert_eq!(claim(wanted)["uid"], before["uid"], "the request was taken back");
    witness.stop().nothing_lost();
}
