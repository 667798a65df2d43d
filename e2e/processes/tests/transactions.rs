//! Increments by the library while their leader is killed, and transactions by the program.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_client::{Client, Read};
use doug_process_tests::demo::{self, Demo};
use rustix::process::Signal;
use std::time::Duration;
use tokio::task::JoinSet;

const KEY: &str = "hits";
const WRITERS: usize = 8;

/// How many increments were acknowledged, and how many may or may not have been applied.
#[derive(Debug, Default)]
struct Told {
    known: i64,
    unknown: i64,
}

async fn increment(client: Client, until: tokio::time::Instant) -> Told {
    let mut told = Told::default();
    while tokio::time::Instant::now() < until {
        match client.increment(KEY, 1).await {
            Ok(_) => told.known += 1,
            Err(fault) if fault.is_not_executed() => {}
            Err(_) => told.unknown += 1,
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_apply_once_while_their_leader_is_killed_and_the_program_prints_every_answer() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let client = demo.client().await;
    let partition = demo.map().await.partition_of(KEY.as_bytes()).id;

    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut writers = JoinSet::new();
    (0..WRITERS).for_each(|_| drop(writers.spawn(increment(client.clone(), until))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (killed, _) = demo.leader(partition).await;
    demo.signal(std::slice::from_ref(&killed), Signal::KILL);
    let told = writers.join_all().await.into_iter().fold(Told::default(), |all, one| Told {
        known: all.known + one.known,
        unknown: all.unknown + one.unknown,
    });
    let found = client.get(KEY, Read::Linearizable).await.expect("it can be read");
    let sum: i64 = std::str::from_utf8(&found.value).unwrap().parse().expect("a number");
    assert!(
        told.known > 0 && told.known <= sum && sum <= told.known + told.unknown,
        "{sum} {told:?}"
    );

    assert_eq!(demo.insist(&["incr", KEY, "-3"]).trim(), (sum - 3).to_string());
    let script = folder.path().join("script.txt");
    let text = "if value hits > \"\"\nthen\nget hits\nput hits 7\nincr hits\nelse\ndel hits\n";
    std::fs::write(&script, text).unwrap();
    let script = script.to_str().expect("a path of the test is UTF-8");
    let expected = format!("get: {}\nput: done\nincr: 8\n", sum - 3);
    assert_eq!(demo.insist(&["txn", script]), expected);
    std::fs::write(
        script,
        "{\"if\":[{\"key\":\"hits\",\"exists\":false}],\"else\":[{\"get\":{\"key\":\"hits\"}}]}",
    )
    .unwrap();
    let unmet = demo.run(&["txn", script]);
    assert_eq!(unmet.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&unmet.stdout), "get: 8\n");

    demo.insist(&["put", KEY, "many"]);
    let refused = demo.run(&["incr", KEY]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("decimal text"));
    demo.act("restart", &[killed]);
    demo.all_ready().await;
}
