//! A node loses its volume and comes back empty, under another id.

use doug_client::Read;
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::load::{Load, insist_on_no_failure};
use doug_process_tests::program;
use doug_process_tests::spare::Spare;
use doug_process_tests::wait::until;
use doug_proto::map::PartitionMap;
use doug_proto::v1::NodeState;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LOST: &str = "a-3";

#[tokio::test(flavor = "multi_thread")]
async fn its_replicas_are_rebuilt_and_the_old_node_leaves_the_map() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "5", "--partitions", "3"];
    let demo = Demo::start(folder.path(), &options).await;
    let before = demo.map().await;
    let old = id_of(&before, LOST);

    let load = Load::start(&demo.endpoint(), "replace", 8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    demo.act("wipe", &[LOST.to_owned()]);
    until_it_answers(&demo).await;
    let printed = demo.insist(&["member", "replace", LOST]);
    assert!(printed.contains(&format!("of a-3 ({old}) in 4 partitions")), "{printed}");
    // The five at full strength: two may fail again, the new one counts.
    let others = ["a-0".to_owned(), "a-1".to_owned()];
    demo.signal(&others, Signal::KILL);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The leaders among the killed cost time, and no request its success.
    insist_on_no_failure(&load.end().await);
    demo.act("restart", &others);
    demo.all_ready().await;

    let map = until("the old node is gone", Duration::from_secs(10), || async {
        let map = demo.map().await;
        let gone = map.node(old.parse().expect("an id")).is_none_or(|node| node.is_removed());
        gone.then_some(map)
    })
    .await;
    assert_eq!(map.present().count(), 5);
    let new = id_of(&map, LOST).parse().expect("an id");
    assert!(map.partitions.iter().all(|partition| partition.voter_on(new).is_some()));
    demo.insist_on_health();
    // Again changes nothing.
    let again = demo.insist(&["member", "replace", &old]);
    assert!(again.contains("was removed from the database before"), "{again}");
    goes_on_after_a_restart(demo, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_named_by_its_address_takes_the_place_and_no_request_fails() {
    let folder = demo::folder();
    let options = ["--clusters", "2", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let output = demo.run(&["member", "replace", "a-1"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("there is no node to take the place of a-1"), "{said}");
    let output = demo.run(&["member", "replace", "a-1", "--with", "b-1"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("it belongs to cluster b"), "{said}");

    let load = Load::start(&demo.endpoint(), "spare", 4).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    demo.act("wipe", &["a-1".to_owned()]);
    until("it answers", Duration::from_secs(20), || async { demo.node("a-1").status().await.ok() })
        .await;
    let address = demo.admin_address("a-1");
    demo.insist(&["member", "replace", "a-1", "--with", &address]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    insist_on_no_failure(&load.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_successor_of_a_node_without_replicas_joins_and_partitions_come_back_to_all_nodes() {
    let folder = demo::folder();
    let options = ["--clusters", "2", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    demo.insist(&["partition", "move", "--all", "--to", "b"]);
    let old = id_of(&*demo.map().await, "a-2");
    demo.act("wipe", &["a-2".to_owned()]);
    until("it answers", Duration::from_secs(20), || async { demo.node("a-2").status().await.ok() })
        .await;
    let printed = demo.insist(&["member", "replace", "a-2"]);
    assert!(printed.contains(&format!("of a-2 ({old}) in 0 partitions")), "{printed}");
    let map = demo.map().await;
    assert_eq!(map.present().filter(|node| node.cluster == "a").count(), 3);
    assert_ne!(id_of(&map, "a-2"), old);

    let moved = map.partitions.last().expect("a partition").id;
    demo.insist(&["partition", "move", &moved.to_string(), "--to", "a"]);
    let map = demo.map().await;
    let partition = map.partitions.iter().find(|partition| partition.id == moved);
    assert_eq!(partition.expect("it is there").voters.len(), 3);
    demo.insist_on_health();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_volume_on_the_ports_of_its_successor_is_called_what_it_is() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", "1"];
    let demo = Demo::start(folder.path(), &options).await;
    let one = ["a-2".to_owned()];
    let (data, kept) = (demo.data().join("nodes/a-2"), folder.path().join("kept"));
    demo.act("kill", &one);
    copy(&data, &kept);
    let old = id_of(&*demo.map().await, "a-2");
    demo.act("wipe", &one);
    until("it answers", Duration::from_secs(20), || async { demo.node("a-2").status().await.ok() })
        .await;
    demo.insist(&["member", "replace", "a-2"]);
    demo.act("kill", &one);
    std::fs::remove_dir_all(&data).expect("the new volume is removed");
    copy(&kept, &data);
    demo.act("restart", &one);

    until("it says what it is", Duration::from_secs(30), || async {
        let own = demo.node("a-2").status().await.ok()?.nodes.pop()?;
        (own.state() == NodeState::Removed).then_some(())
    })
    .await;
    let doctor = program::printed(&demo.run(&["doctor"]));
    assert!(doctor.contains(&format!("another node, {old} (a-2), answers at its")), "{doctor}");
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp starts");
    assert!(copied.success(), "{} cannot be copied", from.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_node_that_has_joined_takes_the_place_of_one_that_is_taken_away() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let refused = |arguments: &[&str]| {
        let output = demo.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8(output.stderr).expect("text")
    };
    let said = refused(&["member", "remove", "a-1"]);
    assert!(said.contains("of these partitions: 1, 2, 3; replace it in them first"), "{said}");
    let guarded = Spare::start(folder.path(), "guarded", "a", Some("secret")).await;
    let said = refused(&["member", "add", &guarded.admin]);
    assert!(said.contains("asks for the database's token"), "{said}");

    let spare = Spare::start(folder.path(), "a-9", "a", None).await;
    let printed = demo.insist(&["member", "add", &spare.admin]);
    assert!(printed.contains("is a member, in cluster a"), "{printed}");
    let load = Load::start(&demo.endpoint(), "spare", 4).await;
    // It runs all the while, and leads.
    let printed = demo.insist(&["member", "replace", "a-0"]);
    assert!(printed.starts_with("a-9 ("), "{printed}");
    demo.act("kill", &["a-0".to_owned(), "a-1".to_owned()]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    demo.act("restart", &["a-1".to_owned()]);
    insist_on_no_failure(&load.end().await);
}

fn id_of(map: &PartitionMap, name: &str) -> String {
    let node = map.present().find(|node| node.name == name).expect("the node is listed");
    node.id.to_string()
}

async fn until_it_answers(demo: &Demo) {
    let node = demo.node(LOST);
    until("it answers", Duration::from_secs(20), || async { node.status().await.ok() }).await;
}

/// The demo knows the volume that is there now as its own.
async fn goes_on_after_a_restart(demo: Demo, folder: &std::path::Path) {
    let client = demo.client().await;
    client.put("kept", "kept", doug_client::If::Always).await.expect("a write");
    drop(client);
    demo.stop();
    let demo = Demo::start(folder, &[]).await;
    let answer = demo.client().await.get("kept", Read::Linearizable).await.expect("a read");
    assert_eq!(answer.value, "kept");
}
