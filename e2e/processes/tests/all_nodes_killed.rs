//! Every node dies at once, during writes.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_client::Read;
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use doug_process_tests::writers::{Outcome, Writers};
use rustix::process::Signal;
use std::time::Duration;

const ROUNDS: usize = 3;
const WRITERS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_is_there_after_all_nodes_were_killed() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let client = demo.client().await;
    let mut acknowledged = Ledger::new();
    let mut never = Vec::new();
    for round in 0..ROUNDS {
        let writers = Writers::start(&client, WRITERS, &format!("{round}/"), |_| true);
        tokio::time::sleep(Duration::from_secs(1)).await;
        demo.signal(&demo.nodes(), Signal::KILL);
        let written = writers.stop().await;
        demo.act("restart", &demo.nodes());

        let before = acknowledged.len();
        let keys = written.keys(Outcome::Acknowledged);
        acknowledged.extend(keys.map(|key| (key.clone(), key.clone())));
        never.extend(written.keys(Outcome::NotExecuted).cloned());
        assert_eq!(written.count(Outcome::Refused), 0, "applied, then tried again");
        assert!(acknowledged.len() > before + WRITERS, "there were hardly any writes");
        println!(
            "round {round}: {} acknowledged, {} unknown, {} not executed",
            acknowledged.len() - before,
            written.count(Outcome::Unknown),
            written.count(Outcome::NotExecuted)
        );
        demo.all_ready().await;
        ledger::insist(&client, &acknowledged, Read::Linearizable).await;
    }
    for key in never {
        let answer = client.get(key.clone(), Read::Linearizable).await.expect("an answer");
        assert!(!answer.found, "{key:?} was promised never to be applied");
    }
}
