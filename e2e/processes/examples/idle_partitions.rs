//! What idle partitions cost: a database of real processes on this machine, its partitions left
//! alone, with and without are quiesced; and how soon all have leaders again after one node is
//! killed.
//!
//!     cargo build --release -p doug
//!     cargo run --release -p doug-process-tests --example idle_partitions -- 4096 3 30
//!
//! The arguments: partitions, nodes (3, 5 or 7), seconds to measure. Needs an idle machine, or the
//! figures are of something else.
#![allow(clippy::disallowed_types)] // it measures real time

use doug_process_tests::program;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const FIRST_PORT: u16 = 17_400;
/// Ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;

struct Settings {
    partitions: u64,
    nodes: u16,
    seconds: u64,
}

/// A node's process.
struct Node {
    number: u16,
    process: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn port(number: u16, which: u16) -> u16 {
    FIRST_PORT + 10 * number + which
}

impl Node {
    fn start(folder: &Path, number: u16, quiesce_after: u64) -> Node {
        let ports = ["--doug-port", "--raft-port", "--admin-port", "--http-port"];
        let mut command = program::command(folder);
        command.arg("node").arg("--data").arg(folder.join(format!("node-{number}")));
        for (which, option) in ports.into_iter().enumerate() {
            command.arg(option).arg(port(number, which as u16).to_string());
        }
        command
            .args(["--name", &format!("a-{number}"), "--cluster", "a", "--hosts", "1"])
            .args(["--quiesce-after-milliseconds", &quiesce_after.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Node { number, process: command.spawn().expect("the program starts") }
    }

    /// The page of metrics; empty if it does not answer.
    fn metrics(&self) -> String {
        let mut page = String::new();
        let answered =
            TcpStream::connect(("127.0.0.1", port(self.number, 3))).and_then(|mut http| {
                http.write_all(b"GET /metrics HTTP/1.0\r\nHost: node\r\n\r\n")?;
                http.read_to_string(&mut page)
            });
        if answered.is_err() {
            page.clear();
        }
        page
    }

    /// The sum of a metric over its labels.
    fn metric(&self, name: &str) -> f64 {
        let page = self.metrics();
        let values = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Seconds of processor time spent so far.
    fn processor(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number of ticks");
        (ticks(12) + ticks(13)) / TICKS
    }
}

fn create(folder: &Path, settings: &Settings) {
    let mut spec = format!(
        "partitioning:\n  hash: {{partitions: {}}}\nclusters:\n- name: a\n  nodes:\n",
        settings.partitions
    );
    for number in 0..settings.nodes {
        let [doug, raft, admin, http] = [0, 1, 2, 3].map(|which| port(number, which));
        let ports = format!("{{doug: {doug}, raft: {raft}, admin: {admin}, http: {http}}}");
        writeln!(spec, "  - {{address: 127.0.0.1, ports: {ports}}}").expect("it is memory");
    }
    let file = folder.join("database.yaml");
    std::fs::write(&file, spec).expect("a file in a new folder");
    let arguments = ["create", "--timeout", "120s", "--file", file.to_str().expect("a plain path")];
    let created = program::run(folder, arguments);
    assert!(created.status.success(), "{}", program::printed(&created));
}

fn wait_until(what: &str, done: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: not within two minutes");
        sleep(Duration::from_millis(100));
    }
    begun.elapsed()
}

fn leaders(nodes: &[Node]) -> f64 {
    nodes.iter().map(|node| node.metric("dougdb_node_leaderships")).sum()
}

fn all_led(nodes: &[Node], settings: &Settings) -> bool {
    // The catalog's too.
    leaders(nodes) >= settings.partitions as f64 + 1.0
}

fn measure(settings: &Settings, quiesce_after: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes: Vec<Node> = (0..settings.nodes)
        .map(|number| Node::start(folder.path(), number, quiesce_after))
        .collect();
    wait_until("all nodes serve", || nodes.iter().all(|node| !node.metrics().is_empty()));
    create(folder.path(), settings);
    let led = wait_until("all partitions have leaders", || all_led(&nodes, settings));
    doug_streams::outln!("all led {:.1} s after creation", led.as_secs_f64());
    if quiesce_after > 0 {
        let quiesced = wait_until("all partitions are quiesced", || {
            let quiescence = |node: &Node| node.metric("dougdb_node_quiesced_partitions");
            nodes.iter().all(|node| quiescence(node) >= settings.partitions as f64)
        });
        doug_streams::outln!("all quiesced {:.1} s later", quiesced.as_secs_f64());
    }
    sleep(Duration::from_secs(10));
    let look = || -> BTreeMap<u16, (f64, f64)> {
        let turns = |node: &Node| node.metric("dougdb_node_peer_turns_total");
        nodes.iter().map(|node| (node.number, (turns(node), node.processor()))).collect()
    };
    let before = look();
    sleep(Duration::from_secs(settings.seconds));
    let processor: Vec<f64> = nodes.iter().map(Node::processor).collect();
    let after = look();
    for (node, processor) in nodes.iter().zip(processor) {
        let (turns, spent) = before[&node.number];
        let seconds = settings.seconds as f64;
        doug_streams::outln!(
            "node {}: {:.2} % of a core, {:.0} messages to other nodes a second",
            node.number,
            100.0 * (processor - spent) / seconds,
            (after[&node.number].0 - turns) / seconds
        );
    }
    let killed = nodes.remove(0);
    let had = killed.metric("dougdb_node_leaderships");
    drop(killed);
    let begun = Instant::now();
    wait_until("all partitions have leaders again", || all_led(&nodes, settings));
    doug_streams::outln!(
        "{had} leaders lost by SIGKILL, all led again {} ms later",
        begun.elapsed().as_millis()
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |usual: u64| arguments.next().and_then(Result::ok).unwrap_or(usual);
    let settings = Settings { partitions: next(4096), nodes: next(3) as u16, seconds: next(30) };
    for quiesce_after in [3_000, 0] {
        doug_streams::outln!(
            "{} partitions on {} nodes, quiesced after {quiesce_after} ms (0: never)",
            settings.partitions,
            settings.nodes
        );
        measure(&settings, quiesce_after);
    }
}
