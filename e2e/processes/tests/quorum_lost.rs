//! Three of five volumes are lost for good; `doug recover` begins their partitions anew.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::program;
use doug_process_tests::wait::until;
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

const KEYS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn what_the_survivors_hold_is_served_again_and_what_returns_is_refused() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let mut ledger = write(&demo, "before").await;
    // Followers learn of the last writes within a heartbeat or two.
    sleep(Duration::from_secs(2)).await;
    let lost: Vec<String> = ["a-0", "a-1", "a-2"].map(str::to_owned).into();
    let nobody = demo.run(&["recover", "--all", "--unsafe", "--confirm", "000000000000"]);
    assert!(nobody.status.success(), "nothing is lost yet: {}", program::printed(&nobody));

    demo.signal(&lost, Signal::KILL);
    sleep(Duration::from_secs(1)).await;
    let looked = demo.run(&["recover", "--all", "--unsafe", "--dry-run", "-o", "json"]);
    let said: Value = serde_json::from_slice(&looked.stdout).expect("JSON");
    let partitions = said["lost"].as_array().expect("partitions that lost their quorum");
    assert!(!partitions.is_empty() && partitions.iter().all(|p| p["survivors"][1].is_object()));
    assert!(said["decide"].as_u64() > Some(0), "those of cluster b go on: {said}");
    let another = demo.run(&["recover", "--all", "--unsafe", "--confirm", "0123456789ab"]);
    assert_eq!(another.status.code(), Some(2), "{}", program::printed(&another));

    let database = said["database"].as_str().expect("an id").to_owned();
    let recover =
        ["recover", "--all", "--unsafe", "--confirm", &database, "--by", "ann", "--timeout", "30s"];
    let done = demo.run(&recover);
    assert!(done.status.success(), "{}", program::printed(&done));
    println!("{}", program::printed(&done));
    served(&demo).await;
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    ledger.extend(write(&demo, "since").await);

    // They run again with their old volumes: the old groups have a majority there.
    demo.act("restart", &lost);
    old_replicas_leave(&demo, &lost).await;
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    let ids: Vec<String> = partitions.iter().map(|partition| partition["id"].to_string()).collect();
    demo.insist(&["partition", "move", &ids.join(","), "--to", "a", "--timeout", "30s"]);
    ledger.extend(write(&demo, "five again").await);
    ledger::insist(&demo.client().await, &ledger, Read::Linearizable).await;
    let status = demo.run(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let recorded = status["partitions"]
        .as_array()
        .expect("partitions")
        .iter()
        .filter(|partition| partition["recoveries"][0]["by"] == "ann");
    assert_eq!(recorded.count(), partitions.len());
}

async fn write(demo: &Demo, value: &'static str) -> Ledger {
    let client = demo.client().await;
    let mut ledger = Ledger::new();
    for number in 0..KEYS {
        let key = Bytes::from(format!("lost/{number}"));
        client.put(key.clone(), value, If::Always).await.expect("a majority is there");
        ledger.insert(key, value.into());
    }
    ledger
}

async fn served(demo: &Demo) {
    until("every partition has a leader", PATIENCE, || async {
        let status = demo.run(&["status"]);
        status.status.success().then_some(())
    })
    .await;
}

/// No node holds a replica that its group does not list.
async fn old_replicas_leave(demo: &Demo, lost: &[String]) {
    let facade = demo.facade();
    until("the old replicas are gone", PATIENCE, || async {
        let status = facade.status().await.ok()?;
        let returned: Vec<_> =
            status.nodes.iter().filter(|node| lost.contains(&node.name)).collect();
        let none_left = returned.iter().all(|node| node.replicas.is_empty());
        (returned.len() == lost.len() && !returned[0].version.is_empty() && none_left).then_some(())
    })
    .await;
}
