//! A database is filled: nearly full is said, full refuses writes in words while
//! reads go on and no process ends, and a greater size declared mends it.

use doug_kubernetes_tests::command::{self, Ended};
use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use serde_json::json;

/// Runs `doug` against the database.
fn doug(database: &Database<'_>, pod: &str, arguments: &[&str]) -> Ended {
    let endpoint = database.endpoint();
    let to = ["--endpoint", &endpoint, "--timeout", "3s"];
    command::run(database.namespace(), pod, &[arguments, &to[..]].concat())
}

#[test]
fn a_full_volume_refuses_writes_reads_on_and_recovers() {
    let namespace = Namespace::new("fills");
    // One partition, so that one node decides.
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi").partitions(1);
    let database = Database::create(&namespace, &manifest);
    let first = doug(&database, "first", &["put", "first", "one"]);
    assert!(first.succeeded, "{first:?}");

    let endpoint = database.endpoint();
    let fill = ["bench", "--op", "put", "--clients", "16", "--value-size", "64KiB"];
    let there = ["--duration", "10m", "--timeout", "2s", "--endpoint", &endpoint];
    command::start(&namespace, "filler", &[&fill[..], &there[..]].concat());
    let degraded =
        database.await_condition("Degraded", seconds(120), |one| one.reason == "VolumesNearlyFull");
    assert!(degraded.message.contains("a-"), "which nodes: {degraded:?}");
    // While two volumes of three fill up, the leadership may be on its way to the third: a write
    // then finds no leader within its three seconds. That passes, and the refusal is in words.
    let put = || doug(&database, "refused", &["put", "more", "two"]);
    until("a write is refused because the volume is full", seconds(120), || {
        let put = put();
        (!put.succeeded && put.said.contains("full")).then_some(())
    });
    let read = doug(&database, "read", &["get", "first"]);
    assert_eq!(read.said.trim(), "one", "reads go on: {read:?}");
    command::remove(&namespace, "filler");

    database.patch(&json!({"node": {"storage": {"size": "768Mi"}}}));
    until("writes are taken again", seconds(120), || {
        doug(&database, "again", &["put", "again", "three"]).succeeded.then_some(())
    });
    database.await_condition("Degraded", seconds(60), |one| one.status == "False");
    database.await_settled(seconds(60));
    for pod in database.pods("node") {
        assert_eq!(pod.restarts(), 0, "{} ended when its volume was full", pod.name());
    }
    let read = doug(&database, "after", &["get", "first"]);
    assert_eq!(read.said.trim(), "one", "nothing is lost: {read:?}");
}
