//! Keys that expire while their leader is killed: none early, all in the end, none by another's
//! clock; and what the program says of them.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{Client, If, Range, Read, ScanOptions};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::wait::until;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(4);
const KEYS: usize = 200;
/// By how much the clock of a batch may be behind that of this machine: what the leader has heard
/// last of the others, advanced by its own.
const BEHIND: Duration = Duration::from_millis(500);

async fn left(client: &Client) -> usize {
    let (range, options) = (Range::prefix("mortal/"), ScanOptions::default());
    let page = client.scan_page(&range, &options, Bytes::new()).await;
    page.expect("they can be read").entries.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_expire_when_they_are_due_and_not_before_while_their_leader_is_killed() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let client = demo.client().await;
    let partition = demo.map().await.partition_of(b"mortal/0").id;

    let began = Instant::now();
    for number in 0..KEYS {
        let put = client.put_expiring(format!("mortal/{number}"), "v", If::Always, TTL);
        put.await.expect("it is written");
    }
    client.put_expiring("kept", "v", If::Always, TTL).await.expect("it is written");
    client.put("kept", "v", If::Always).await.expect("it is written");
    let (killed, _) = demo.leader(partition).await;
    demo.signal(std::slice::from_ref(&killed), Signal::KILL);
    until("every key has expired", Duration::from_secs(60), || async {
        let left = left(&client).await;
        let looked = began.elapsed();
        assert!(left == KEYS || looked + BEHIND >= TTL, "{left} are left after {looked:?}");
        (left == 0).then_some(())
    })
    .await;
    assert!(client.get("kept", Read::Linearizable).await.expect("it can be read").found);

    demo.insist(&["put", "session", "alice", "--ttl", "1h"]);
    let told = demo.insist(&["ttl", "session"]);
    assert!(told.contains(", in 59 m") || told.contains(", in 60 m"), "{told}");
    demo.insist(&["put", "session", "alice"]);
    assert_eq!(demo.insist(&["ttl", "session"]).trim(), "never");
    let refused = demo.run(&["put", "session", "alice", "--ttl", "0s"]);
    assert!(!refused.status.success());
    assert_eq!(demo.run(&["ttl", "mortal/0"]).status.code(), Some(3));
    demo.act("restart", &[killed]);
    demo.all_ready().await;
}
