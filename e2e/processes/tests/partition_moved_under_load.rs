//! Partitions go to another cluster and back while clients write and read.

use bytes::Bytes;
use doug_client::{If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::load::{Load, insist_on_no_failure};
use doug_process_tests::wait::until;
use doug_proto::map::PartitionMap;
use futures::StreamExt;
use std::time::Duration;

/// More than the log keeps for a replica that lags, so that learners begin with a snapshot.
const KEYS: usize = 2_000;
const VALUE: usize = 16 << 10;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_no_write_is_lost() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &["--partitions", "4"]).await;
    let before = demo.map().await;
    let ledger = write_all(&demo).await;

    let load = Load::start(&demo.endpoint(), "move", CLIENTS).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let printed = demo.insist(&["partition", "move", "1", "--to", "b"]);
    assert!(printed.contains("partition 1 is in cluster b, on b-"), "{printed}");
    demo.insist(&["partition", "move", "--all", "--to", "b", "--at-once", "2"]);
    emptied(&demo, "a").await;
    demo.insist(&["partition", "move", "1-2,4", "--to", "a"]);
    let report = load.end().await;

    insist_on_no_failure(&report);
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    let after = until("the map is there", Duration::from_secs(10), || async {
        let map = demo.map().await;
        (clusters(&map) == ["a", "a", "b", "a", "b"]).then_some(map)
    })
    .await;
    assert!(after.epoch > before.epoch);
    assert!(after.partitions.iter().all(|partition| partition.is_at_rest()));
    demo.insist_on_health();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_to_do_and_a_goal_can_be_given_up() {
    let folder = demo::folder();
    let options = ["--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let refused = |arguments: &[&str]| {
        let output = demo.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8(output.stderr).expect("text")
    };
    let unknown = refused(&["partition", "move", "1", "--to", "z"]);
    assert!(unknown.contains("there is no cluster z: there are a, b"), "{unknown}");
    let unknown = refused(&["partition", "move", "7", "--to", "b"]);
    assert!(unknown.contains("there is no partition 7: there are 1 to 3"), "{unknown}");
    demo.insist(&["partition", "move", "1", "--to", "a"]);

    demo.act("kill", &["b-0".to_owned()]);
    let silent = refused(&["partition", "move", "1", "--to", "b"]);
    assert!(silent.contains("b-0") && silent.contains("doug member replace"), "{silent}");
    demo.act("restart", &["b-0".to_owned()]);
    demo.all_ready().await;

    // Wherever that was by then: afterwards nothing is under way.
    demo.insist(&["partition", "move", "1", "--to", "b", "--no-wait"]);
    demo.insist(&["partition", "cancel", "1"]);
    let listed = demo.insist(&["partition", "list", "1", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let partition = &listed["partitions"][0];
    assert!(partition["goal"].is_null() && partition["learners"] == serde_json::json!([]));
}

async fn write_all(demo: &Demo) -> Ledger {
    let client = demo.client().await;
    let records = (0..KEYS).map(|number| {
        let key = Bytes::from(format!("moved/{number}"));
        // Values that do not compress to nothing.
        let mut state = number as u64 + 1;
        let word = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (key, (0..VALUE / 8).flat_map(word).collect::<Bytes>())
    });
    let ledger: Ledger = records.collect();
    let writes = futures::stream::iter(&ledger).map(|(key, value)| {
        let client = &client;
        async move { client.put(key.clone(), value.clone(), If::Always).await.expect("a write") }
    });
    writes.buffer_unordered(64).collect::<Vec<_>>().await;
    ledger
}

fn clusters(map: &PartitionMap) -> Vec<&str> {
    let mut partitions: Vec<_> = map.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.id);
    partitions.into_iter().map(|partition| partition.cluster.as_str()).collect()
}

/// The command ends only once the old replicas are gone.
async fn emptied(demo: &Demo, cluster: &str) {
    let status = demo.facade().status().await.expect("a status");
    let nodes = status.nodes.iter().filter(|node| node.cluster == cluster);
    let left: Vec<_> = nodes.filter(|node| !node.replicas.is_empty()).map(|n| &n.name).collect();
    assert!(left.is_empty(), "these hold replicas still: {left:?}");
}
