//! A node that was away too long gets its partition as a snapshot, and dies while it arrives.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{Client, If};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::wait::until;
use doug_proto::v1::Consistency;
use futures::StreamExt;
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// Three times what the log keeps for a node that lags, in values that do not compress.
const KEYS: u64 = 3_000;
const VALUE: usize = 64 << 10;
const WRITES: usize = 32;
/// Tables that have arrived when the receiver is killed.
const ARRIVED: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_killed_half_way_is_sent_only_the_rest() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", "1"];
    let demo = Demo::start(folder.path(), &options).await;
    let (leader, _) = demo.leader(2).await;
    let names = demo.nodes();
    let follower = names.iter().find(|name| **name != leader).expect("three nodes").clone();
    let away = std::slice::from_ref(&follower);

    demo.signal(away, Signal::KILL);
    write_all(&demo.client().await).await;
    demo.act("restart", away);
    let incoming = demo.data().join("nodes").join(&follower).join("incoming");
    let half_way = || async { (tables(&incoming) >= ARRIVED).then_some(()) };
    until("some tables have arrived", Duration::from_secs(60), half_way).await;
    demo.signal(away, Signal::KILL);
    demo.act("restart", away);

    let log = demo.data().join("logs").join(format!("{follower}.log"));
    let said = || async { arrived(&log) };
    let (bytes, lacking) = until("a snapshot has arrived", Duration::from_secs(60), said).await;
    println!("of {bytes} bytes, {lacking} were still lacking when it came back");
    assert!(lacking < bytes, "it began anew");
    demo.all_ready().await;
    let node = demo.node(&follower);
    for key in (0..KEYS).step_by(97) {
        let read = node.get(&name(key), Consistency::Eventual, Duration::from_secs(5)).await;
        assert_eq!(read.expect("an answer").value, value(key), "{}", name(key));
    }
    let leftovers = || async { (files(&incoming) == 0).then_some(()) };
    until("nothing is left over", Duration::from_secs(10), leftovers).await;
}

fn name(key: u64) -> String {
    format!("snapshot/{key}")
}

fn value(key: u64) -> Bytes {
    let mut state = key + 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..VALUE / 8).flat_map(|_| word()).collect()
}

async fn write_all(client: &Client) {
    let writes = futures::stream::iter(0..KEYS).map(|key| async move {
        client.put(name(key), value(key), If::Always).await.expect("a majority is there");
    });
    writes.buffer_unordered(WRITES).collect::<Vec<()>>().await;
}

fn tables(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "sst")).count()
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).into_iter().flatten().count()
}

/// Once a snapshot is installed: its bytes, and how many of them were lacking at the last
/// attempt.
fn arrived(log: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(log).ok()?;
    // The catalog's may arrive as well, before or after.
    let lines = || text.lines().filter(|line| line.contains("replica=2/"));
    lines().find(|line| line.contains("a snapshot has arrived"))?;
    let last = lines().rfind(|line| line.contains("receiving a snapshot"))?;
    let number = |field: &str| {
        let (_, rest) = last.split_once(&format!(" {field}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some((number("bytes")?, number("lacking")?))
}
