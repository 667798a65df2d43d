//! No write to a terminal, pipe or log panics, blocks, or changes what an exit status
//! means: every command with every standard stream full, and closed, and a node whose
//! log nobody takes.

use doug_client::{Client, If, Read};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program;
use doug_process_tests::spare::Spare;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// No command of this test takes a second.
const HANGS: Duration = Duration::from_secs(60);
const OUTPUT_LOST: i32 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn no_command_panics_hangs_or_lies_where_its_streams_are_full_or_closed() {
    let folder = demo::folder();
    let options = ["--clusters", "1", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &options).await;
    let lines = folder.path().join("lines");
    std::fs::write(&lines, "one\ntwo\n").expect("a file");
    let lines = lines.display().to_string();
    demo.insist(&["put", "there", "value"]);
    let commands: &[&[&str]] = &[
        &["put", "there", "value"],
        &["put", "there", "value", "-o", "json", "-v"],
        &["put", "there", "value", "--if-absent"],
        &["get", "there", "-v"],
        &["get", "nosuch"],
        &["get", "nosuch", "-o", "json"],
        &["del", "nosuch"],
        &["del", "nosuch", "-o", "json"],
        &["scan"],
        &["scan", "-o", "json"],
        &["dump"],
        &["load", &lines, "--format", "lines"],
        &["load", &lines, "--format", "lines", "--verify"],
        &["status"],
        &["status", "-o", "json"],
        &["doctor"],
        &["partition", "list"],
        &["leader", "transfer", "1"],
        &["member", "replace", "nosuch"],
        &["version"],
        &["crds"],
        &["completions", "bash"],
        &["demo", "status"],
        &["demo", "status", "-o", "json"],
        &["demo", "resume", "a-0"],
        &["demo", "kill", "nosuch"],
        &["--help"],
        &["get", "--help"],
        &["--version"],
        &["--nonsense"],
        &[],
    ];
    for arguments in commands {
        let command = || {
            let mut command = program::command(folder.path());
            command.args(*arguments).env("DOUG_ENDPOINT", demo.endpoint());
            command
        };
        let good = command().output().expect("the program starts");
        let usual = good.status.code().expect("an exit status");
        let prints = !good.stdout.is_empty();

        let lost = end(command().stdout(full()).stderr(Stdio::null()), arguments);
        let expected = if usual == 0 && prints { OUTPUT_LOST } else { usual };
        assert_eq!(lost, expected, "{arguments:?} >/dev/full");
        let gone = end(command().stdout(readerless()).stderr(Stdio::null()), arguments);
        assert_eq!(gone, usual, "{arguments:?} | true");
        for sink in [full as fn() -> Stdio, readerless] {
            for level in ["warn", "trace"] {
                let mut command = command();
                command.env("DOUG_LOG", level).stdout(Stdio::null()).stderr(sink());
                assert_eq!(end(&mut command, arguments), usual, "{arguments:?}, {level}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_a_full_disk_cut_off_is_said_in_words() {
    let folder = demo::folder();
    let output = program::command(folder.path()).arg("crds").stdout(full()).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said,
        "doug: cannot write to standard output: No space left on device (os error 28)\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_reader_has_gone_serves_until_it_is_stopped() {
    let folder = demo::folder();
    let data = folder.path().join("data").display().to_string();
    let mut command = program::command(folder.path());
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--clusters", "1", "--nodes", "1"])
        .args(["--partitions", "1", "--data", &data])
        .env("DOUG_PARENT_PID", std::process::id().to_string())
        .stdin(Stdio::piped());
    let mut process = command.stdout(readerless()).stderr(readerless()).spawn().expect("it starts");
    let status = || program::run(folder.path(), ["demo", "status", "--data", &data]);
    let begun = Instant::now();
    while !String::from_utf8_lossy(&status().stdout).contains("Ready     yes") {
        assert!(process.try_wait().expect("it can be waited for").is_none(), "it has ended");
        assert!(begun.elapsed() < HANGS, "it is not ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let restarted = program::run(folder.path(), ["demo", "restart", "a-0", "--data", &data]);
    assert!(restarted.status.success(), "{}", program::printed(&restarted));
    kill_process(Pid::from_child(&process), Signal::INT).expect("it can be stopped");
    assert_eq!(wait(&mut process, "the demo"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_disk_is_full_goes_on_and_counts_the_lines() {
    serves_without_a_log(full()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_nobody_reads_goes_on_and_counts_the_lines() {
    let (_kept_open, writer) = std::io::pipe().expect("a pipe");
    serves_without_a_log(writer.into()).await;
}

async fn serves_without_a_log(log: Stdio) {
    let folder = demo::folder();
    let mut node = Spare::start_logging_to(folder.path(), "a-0", log, "trace").await;
    let [doug, raft, admin, http] = node.ports;
    let endpoint = format!("http://127.0.0.1:{doug}");
    create(folder.path(), &[doug, raft, admin, http]);
    let client = Client::builder().endpoints([&endpoint]).connect().await.expect("a client");
    let begun = Instant::now();
    // Long enough to fill any queue: each write is some thousands of bytes of log.
    for number in 0..500 {
        let key = format!("key {number}");
        client.put(key.clone(), key.clone(), If::Always).await.expect("a write");
        let answer = client.get(key.clone(), Read::Linearizable).await.expect("a read");
        assert_eq!(answer.value, key);
    }
    assert!(begun.elapsed() < HANGS, "500 writes and reads took {:?}", begun.elapsed());
    let metrics = get(http, "/metrics");
    let name = "dougdb_node_log_lines_dropped_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    let dropped: u64 = line.expect("the metric").parse().expect("a number");
    assert!(dropped > 0, "{metrics}");
    kill_process(Pid::from_child(node.process()), Signal::TERM).expect("it can be stopped");
    assert_eq!(wait(node.process(), "the node"), 0);
}

fn create(folder: &Path, ports: &[u16; 4]) {
    let [doug, raft, admin, http] = ports;
    let ports = format!("{{doug: {doug}, raft: {raft}, admin: {admin}, http: {http}}}");
    let spec = format!(
        "partitioning: {{hash: {{partitions: 1}}}}\n\
         clusters: [{{name: a, nodes: [{{address: 127.0.0.1, ports: {ports}}}]}}]\n"
    );
    let file = folder.join("spec.yaml");
    std::fs::write(&file, spec).expect("a file");
    let file = file.display().to_string();
    let created = program::run(folder, ["create", "--file", &file]);
    assert!(created.status.success(), "{}", program::printed(&created));
}

/// A page of a node's HTTP server.
fn get(port: u16, page: &str) -> String {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    write!(stream, "GET {page} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    text
}

/// A full disk.
fn full() -> Stdio {
    let full: File = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    full.into()
}

/// A pipe whose reader has gone.
fn readerless() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn end(command: &mut Command, arguments: &[&str]) -> i32 {
    let mut process = command.spawn().expect("the program starts");
    wait(&mut process, &format!("{arguments:?}"))
}

fn wait(process: &mut Child, what: &str) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.try_wait().expect("it can be waited for") {
            return status.code().unwrap_or_else(|| panic!("{what} ended by {status}"));
        }
        if begun.elapsed() > HANGS {
            let _ = process.kill();
            panic!("{what} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
