//! A machine that lets a process have 256 open files: more tables than that, idle connections
//! beside them, and starts again.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::ledger::{self, Ledger};
use futures::StreamExt;
use rustix::process::Signal;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const DESCRIPTORS: u64 = 256;
const PARTITIONS: &str = "200";
/// Writes, of so many bytes: several times what the memtables of all partitions may hold, so that
/// each partition leaves tables behind.
const WRITES: usize = 6_000;
const VALUE_BYTES: usize = 16 << 10;
/// At most this many idle connections, of which a node refuses what it has no room for.
const IDLE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_more_tables_than_open_files_serve_beside_idle_connections_and_start_again() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", PARTITIONS];
    let demo = Demo::start_with_descriptors(folder.path(), DESCRIPTORS, &options).await;
    let idle: Vec<_> = demo.nodes().iter().flat_map(|node| connections(&demo, node)).collect();
    let client = demo.client().await;
    let written = futures::stream::iter(0..WRITES).map(|n| {
        let client = &client;
        async move {
            let (key, value) = (Bytes::from(format!("key {n}")), value(n));
            client.put(key.clone(), value.clone(), If::Always).await.expect("it is written");
            (key, value)
        }
    });
    let written: Ledger = written.buffer_unordered(64).collect().await;
    for node in demo.nodes() {
        let tables = tables(&demo.data().join("nodes").join(&node));
        println!("{node} has {tables} tables");
        assert!(tables as u64 > DESCRIPTORS, "{node} has {tables} tables");
    }
    ledger::insist(&client, &written, Read::Linearizable).await;

    demo.signal(&demo.nodes(), Signal::KILL);
    demo.act("restart", &demo.nodes());
    demo.all_ready().await;
    ledger::insist(&client, &written, Read::Linearizable).await;
    drop(idle);
    demo.insist_on_health();
}

/// Connections to a node on which nothing is ever asked.
fn connections(demo: &Demo, node: &str) -> Vec<TcpStream> {
    let address = demo.address(node).parse().expect("an address");
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok();
    (0..IDLE).filter_map(connect).collect()
}

/// Table files of a node.
fn tables(data: &Path) -> usize {
    std::fs::read_dir(data.join("sst")).expect("a node has tables").count()
}

/// Bytes that do not compress.
fn value(n: usize) -> Bytes {
    let mut state = n as u64 + 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(VALUE_BYTES / 8).flatten().collect()
}
