//! What each command prints, and how it ends, where something is wrong: the table of
//! docs/cli.md, each situation made and looked at.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program::printed;
use doug_process_tests::wait::until;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// What a command that need not wait is given all the same, and how much of that it may take.
const LONG: &str = "60s";
const AT_ONCE: Duration = Duration::from_secs(30);

/// Insists that `doug ARGUMENTS` ends with `status` and says each of `words`.
fn insist(demo: &Demo, arguments: &str, status: i32, words: &[&str]) -> String {
    let output = demo.run(&arguments.split(' ').collect::<Vec<_>>());
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments}: {word:?} is missing: {text}");
    }
    text
}

async fn small(folder: &std::path::Path, nodes: &str) -> Demo {
    let shape = ["--clusters", "1", "--nodes", nodes, "--partitions", "2"];
    let demo = Demo::start(folder, &shape).await;
    insist(&demo, "put k v", 0, &[]);
    demo
}

/// `demo.json`'s port of the first node.
fn port(demo: &Demo, name: &str) -> String {
    format!("127.0.0.1:{}", demo.state()["nodes"][0]["ports"][name])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_three_of_five_down_every_command_names_what_lacks_a_leader() {
    let folder = demo::folder();
    let demo = small(folder.path(), "5").await;
    let data = demo.data().display().to_string();
    demo.act("kill", &["a-1", "a-2", "a-3"].map(str::to_owned));
    let headless = until("no leader is left", Duration::from_secs(20), || async {
        let status = printed(&demo.run(&["demo", "status", "--data", &data]));
        status.contains("without a leader: P1, P2, P3").then_some(status)
    });
    assert!(headless.await.contains("Ready     no"));
    for get in ["get k --timeout 2s", "get k --timeout 2s --direct", "scan --timeout 2s"] {
        let said = insist(&demo, get, 5, &["no leader of partition", "(cluster a)"]);
        assert!(!said.contains("silent"), "{said}");
    }
    insist(&demo, "put k w --timeout 2s", 5, &["no leader of partition", "(cluster a)"]);
    insist(&demo, "get k --consistency eventual", 0, &["v"]);
    insist(&demo, "status", 5, &["none", "0 of 3 partitions have a leader"]);
    let remedy = ["read only with `--consistency eventual`", "start at least 1 of these nodes"];
    insist(&demo, "doctor", 1, &remedy);
    insist(&demo, "partition list --all", 0, &["none"]);
    insist(&demo, "leader transfer 2", 5, &["partition 2 has no leader", "a-1, a-2, a-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_serves_no_clients_is_named_at_once() {
    let folder = demo::folder();
    let demo = small(folder.path(), "1").await;
    let facade = format!("127.0.0.1:{}", demo.state()["facade"]["httpPort"]);
    let ports = [
        (facade, "it speaks HTTP without gRPC"),
        (port(&demo, "http"), "it speaks HTTP without gRPC"),
        (port(&demo, "raft"), "the Raft or admin port of a node"),
        (port(&demo, "admin"), "the Raft or admin port of a node"),
    ];
    for (address, said) in &ports {
        let said = [*said, "give the port for clients (7400)", address];
        let began = Instant::now();
        for command in ["get k", "put k v", "scan", "status", "get k --direct", "partition list 1"]
        {
            let command = format!("{command} --endpoint {address} --timeout {LONG}");
            insist(&demo, &command, 5, &said);
        }
        let remedy = "give the address where a facade or a node serves clients";
        insist(&demo, &format!("doctor --endpoint {address} --timeout {LONG}"), 1, &[remedy]);
        assert!(began.elapsed() < AT_ONCE, "{address}: {:?}", began.elapsed());
    }
    for wrong in ["doug", "raft", "http"] {
        let command = format!("partition list 1 --admin-endpoint {}", port(&demo, wrong));
        insist(&demo, &command, 5, &["give the admin port of a node (7402)"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spaces_around_an_endpoint_do_no_harm() {
    let folder = demo::folder();
    let demo = small(folder.path(), "1").await;
    let spaced = format!(" {} ", demo.endpoint());
    let output = demo.run(&["get", "k", "--endpoint", &spaced]);
    assert!(output.status.success(), "{}", printed(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_node_down_everything_is_served_and_the_node_named() {
    let folder = demo::folder();
    let demo = small(folder.path(), "3").await;
    let data = demo.data().display().to_string();
    demo.act("kill", &["a-2".into()]);
    insist(&demo, "put k w --timeout 20s", 0, &[]);
    insist(&demo, "get k --timeout 20s", 0, &["w"]);
    until("every partition has a leader", Duration::from_secs(20), || async {
        demo.run(&["status"]).status.success().then_some(())
    })
    .await;
    insist(&demo, "status", 0, &["down", "2 of 3 nodes are ready"]);
    insist(&demo, "doctor", 1, &["node a-2", "it does not answer", "doug demo restart NODE"]);
    insist(&demo, &format!("demo status --data {data}"), 0, &["Ready     yes", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facade_that_does_not_run_is_told_apart_from_one_that_does_not_answer() {
    let folder = demo::folder();
    let demo = small(folder.path(), "1").await;
    let data = demo.data().display().to_string();
    demo.act("kill", &["facade".into()]);
    let refused = ["Connection refused", "tried for 1s", "--timeout"];
    for command in ["get k", "put k v", "scan", "status", "partition list 1"] {
        insist(&demo, command, 5, &refused);
    }
    insist(&demo, "doctor", 1, &["Connection refused", "remedy: start it"]);
    let status = format!("demo status --data {data}");
    insist(&demo, &status, 0, &["no: the facade is stopped", "doug demo restart facade"]);

    demo.act("restart", &["facade".into()]);
    insist(&demo, "get k --timeout 20s", 0, &["v"]);
    demo.act("pause", &["facade".into()]);
    insist(&demo, "get k --timeout 1s", 5, &["has gone silent"]);
    insist(&demo, "put k v --timeout 1s", 6, &["may or may not have been applied"]);
    insist(&demo, &status, 0, &["no: the facade is paused", "doug demo resume facade"]);
    demo.act("resume", &["facade".into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_exist_are_answered_with_those_that_do() {
    let folder = demo::folder();
    let demo = small(folder.path(), "1").await;
    let data = demo.data().display().to_string();
    insist(&demo, "partition list 99", 2, &["there is no partition 99: there are 1 to 3"]);
    insist(&demo, "partition move 2 --to z", 2, &["there is no cluster z: there are a"]);
    for command in ["member remove z", "member replace z", "leader transfer 2 --to z"] {
        insist(&demo, command, 2, &["there is no node z: there are a-0"]);
    }
    for command in ["get k --keyspace z", "scan --keyspace z"] {
        insist(&demo, command, 1, &["the database has no keyspace \"z\""]);
    }
    let kill = format!("demo kill z --data {data}");
    insist(&demo, &kill, 1, &["there is no z: there are a-0 and facade"]);
}

/// Writes files to the demo's volume until so many bytes are left for data.
fn leave(demo: &Demo, left: u64) {
    let said: Value = serde_json::from_slice(&demo.run(&["status", "-o", "json"]).stdout).unwrap();
    let available = said["nodes"][0]["volume"]["availableBytes"].as_u64().unwrap();
    let file = OpenOptions::new().create(true).append(true).open(ballast(demo)).unwrap();
    let zeros = vec![0; usize::try_from(available.saturating_sub(left)).unwrap()];
    (&file).write_all(&zeros).unwrap();
}

fn ballast(demo: &Demo) -> PathBuf {
    demo.data().join("ballast")
}

/// Until `doug put` or `doug del` ends like that: a node measures its volume four times a second.
async fn ends(demo: &Demo, arguments: &[&str], status: i32) -> String {
    until(&format!("{arguments:?} ends {status}"), Duration::from_secs(60), || async {
        let output = demo.run(arguments);
        (output.status.code() == Some(status)).then(|| printed(&output))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_volume_refuses_definitely_reads_on_takes_deletes_and_recovers() {
    const VOLUME: u64 = 256;
    const KEPT_FREE: u64 = (VOLUME << 20) / 32;
    let folder = demo::folder();
    let shape = ["--clusters", "1", "--nodes", "1", "--partitions", "2"];
    let demo = Demo::start_on_volume(folder.path(), VOLUME, &shape).await;
    insist(&demo, "put k v", 0, &[]);
    insist(&demo, "put l w", 0, &[]);

    leave(&demo, KEPT_FREE / 4 * 3);
    let put = ["put", "n", "x", "--timeout", "2s"];
    let refused = ends(&demo, &put, 5).await;
    assert!(refused.contains("the volume of this node is full"), "{refused}");
    insist(&demo, "get k", 0, &["v"]);
    insist(&demo, "del l", 0, &[]);
    insist(&demo, "status", 0, &["a-0", "its volume is full: "]);
    insist(&demo, "doctor", 1, &["volume of node a-0", "it is full: ", "grow it"]);

    leave(&demo, KEPT_FREE / 4);
    let del = ["del", "l", "--timeout", "2s"];
    let refused = ends(&demo, &del, 5).await;
    assert!(refused.contains("the volume of this node is full"), "{refused}");
    for write in ["put k x --timeout 2s", "del k --timeout 2s --direct"] {
        insist(&demo, write, 5, &["the volume of this node is full"]);
    }
    insist(&demo, "get k", 0, &["v"]);

    std::fs::remove_file(ballast(&demo)).unwrap();
    ends(&demo, &put, 0).await;
    insist(&demo, "del k", 0, &[]);
}
