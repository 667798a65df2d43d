//! Table files of a node are corrupted on disk.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::load::{Load, insist_on_no_failure};
use doug_process_tests::wait::until;
use doug_proto::map::KeyspaceId;
use doug_proto::v1::Consistency;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const DAMAGED: &str = "a-1";
const KEYS: usize = 1_500;
const VALUE: usize = 8 << 10;
/// How long clients are at work before and after.
const BESIDE: Duration = Duration::from_secs(1);
/// A read or a compaction must come by, then the group takes a new member in.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_is_down_its_replicas_are_rebuilt_under_new_ids_while_all_goes_on() {
    let folder = demo::folder();
    let demo = start(folder.path()).await;
    let ledger = write_all(&demo).await;
    let before = replicas(&demo, DAMAGED).await;
    let load = Load::start(&demo.endpoint(), "damage", 6).await;
    tokio::time::sleep(BESIDE).await;

    demo.act("kill", &[DAMAGED.to_owned()]);
    let flipped = flip(&demo, |length| length - 24);
    demo.act("restart", &[DAMAGED.to_owned()]);
    println!("{flipped} files damaged");
    rebuilt(&demo, &before).await;
    tokio::time::sleep(BESIDE).await;
    insist_on_no_failure(&load.end().await);
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    holds_everything(&demo, &ledger).await;
    demo.insist_on_health();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_runs_its_replicas_are_rebuilt_under_new_ids_while_all_goes_on() {
    let folder = demo::folder();
    let demo = start(folder.path()).await;
    let ledger = write_all(&demo).await;
    let before = replicas(&demo, DAMAGED).await;
    let load = Load::start(&demo.endpoint(), "damage", 6).await;
    tokio::time::sleep(BESIDE).await;

    // The caches hold what was just flushed.
    demo.act("restart", &[DAMAGED.to_owned()]);
    demo.all_ready().await;
    let flipped = flip(&demo, |length| length / 3);
    println!("{flipped} files damaged");
    // Reads find it. What they are told is an error, or right.
    let node = demo.node(DAMAGED);
    let reading = async {
        for (key, value) in ledger.iter().cycle() {
            let key = std::str::from_utf8(key).expect("text");
            let answer = node.get(key, Consistency::Eventual, Duration::from_secs(2)).await;
            if let Ok(answer) = answer
                && answer.found
            {
                assert_eq!(answer.value, *value, "{key}");
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = rebuilt(&demo, &before) => {}
    }
    tokio::time::sleep(BESIDE).await;
    insist_on_no_failure(&load.end().await);
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    holds_everything(&demo, &ledger).await;
    demo.insist_on_health();
}

async fn start(folder: &Path) -> Demo {
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", "2"];
    Demo::start(folder, &options).await
}

/// Enough for tables: several memtables in each partition.
async fn write_all(demo: &Demo) -> Ledger {
    let client = demo.client().await;
    let record = |number: usize| {
        let key = Bytes::from(format!("damaged/{number}"));
        let mut state = number as u64 + 1;
        let word = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state ^ state >> 29).to_le_bytes()
        };
        (key, (0..VALUE / 8).flat_map(word).collect::<Bytes>())
    };
    let ledger: Ledger = (0..KEYS).map(record).collect();
    let writes = futures::stream::iter(&ledger).map(|(key, value)| {
        let client = &client;
        async move { client.put(key.clone(), value.clone(), If::Always).await.expect("a write") }
    });
    writes.buffer_unordered(64).collect::<Vec<_>>().await;
    let tables = demo.data().join("nodes").join(DAMAGED).join("sst");
    until("there are tables", PATIENCE, || async {
        (std::fs::read_dir(&tables).into_iter().flatten().count() >= 2).then_some(())
    })
    .await;
    ledger
}

/// Flips bytes of every table, each at the place that its length decides.
fn flip(demo: &Demo, place: impl Fn(u64) -> u64) -> usize {
    let tables = demo.data().join("nodes").join(DAMAGED).join("sst");
    let mut count = 0;
    for entry in std::fs::read_dir(tables).expect("a folder").flatten() {
        // One that a compaction has just left behind may be gone by now.
        let file = std::fs::File::options().read(true).write(true).open(entry.path());
        let Ok(file) = file else { continue };
        let length = file.metadata().expect("a length").len();
        let at = place(length);
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, at).expect("it is longer");
        for byte in &mut bytes {
            *byte ^= 0xa5;
        }
        file.write_all_at(&bytes, at).expect("it can be written");
        count += 1;
    }
    assert!(count > 0, "there are no tables");
    count
}

/// Replica ids on a node, by partition; without those that are damaged.
async fn replicas(demo: &Demo, node: &str) -> BTreeMap<u64, u64> {
    let Ok(status) = demo.node(node).status().await else { return BTreeMap::new() };
    let replicas = status.nodes.into_iter().flat_map(|node| node.replicas);
    let sound = replicas.filter(|replica| replica.damage.is_empty());
    sound.map(|replica| (replica.partition, replica.replica)).collect()
}

async fn rebuilt(demo: &Demo, before: &BTreeMap<u64, u64>) {
    until("every replica of the node has a successor", PATIENCE, || async {
        let now = replicas(demo, DAMAGED).await;
        let map = demo.map().await;
        // The catalog has one key, and no table that could be damaged.
        let successors = map.partitions_in(KeyspaceId::DEFAULT).iter().all(|partition| {
            now.get(&partition.id).is_some_and(|replica| {
                *replica > before[&partition.id] && partition.member(*replica).is_some()
            }) && partition.is_at_rest()
        });
        successors.then_some(())
    })
    .await;
    demo.all_ready().await;
}

/// The rebuilt replicas themselves have all that was written.
async fn holds_everything(demo: &Demo, ledger: &Ledger) {
    let node = demo.node(DAMAGED);
    for (key, value) in ledger {
        let key = std::str::from_utf8(key).expect("text");
        let answer = node.get(key, Consistency::Eventual, Duration::from_secs(5)).await;
        assert_eq!(answer.expect("an answer").value, *value, "{key}");
    }
}
