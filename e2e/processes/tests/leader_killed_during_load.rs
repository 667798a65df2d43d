//! A leader dies in the middle of a load.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_client::{Range, Read, ScanOptions, v1};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::wait::until;
use doug_process_tests::writers::{Outcome, Writers};
use doug_process_tests::{inputs, ledger, program};
use rustix::process::Signal;
use std::process::Stdio;
use std::time::Duration;

/// Where everything is read from, and what the writers' keys begin with: no word does.
const PREFIX: &str = "\u{1}once/";

#[tokio::test(flavor = "multi_thread")]
async fn the_load_ends_without_an_error_and_nothing_is_lost_or_applied_twice() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let client = demo.client().await;
    let map = demo.map().await;
    let words = inputs::words();

    let mut load = program::command(folder.path());
    load.args(["load", inputs::WORDS, "--format", "lines"]).env("DOUG_ENDPOINT", demo.endpoint());
    let load = load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The list is loaded in its order: this word is there when a fifth of all are.
    let fifth = words.iter().find(|(_, line)| **line == *(words.len() / 5).to_string());
    let fifth = fifth.expect("the line exists").0.clone();
    until("a fifth is loaded", Duration::from_secs(120), || async {
        client.get(fifth.clone(), Read::Linearizable).await.ok()?.found.then_some(())
    })
    .await;

    let partition = map.partition_of(&fifth).id;
    let in_partition = {
        let map = map.clone();
        move |key: &[u8]| map.partition_of(key).id == partition
    };
    let writers = Writers::start(&client, 4, PREFIX, in_partition);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (killed, term) = demo.leader(partition).await;
    demo.signal(std::slice::from_ref(&killed), Signal::KILL);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = writers.stop().await;
    let (_, new_term) = demo.leader(partition).await;
    assert!(new_term > term, "nobody else leads partition {partition}");

    let output = tokio::task::spawn_blocking(|| load.wait_with_output()).await.expect("joined");
    let output = output.expect("the load can be waited for");
    assert!(output.status.success(), "the load failed: {}", program::printed(&output));
    println!("gap until the next acknowledged write: {:.0?}", written.longest_gap);

    nothing_is_lost(&demo, &words).await;
    nothing_was_applied_twice(&demo, &written).await;
    demo.act("restart", &[killed]);
    demo.all_ready().await;
}

async fn nothing_is_lost(demo: &Demo, words: &ledger::Ledger) {
    let client = demo.client().await;
    ledger::insist(&client, words, Read::Linearizable).await;
}

/// Each of these keys was written by one conditional write: if absent. Had one
/// been applied and then tried again as something new, it would have been
/// answered that the key is there already.
async fn nothing_was_applied_twice(demo: &Demo, written: &doug_process_tests::writers::Written) {
    let refused: Vec<_> = written.keys(Outcome::Refused).take(5).collect();
    assert!(refused.is_empty(), "applied, then tried again: {refused:?}");
    let client = demo.client().await;
    let mut there = std::collections::BTreeSet::new();
    let mut token = bytes::Bytes::new();
    loop {
        let options = ScanOptions { page_limit: 10_000, ..Default::default() };
        let page: v1::ScanResponse =
            client.scan_page(&Range::prefix(PREFIX), &options, token).await.expect("a page");
        there.extend(page.entries.into_iter().map(|entry| entry.key));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let lost = written.keys(Outcome::Acknowledged).find(|key| !there.contains(*key));
    assert_eq!(lost, None, "acknowledged and lost");
    let undead = written.keys(Outcome::NotExecuted).find(|key| there.contains(*key));
    assert_eq!(undead, None, "promised never to be applied, and yet there");
    println!(
        "{} writes acknowledged, {} unknown, {} not executed",
        written.count(Outcome::Acknowledged),
        written.count(Outcome::Unknown),
        written.count(Outcome::NotExecuted)
    );
}
