//! Two of three volumes are gone for good: `kubectl doug recover` says what may be lost, begins
//! every partition anew from the third, and the new volumes fill the places that are left.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::members;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::plugin::kubectl_doug;
use doug_kubernetes_tests::wait::{seconds, until};

const LOST: [&str; 2] = ["a-1", "a-2"];

#[test]
fn a_lost_quorum_begins_anew_when_told() {
    let namespace = Namespace::new("quorum");
    let database = Database::create(&namespace, &Manifest::new("orders"));
    let inside = ["exec", "orders-a-0", "--container", "node", "--", "/doug"];
    let doug = |arguments: &[&str]| database.kubectl(&[&inside, arguments].concat());
    let endpoint = database.endpoint();
    doug(&["put", "before", "kept", "--endpoint", &endpoint]);
    let partitions = members::voters(&database).len();
    let old = LOST.map(|name| members::id(&database, name));

    for name in LOST {
        let claim = format!("data-orders-{name}");
        database.kubectl(&["delete", "persistentvolumeclaim", &claim, "--wait=false"]);
    }
    let mut lost = database.pods("node");
    lost.retain(|pod| LOST.contains(&pod.node_name()));
    database.kill(&lost);
    until("new, empty volumes are there", seconds(90), || {
        let empty = |(name, old): (&str, &String)| {
            let state = members::state(&database, name);
            state == "Empty" || (state == "Ready" && members::id(&database, name) != *old)
        };
        LOST.into_iter().zip(&old).all(empty).then_some(())
    });

    let recover = ["recover", "--database", "orders", "--namespace", namespace.name()];
    let (_, said) = kubectl_doug(&[&recover[..], &["--dry-run"]].concat());
    assert!(said.contains(&format!("{partitions} have lost it")), "{said}");
    let (done, said) = kubectl_doug(&[&recover[..], &["--confirm", "other"]].concat());
    assert!(!done && said.contains("nothing was changed"), "{said}");
    let (done, said) = kubectl_doug(&[&recover[..], &["--confirm", "orders"]].concat());
    assert!(done, "{said}");

    for (name, old) in LOST.into_iter().zip(&old) {
        members::await_replaced(&database, name, old, seconds(120));
    }
    database.await_settled(seconds(60));
    assert_eq!(doug(&["get", "before", "--endpoint", &endpoint]).trim(), "kept");
    doug(&["put", "since", "kept", "--endpoint", &endpoint]);
}
