//! What a node has in memory stays within its budget and a quarter, whatever its clients do.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{Client, If};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::unfinished;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::doug_client::DougClient;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::{
    Consistency, GetRequest, ReadOptions, RegisterRequest, StreamOperation, StreamRequest, Target,
};
use futures::StreamExt;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

/// What the demo gives each node, and a quarter.
const ALLOWED: usize = (64 << 20) / 4 * 5;
const PARTITIONS: u64 = 16;
/// Of 4 KiB each, of which one of a hundred is kept.
const WRITES: usize = 10_000;
/// More than a node has room for.
const SESSIONS: u64 = 32_000;
/// How long there are only greedy clients: until the first of them are closed, and longer.
const GREEDY: Duration = Duration::from_secs(12);
/// How long answers that nobody reads are waited for.
const UNREAD: Duration = Duration::from_secs(60);
/// How long a facade tries again what nodes refuse.
const REFUSED: Duration = Duration::from_secs(4);
/// The key whose value is asked for, and not read.
const LARGE: &str = "large";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_to_its_budget_and_a_quarter_whatever_its_clients_do() {
    let folder = demo::folder();
    let partitions = PARTITIONS.to_string();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", &partitions];
    let demo = Demo::start(folder.path(), &options).await;
    let client = demo.client().await;
    client.put(LARGE, vec![b'v'; 1 << 20], If::Always).await.expect("it is written");
    insist(&demo, "at rest");

    one_of_a_hundred_writes_happens(&client, WRITES).await;
    insist(&demo, "one of a hundred conditional writes happens");

    assert!(register(&demo).await > 0, "sessions are refused at some point");
    insist(&demo, "sessions until they are refused");

    let mut greedy = greedy(&demo);
    tokio::time::sleep(GREEDY).await;
    insist(&demo, "answers that nobody reads, requests that never become whole");

    tokio::join!(one_of_a_hundred_writes_happens(&client, WRITES / 10), register(&demo));
    insist(&demo, "all at once");
    client.put("still", "served", If::Always).await.expect("others are served meanwhile");
    assert!(greedy.try_join_next().is_none(), "they go on all the while");
    drop(greedy);
    demo.insist_on_health();
}

/// Insists on what each node had in memory at most since the last call.
fn insist(demo: &Demo, what: &str) {
    for (node, pid) in demo.node_pids() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes = peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
        println!("{what}: {node} had {} MiB", kilobytes >> 10);
        assert!(kilobytes << 10 <= ALLOWED, "{what}: {node} had {kilobytes} KiB");
        // From now on the peak is counted anew (proc(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("its peak can be forgotten");
    }
}

/// 40 MiB of requests of which one hundredth is kept: whoever keeps what came with it keeps all.
async fn one_of_a_hundred_writes_happens(client: &Client, count: usize) {
    let value = Bytes::from(vec![b'v'; 4 << 10]);
    let write = |n: usize| {
        let (client, value) = (client.clone(), value.clone());
        let key = if n.is_multiple_of(100) { format!("key {n}") } else { LARGE.to_owned() };
        async move { client.put(key, value, If::Absent).await.map(|_| ()) }
    };
    let writes = futures::stream::iter(0..count).map(write).buffer_unordered(64);
    // Overload is refused, which is as it should be: here it counts what is kept.
    let failed = writes.filter(|written| std::future::ready(written.is_err())).count().await;
    println!("{failed} writes failed");
}

/// Registers sessions with all partitions. How many were refused for want of memory.
async fn register(demo: &Demo) -> usize {
    let channel = channel(&demo.endpoint()).await;
    let operation = |n: u64| {
        let target = Some(Target { partition: 2 + n % PARTITIONS, ..Default::default() });
        Operation::Register(RegisterRequest { target })
    };
    let mut answers = ask(channel, (0..SESSIONS).map(operation).collect(), REFUSED).await;
    let mut refused = 0;
    while let Some(response) = answers.message().await.expect("the stream goes on") {
        let faults = response.answers.into_iter().filter_map(|answer| match answer.answer? {
            Answer::Error(error) => Some(Fault::from_wire(error)),
            _ => None,
        });
        refused += faults.filter(|fault| fault.code == Code::ResourceExhausted).count();
    }
    refused
}

/// Clients that take what they can until they are dropped: from each node eight connections, each of
/// which asks for 200 MiB that it does not read, and sends 48 MiB that never become whole. Whoever is
/// refused or closed comes again.
fn greedy(demo: &Demo) -> JoinSet<()> {
    let connections = demo.nodes().into_iter().flat_map(|node| {
        let address = demo.address(&node);
        std::iter::repeat_n(address, 8)
    });
    let mut clients = JoinSet::new();
    for address in connections {
        clients.spawn(async move {
            loop {
                let channel = channel(&address).await;
                let _unread = ask(channel.clone(), vec![get(); 200], UNREAD).await;
                let puts = (0..16).map(|_| unfinished::put(channel.clone(), 48));
                for fault in futures::future::join_all(puts).await {
                    // The second where the connection was closed, for it took no answers.
                    let refused = matches!(fault.code, Code::ResourceExhausted | Code::Unavailable);
                    assert!(refused, "{fault}");
                }
                // So that the nodes have some of the processor, too.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    clients
}

fn get() -> Operation {
    let read = ReadOptions { consistency: Consistency::Eventual as i32, ..Default::default() };
    Operation::Get(GetRequest { key: LARGE.into(), read: Some(read), ..Default::default() })
}

async fn ask(
    channel: Channel,
    operations: Vec<Operation>,
    timeout: Duration,
) -> Streaming<doug_proto::v1::StreamResponse> {
    let operation = |(n, operation)| StreamOperation {
        id: n as u64,
        timeout_milliseconds: u32::try_from(timeout.as_millis()).expect("a short time"),
        operation: Some(operation),
    };
    let operations: Vec<_> = operations.into_iter().enumerate().map(operation).collect();
    let requests: Vec<_> =
        operations.chunks(500).map(|some| StreamRequest { operations: some.to_vec() }).collect();
    let mut client = DougClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
    client.stream(futures::stream::iter(requests)).await.expect("a stream").into_inner()
}

async fn channel(address: &str) -> Channel {
    let url = format!("http://{}", address.trim_start_matches("http://"));
    Endpoint::from_shared(url).expect("an address").connect().await.expect("a connection")
}
