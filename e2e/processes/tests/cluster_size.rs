//! A cluster has the nodes it was declared with, and its partitions as many voters, or it
//! is said that they have not.

use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program::printed;
use doug_process_tests::spare::Spare;

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_placed_on_as_many_nodes_as_declared_or_it_is_said_what_lacks() {
    let folder = demo::folder();
    let demo =
        Demo::start(folder.path(), &["--clusters", "1", "--nodes", "3", "--partitions", "2"]).await;
    let refused = |arguments: &[&str]| {
        let output = demo.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        printed(&output)
    };
    let one = Spare::start(folder.path(), "a-3", "a", None).await;
    let other = Spare::start(folder.path(), "a-4", "a", None).await;

    demo.insist(&["member", "add", &one.admin, "--cluster-size", "5"]);
    let status = demo.insist(&["status"]);
    assert!(status.contains("cluster a: 4 nodes of 5 declared"), "{status}");
    assert!(status.contains("partition 2: 3 voters, 2 fewer than declared"), "{status}");
    let doctor = refused(&["doctor"]);
    assert!(doctor.contains("it is to have 5 nodes, and 4 are members"), "{doctor}");
    assert!(doctor.contains("doug partition move 2 --to a"), "{doctor}");
    let moved = refused(&["partition", "move", "--all", "--to", "a"]);
    assert!(moved.contains("is to have 5 nodes and has 4"), "{moved}");
    let removed = refused(&["member", "remove", "a-3"]);
    assert!(removed.contains("is to have 5 nodes, and without a-3 it has 3"), "{removed}");

    demo.insist(&["member", "add", &other.admin]);
    demo.insist(&["partition", "move", "--all", "--to", "a"]);
    let map = demo.map().await;
    assert!(map.partitions.iter().all(|partition| partition.voters.len() == 5), "{map:?}");
    demo.insist_on_health();
    let again = printed(&demo.run(&["partition", "move", "2", "--to", "a"]));
    assert!(again.contains("is in cluster a already"), "{again}");
}
