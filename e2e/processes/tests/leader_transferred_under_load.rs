//! Leaderships go from node to node while clients write and read.

use doug_process_tests::demo::{self, Demo};
use doug_process_tests::load::{Load, insist_on_no_failure};
use std::time::Duration;

/// After this long the first of the voters would have taken its leadership back.
const SETTLED: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_the_leadership_stays_where_it_was_handed() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "5", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let load = Load::start(&demo.endpoint(), "transfer", 8).await;
    for _ in 0..2 {
        for node in demo.nodes() {
            let printed = demo.insist(&["leader", "transfer", "1-2", "--to", &node]);
            assert_eq!(printed, format!("{node} leads partition 1\n{node} leads partition 2\n"));
        }
    }
    tokio::time::sleep(SETTLED).await;
    assert_eq!(demo.leader(1).await.0, "a-4");
    // To whoever is most caught up: another one.
    let printed = demo.insist(&["leader", "transfer", "1"]);
    assert!(!printed.starts_with("a-4"), "{printed}");
    insist_on_no_failure(&load.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_voter_is_refused_and_the_others_are_named() {
    let folder = demo::folder();
    let options = ["--clusters", "2", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let output = demo.run(&["leader", "transfer", "1", "--to", "b-1"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("b-1 holds no voter of partition 1: these nodes do: a-0"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_node_is_enough_to_find_the_leader() {
    let folder = demo::folder();
    let options = ["--clusters", "2", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    // It holds nothing of the partition, and the facade is not asked.
    let admin = demo.admin_address("b-2");
    let reach = ["--endpoint", "http://127.0.0.1:1", "--admin-endpoint", &admin];
    let transfer = ["leader", "transfer", "1", "--to", "a-1"];
    let printed = demo.insist(&[&transfer[..], &reach[..]].concat());
    assert_eq!(printed, "a-1 leads partition 1\n");
}
