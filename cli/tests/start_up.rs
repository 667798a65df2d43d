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

/// Arenas of the C library's allocator beside the first: each reserves 64 MiB of addresses, of
/// which a part can be used.
fn arenas(process: u32) -> usize {
    const RESERVED: u64 = 64 << 20;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let ranges: Vec<(u64, u64)> = maps
        .lines()
        .map(|line| {
            let (range, _) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let parse = |address| u64::from_str_radix(address, 16).unwrap();
            (parse(from), parse(to))
        })
        .collect();
    let is_arena = |pair: &&[(u64, u64)]| {
        let (used, rest) = (pair[0], pair[1]);
        used.0 % RESERVED == 0 && used.1 == rest.0 && rest.1 - used.0 == RESERVED
    };
    ranges.windows(2).filter(is_arena).count()
}

#[cfg(target_env = "gnu")]
#[test]
fn a_server_keeps_freed_memory_in_no_more_arenas_than_it_has_cores() {
    let data = tempfile::tempdir().unwrap();
    let ports: Vec<_> =
        (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |at: usize| ports[at].local_addr().unwrap().port().to_string();
    let named = ["--doug-port", "--raft-port", "--admin-port", "--http-port"];
    let mut node = std::process::Command::new(env!("CARGO_BIN_EXE_doug"));
    node.arg("node").arg("--data").arg(data.path()).args(["--name", "a-0", "--cluster", "a"]);
    node.args(named.iter().enumerate().flat_map(|(at, name)| [(*name).to_owned(), port(at)]));
    let probe = format!("127.0.0.1:{}", port(3));
    drop(ports);
    let mut node = node.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while std::net::TcpStream::connect(&probe).is_err() {
        assert!(node.try_wait().unwrap().is_none(), "the node runs");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (threads, arenas) = (threads(node.id()), arenas(node.id()));
    node.kill().unwrap();
    node.wait().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get().clamp(2, 8);
    assert!(threads > cores, "{threads} threads");
    assert!(arenas < cores, "{arenas} arenas beside the first");
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
