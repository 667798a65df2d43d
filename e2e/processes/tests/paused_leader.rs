//! A leader is frozen, another takes over, and the first wakes up: it still
//! believes that it leads.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_client::{Client, If};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::node::Node;
use doug_process_tests::wait::until;
use doug_proto::v1::Consistency;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const KEY: &str = "paused/key";
const ROUNDS: u64 = 5;
const READERS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_never_answers_a_stale_linearizable_read() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    let client = demo.client().await;
    let partition = demo.map().await.partition_of(KEY.as_bytes()).id;
    // The value is a number that only rises; this is the greatest acknowledged.
    let acknowledged = Arc::new(AtomicU64::new(0));
    write(&client, &acknowledged).await;
    for round in 1..=ROUNDS {
        let (frozen, term) = demo.leader(partition).await;
        let node = demo.node(&frozen);
        read(&node, &acknowledged).await.expect("the leader answers before it is frozen");

        demo.signal(std::slice::from_ref(&frozen), Signal::STOP);
        let survivors = survivors(&demo, &frozen);
        until("a new leader", Duration::from_secs(10), || async {
            newer_leader(&survivors, partition, term).await
        })
        .await;
        write(&client, &acknowledged).await;
        // These wait in the frozen node's sockets: it answers the moment it
        // wakes, before it can have heard of its successor.
        let readers = Readers::start(&node, &acknowledged);
        tokio::time::sleep(Duration::from_millis(300)).await;
        demo.signal(std::slice::from_ref(&frozen), Signal::CONT);
        for _ in 0..20 {
            write(&client, &acknowledged).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (answered, refused) = readers.stop().await;
        println!("round {round}: {frozen} answered {answered} reads and refused {refused}");
        assert!(answered + refused >= READERS as u64, "the frozen node answered nothing");
    }
}

fn survivors(demo: &Demo, frozen: &str) -> Vec<Node> {
    let cluster = frozen.split('-').next().expect("a cluster");
    let names = demo.nodes();
    let others = names.iter().filter(|name| name.starts_with(cluster) && *name != frozen);
    others.map(|name| demo.node(name)).collect()
}

async fn newer_leader(survivors: &[Node], partition: u64, term: u64) -> Option<()> {
    for node in survivors {
        let status = node.status().await.ok()?;
        let leader = doug_process_tests::node::leader(&status, partition);
        if leader.is_some_and(|(_, newer)| newer > term) {
            return Some(());
        }
    }
    None
}

async fn write(client: &Client, acknowledged: &AtomicU64) {
    let next = acknowledged.load(Ordering::SeqCst) + 1;
    client.put(KEY, next.to_string(), If::Always).await.expect("the others accept writes");
    acknowledged.store(next, Ordering::SeqCst);
}

/// Reads at the node itself. None: it refused, which is no lie.
async fn read(node: &Node, acknowledged: &AtomicU64) -> Option<u64> {
    let before = acknowledged.load(Ordering::SeqCst);
    let answer = node.get(KEY, Consistency::Linearizable, Duration::from_secs(3)).await.ok()?;
    let text = String::from_utf8(answer.value.to_vec()).expect("a number");
    let value: u64 = text.parse().expect("a number");
    assert!(
        value >= before,
        "stale: {value} was answered to a read that began after {before} was acknowledged"
    );
    Some(value)
}

/// Clients that read at one node without pause.
struct Readers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(u64, u64)>>,
}

impl Readers {
    fn start(node: &Node, acknowledged: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |_| {
            let (node, acknowledged, stop) = (node.clone(), acknowledged.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut answered, mut refused) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    match read(&node, &acknowledged).await {
                        Some(_) => answered += 1,
                        None => refused += 1,
                    }
                }
                (answered, refused)
            })
        };
        Self { tasks: (0..READERS).map(task).collect(), stop }
    }

    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut answered, mut refused) = (0, 0);
        for task in self.tasks {
            let one = task.await.expect("no read was stale");
            (answered, refused) = (answered + one.0, refused + one.1);
        }
        (answered, refused)
    }
}
