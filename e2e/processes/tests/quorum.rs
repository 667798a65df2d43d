//! What a cluster of five can do without two of its nodes, and without three.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::wait::until;
use doug_process_tests::writers::{Outcome, outcome};
use doug_proto::v1::Consistency;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the end client gives its requests.
const DEADLINE: Duration = Duration::from_secs(2);
/// An answer at the deadline takes a moment to arrive.
const ARRIVAL: Duration = Duration::from_millis(500);
const KEYS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_down_changes_nothing_and_three_down_is_said_and_survived() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let (in_a, in_b) = keys_of_both(&demo).await;
    let mut ledger = write_all(&demo, in_a.iter().chain(&in_b), "before").await;

    // The leader of a partition stays, so that writes to it can still be proposed.
    let partition = demo.map().await.partition_of(&in_a[0]).id;
    let (leader, _) = demo.leader(partition).await;
    let names = demo.nodes();
    let others = names.iter().filter(|name| name.starts_with("a-") && **name != leader);
    let others: Vec<String> = others.cloned().collect();

    demo.signal(&others[..2], Signal::KILL);
    ledger.extend(write_all(&demo, in_a.iter().chain(&in_b), "two down").await);
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;

    demo.signal(&others[2..3], Signal::KILL);
    let proposed = proposed_ones_end_unknown(&demo, &leader, partition, &in_a).await;
    let refused = new_ones_are_refused_within_the_deadline(&demo, &in_a).await;
    eventual_reads_are_served(&demo, &ledger, &in_a).await;
    ledger.extend(write_all(&demo, in_b.iter(), "three of a down").await);

    demo.act("restart", &others[2..3]);
    recovers_by_itself(&demo, &in_a[0]).await;
    never_executed(&demo, &refused).await;
    either_old_or_new(&demo, &ledger, &proposed).await;
    for key in proposed.keys().chain([&in_a[0]]) {
        ledger.remove(key);
    }
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
}

async fn keys_of_both(demo: &Demo) -> (Vec<Bytes>, Vec<Bytes>) {
    let map = demo.map().await;
    let keys = (0..KEYS).map(|number| Bytes::from(format!("quorum/{number}")));
    keys.partition(|key| map.partition_of(key).cluster == "a")
}

async fn write_all<'a>(
    demo: &Demo,
    keys: impl Iterator<Item = &'a Bytes>,
    value: &'static str,
) -> Ledger {
    let client = demo.client().await;
    let mut ledger = Ledger::new();
    for key in keys {
        client.put(key.clone(), value, If::Always).await.expect("a majority is there");
        ledger.insert(key.clone(), value.into());
    }
    ledger
}

/// Writes to the leader right after the majority has gone: it has no way to know
/// yet, proposes them, and can never say what became of them.
async fn proposed_ones_end_unknown(
    demo: &Demo,
    leader: &str,
    partition: u64,
    keys: &[Bytes],
) -> BTreeMap<Bytes, &'static str> {
    let map = demo.map().await;
    let node = demo.node(leader);
    let mine = keys.iter().filter(|key| map.partition_of(key).id == partition).skip(1);
    let writes = mine.map(|key| {
        let node = node.clone();
        async move {
            let began = Instant::now();
            let answer = node.put(&text(key), "proposed", DEADLINE).await;
            assert!(began.elapsed() <= DEADLINE + ARRIVAL, "late: {:?}", began.elapsed());
            (key.clone(), outcome(answer.map(|put| put.condition_met)))
        }
    });
    let outcomes = futures::future::join_all(writes).await;
    assert!(outcomes.iter().all(|(_, outcome)| *outcome != Outcome::Acknowledged), "no majority");
    let unknown = outcomes.into_iter().filter(|(_, outcome)| *outcome == Outcome::Unknown);
    let unknown: BTreeMap<Bytes, &str> = unknown.map(|(key, _)| (key, "proposed")).collect();
    assert!(!unknown.is_empty(), "the leader noticed before anything could be proposed");
    println!("{} proposed writes ended unknown", unknown.len());
    unknown
}

/// By now no node of the cluster leads.
async fn new_ones_are_refused_within_the_deadline(demo: &Demo, keys: &[Bytes]) -> Vec<String> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let facade = demo.facade();
    let writes = keys.iter().take(20).map(|key| {
        let (facade, key) = (facade.clone(), format!("{}/refused", text(key)));
        async move {
            let began = Instant::now();
            let answer = facade.put(&key, "never", DEADLINE).await;
            assert!(began.elapsed() <= DEADLINE + ARRIVAL, "late: {:?}", began.elapsed());
            (key, answer.map(|put| put.condition_met))
        }
    });
    let map = demo.map().await;
    let mut refused = Vec::new();
    for (key, answer) in futures::future::join_all(writes).await {
        // A longer key may lie in the other cluster, which goes on.
        if map.partition_of(key.as_bytes()).cluster != "a" {
            assert_eq!(answer, Ok(true), "the other cluster goes on");
            continue;
        }
        let fault = answer.expect_err("there is no majority");
        assert_eq!(fault.code, tonic::Code::Unavailable, "{fault:?}");
        assert!(fault.is_not_executed(), "{fault:?}");
        refused.push(key);
    }
    assert!(!refused.is_empty());
    println!("{} new writes were refused", refused.len());
    refused
}

async fn eventual_reads_are_served(demo: &Demo, ledger: &Ledger, keys: &[Bytes]) {
    let facade = demo.facade();
    for key in keys {
        let answer = facade.get(&text(key), Consistency::Eventual, DEADLINE).await;
        let answer = answer.unwrap_or_else(|error| panic!("reading {key:?}: {error}"));
        assert_eq!(Some(&answer.value), ledger.get(key), "{key:?}");
    }
}

async fn recovers_by_itself(demo: &Demo, key: &Bytes) {
    let began = Instant::now();
    let facade = demo.facade();
    until("a write succeeds again", Duration::from_secs(20), || async {
        facade.put(&text(key), "recovered", DEADLINE).await.ok()
    })
    .await;
    println!("writes went on {:.1?} after a third node was back", began.elapsed());
}

async fn never_executed(demo: &Demo, keys: &[String]) {
    let client = demo.client().await;
    for key in keys {
        let answer = client.get(key.clone(), Read::Linearizable).await.expect("an answer");
        assert!(!answer.found, "{key} was promised never to be applied");
    }
}

async fn either_old_or_new(demo: &Demo, old: &Ledger, new: &BTreeMap<Bytes, &str>) {
    let client = demo.client().await;
    for (key, new) in new {
        let answer = client.get(key.clone(), Read::Linearizable).await.expect("an answer");
        let value = answer.value;
        assert!(value == new.as_bytes() || Some(&value) == old.get(key), "{key:?} is {value:?}");
    }
}

fn text(key: &Bytes) -> String {
    String::from_utf8(key.to_vec()).expect("the test's keys are texts")
}
