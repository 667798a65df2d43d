//! What one command costs before and beside its operation, counted and not timed: connections,
//! requests and threads. A duration would say more about the machine than about the program.

mod support;

use std::process::Stdio;
use support::{Asked, facade};

/// How many threads a process has.
fn threads(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

/// Runs `doug`. What the facade was asked, and how many threads the command had when it
/// waited for its answer.
async fn cost(arguments: &[&str]) -> (Vec<Asked>, usize) {
    let (address, mut hears, may_answer) = facade().await;
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_doug"))
        .args(arguments)
        .args(["--timeout", "60s"])
        .env("DOUG_ENDPOINT", address.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut asked = Vec::new();
    while !matches!(asked.last(), Some(Asked::Get(_) | Asked::Put(_))) {
        asked.push(hears.recv().await.unwrap());
    }
    let threads = threads(child.id().unwrap());
    may_answer.add_permits(1);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    while let Ok(more) = hears.try_recv() {
        asked.push(more);
    }
    (asked, threads)
}

#[tokio::test]
async fn a_get_through_a_facade_is_one_connection_and_one_request_without_further_threads() {
    let (asked, threads) = cost(&["get", "k"]).await;
    assert!(matches!(&asked[..], [Asked::Connection, Asked::Get(_)]), "{asked:?}");
    assert_eq!(threads, 1);
}

#[tokio::test]
async fn a_put_through_a_facade_is_one_connection_and_one_request_without_further_threads() {
    let (asked, threads) = cost(&["put", "k", "v"]).await;
    assert!(matches!(&asked[..], [Asked::Connection, Asked::Put(_)]), "{asked:?}");
    assert_eq!(threads, 1);
}
