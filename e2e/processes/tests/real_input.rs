//! Real input through the facade, into two clusters of eight partitions, read
//! back in every way there is.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_client::{Client, PartitionMap, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::inputs;
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::program::printed;
use doug_proto::map::KeyspaceId;
use doug_proto::v1;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_read_back_equal_linearizably_and_from_followers() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let code_points = ["load", inputs::UNICODE, "--format", "csv", "--delimiter", ";"];
    load(&demo, &[&code_points[..], &["--key-column", "1"]].concat());
    load(&demo, &["load", inputs::WORDS, "--format", "lines"]);

    let mut records = inputs::words();
    let words = records.len();
    let unicode = inputs::unicode();
    assert_eq!((unicode.len(), words), (34_924, 663_473), "the input is not what is known of it");
    // Some words are code points, too (`FACE`): whoever was loaded last has them.
    let mut expected = unicode;
    expected.append(&mut records);

    let client = demo.client().await;
    let began = Instant::now();
    ledger::insist(&client, &expected, Read::Linearizable).await;
    let rate = expected.len() as f64 / began.elapsed().as_secs_f64();
    println!("{} records read back linearizably: {rate:.0}/s", expected.len());
    every_follower_has(&demo, &expected).await;
    a_follower_answers_gets(&demo, &expected).await;
}

fn load(demo: &Demo, arguments: &[&str]) {
    let began = Instant::now();
    let output = demo.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    println!("{arguments:?} took {:.1?}", began.elapsed());
}

/// Scans every partition on every node that holds it, at a bounded staleness
/// that excludes everything but the whole of the data.
async fn every_follower_has(demo: &Demo, expected: &Ledger) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let map = demo.map().await;
    let mut parts: BTreeMap<u64, Ledger> = BTreeMap::new();
    for (key, value) in expected {
        let part = parts.entry(map.partition_of(key).id).or_default();
        part.insert(key.clone(), value.clone());
    }
    let mut followers = 0;
    for (partition, part) in &parts {
        let partition = map.partition(*partition).expect("a partition of the map");
        for voter in &partition.voters {
            let node = map.node(voter.node).expect("a node of the map");
            let (found, as_leader) = scan(demo, &map, &node.name, partition.id).await;
            assert!(found == *part, "{} differs in partition {}", node.name, partition.id);
            followers += usize::from(!as_leader);
        }
    }
    assert_eq!(followers, parts.len() * 4, "of five replicas, four are followers");
    println!("{followers} followers hold every record of their partition");
}

async fn scan(demo: &Demo, map: &PartitionMap, node: &str, partition: u64) -> (Ledger, bool) {
    let target = v1::Target { partition, database: map.database.to_string(), generation: 0 };
    let read = Read::Bounded(Duration::from_millis(500)).to_wire();
    let mut request =
        v1::ScanRequest { limit: 10_000, read, target: Some(target), ..Default::default() };
    let node = demo.node(node);
    let mut found = Ledger::new();
    loop {
        let page = node.scan(request.clone()).await.expect("a page");
        found.extend(page.entries.into_iter().map(|entry| (entry.key, entry.value)));
        if page.next_page_token.is_empty() {
            return (found, page.header.expect("a header").leader);
        }
        request.page_token = page.next_page_token;
    }
}

/// Gets, not scans, of a part of the records, from one follower of each cluster.
async fn a_follower_answers_gets(demo: &Demo, expected: &Ledger) {
    let map = demo.map().await;
    for cluster in ["a", "b"] {
        let partitions = map.partitions_in(KeyspaceId::DEFAULT).iter();
        let partitions = partitions.filter(|partition| partition.cluster == cluster);
        for partition in partitions {
            let (leader, _) = demo.leader(partition.id).await;
            let nodes = demo.nodes();
            let follower = nodes.iter().find(|name| name.starts_with(cluster) && **name != leader);
            let address = demo.address(follower.expect("a follower"));
            let client = Client::builder().endpoints([address]).connect().await.expect("a client");
            let part = expected.iter().filter(|(key, _)| map.partition_of(key).id == partition.id);
            let part: Ledger = part.step_by(20).map(|(k, v)| (k.clone(), v.clone())).collect();
            for read in [Read::Bounded(Duration::from_millis(500)), Read::Eventual] {
                ledger::insist(&client, &part, read).await;
            }
            let key = part.keys().next().expect("a record").clone();
            let answer = client.get(key, Read::Eventual).await.expect("an answer");
            assert!(!answer.header.expect("a header").leader, "a follower was asked");
        }
    }
}
