//! A running `doug demo` that is always cleaned up.

use crate::node::{self, Node};
use crate::program;
use crate::wait::until;
use doug_client::{Client, PartitionMap};
use doug_proto::v1::NodeState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A demo is promised to be ready within ten seconds on an idle machine; a test
/// fails for that only in `demo_life`.
const READY: Duration = Duration::from_secs(120);
/// How long a stop may take: five seconds of grace for the facade, five for the nodes.
const STOP: Duration = Duration::from_secs(20);

/// A folder for one test: removed at its end, with whatever is in it.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("doug-process-test-").tempdir().expect("a temporary folder")
}

/// A demo of two clusters of five nodes and eight partitions, unless told otherwise.
#[derive(Debug)]
pub struct Demo {
    folder: PathBuf,
    /// As it is seen from here. None: wherever the demo made its temporary folder.
    data: Option<PathBuf>,
    process: Child,
    /// How long it took until it was ready.
    pub took: Duration,
}

impl Demo {
    /// Starts one with its data in `folder/data` and waits until it is ready.
    /// Must be called, and dropped, by the thread of the test.
    ///
    /// # Panics
    /// With what it printed, when it is not ready in time.
    pub async fn start(folder: &Path, options: &[&str]) -> Self {
        Self::start_in(folder, options, program::command(folder)).await
    }

    /// The same where no process may have more than so many open files.
    ///
    /// # Panics
    /// With what it printed, when it is not ready in time.
    pub async fn start_with_descriptors(folder: &Path, most: u64, options: &[&str]) -> Self {
        Self::start_in(folder, options, program::command_with_descriptors(folder, most)).await
    }

    async fn start_in(folder: &Path, options: &[&str], program: Command) -> Self {
        let data = folder.join("data");
        Self::launch(folder, |_| Some(data.clone()), &at(&data, options), program).await
    }

    /// The same with its data on a volume of its own, of so many MiB.
    ///
    /// # Panics
    /// With what it printed, when it is not ready in time.
    pub async fn start_on_volume(folder: &Path, mebibytes: u64, options: &[&str]) -> Self {
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a folder to mount at");
        let program = program::command_on_volume(folder, &data, mebibytes);
        let seen = |pid| {
            let below = data.strip_prefix("/").expect("the path of a test's folder is absolute");
            Some(Path::new(&format!("/proc/{pid}/root")).join(below))
        };
        Self::launch(folder, seen, &at(&data, options), program).await
    }

    /// The same with its data in a temporary folder of the demo's own, in `folder`.
    ///
    /// # Panics
    /// With what it printed, when it is not ready in time.
    pub async fn start_temporary(folder: &Path, options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        Self::launch(folder, |_| None, &options, program::command(folder)).await
    }

    async fn launch(
        folder: &Path,
        data_of: impl Fn(u32) -> Option<PathBuf>,
        options: &[String],
        program: Command,
    ) -> Self {
        let began = Instant::now();
        let process = spawn(folder, options, program);
        let data = data_of(process.id());
        let mut demo = Self { folder: folder.to_owned(), data, process, took: Duration::ZERO };
        while !demo.is_ready() {
            let ended = demo.process.try_wait().expect("the demo can be waited for");
            let late = began.elapsed() > READY;
            assert!(ended.is_none() && !late, "the demo is not ready: {}", demo.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        demo.took = began.elapsed();
        demo
    }

    /// `demo.json`.
    ///
    /// # Panics
    /// When it is not there.
    pub fn state(&self) -> Value {
        let text = std::fs::read(self.data().join("demo.json")).expect("demo.json is there");
        serde_json::from_slice(&text).expect("demo.json is JSON")
    }

    /// What the demo printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.join("demo.log")).unwrap_or_default()
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        let found = || {
            let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
            let mut paths = entries.map(|entry| entry.path());
            paths.find(|path| path.join("demo.json").is_file())
        };
        self.data.clone().or_else(found).unwrap_or_else(|| self.folder.join("data"))
    }

    /// The process of the demo itself.
    pub fn process(&mut self) -> &mut Child {
        &mut self.process
    }

    /// `http://host:port` of the facade.
    pub fn endpoint(&self) -> String {
        format!("http://{}", text(&self.state()["listen"]))
    }

    /// Names of all nodes.
    pub fn nodes(&self) -> Vec<String> {
        members(&self.state()).iter().map(|node| text(&node["name"])).collect()
    }

    /// Pids of all processes: nodes and facade.
    pub fn pids(&self) -> Vec<u32> {
        let state = self.state();
        let facade = std::iter::once(&state["facade"]);
        let all = facade.chain(members(&state)).filter_map(|process| process["pid"].as_u64());
        all.map(|pid| u32::try_from(pid).expect("a pid")).collect()
    }

    /// Name and pid of each node.
    pub fn node_pids(&self) -> Vec<(String, u64)> {
        let pid = |node: &Value| node["pid"].as_u64().expect("the node runs");
        members(&self.state()).iter().map(|node| (text(&node["name"]), pid(node))).collect()
    }

    /// `host:port` of one node's own Doug service.
    pub fn address(&self, node: &str) -> String {
        format!("127.0.0.1:{}", self.member(node)["ports"]["doug"])
    }

    /// `host:port` of one node's admin service.
    pub fn admin_address(&self, node: &str) -> String {
        format!("127.0.0.1:{}", self.member(node)["ports"]["admin"])
    }

    /// One node's own Doug service, without a client's retries.
    pub fn node(&self, name: &str) -> Node {
        Node::at(&self.address(name))
    }

    /// The facade, without a client's retries.
    pub fn facade(&self) -> Node {
        Node::at(&self.endpoint())
    }

    /// A client of the facade, with sessions and retries.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn client(&self) -> Client {
        Client::builder().endpoints([self.endpoint()]).connect().await.expect("a client")
    }

    /// The partition map.
    ///
    /// # Panics
    /// When the facade has none.
    pub async fn map(&self) -> Arc<PartitionMap> {
        self.client().await.map().await.expect("a map")
    }

    /// Runs a command of the program against this demo.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = program::command(&self.folder);
        command.args(arguments).env("DOUG_ENDPOINT", self.endpoint());
        command.output().expect("the program starts")
    }

    /// Runs a command of the program against this demo and insists that it succeeds.
    /// Returns what it printed on standard output.
    ///
    /// # Panics
    /// With what it printed, when it fails.
    pub fn insist(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", program::printed(&output));
        String::from_utf8(output.stdout).expect("text is printed")
    }

    /// Insists that `doug doctor` finds nothing wrong, but for how full the disk of this
    /// machine is.
    ///
    /// # Panics
    /// With what it finds.
    pub fn insist_on_health(&self) {
        let output = self.run(&["doctor", "-o", "json"]);
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = said["findings"].as_array().expect("findings");
        let wrong =
            findings.iter().filter(|finding| !text(&finding["subject"]).starts_with("volume of "));
        let wrong: Vec<_> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Runs `doug demo ACTION NODE…` and insists that it succeeds.
    ///
    /// # Panics
    /// With what it printed, when it fails.
    pub fn act(&self, action: &str, nodes: &[String]) {
        let data = self.data().display().to_string();
        let mut arguments = vec!["demo", action, "--data", &data];
        arguments.extend(nodes.iter().map(String::as_str));
        let output = self.run(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", program::printed(&output));
    }

    /// Sends a signal straight to nodes, all at once and without the demo's help.
    ///
    /// # Panics
    /// When one does not run.
    pub fn signal(&self, nodes: &[String], signal: Signal) {
        let pids = nodes.iter().map(|node| self.member(node)["pid"].as_i64());
        let pids: Vec<Pid> = pids
            .map(|pid| i32::try_from(pid.expect("the node runs")).expect("a pid"))
            .map(|pid| Pid::from_raw(pid).expect("a pid"))
            .collect();
        for pid in pids {
            kill_process(pid, signal).expect("the node can be signalled");
        }
    }

    /// Who leads a partition now, and in which term; waits for an election.
    ///
    /// # Panics
    /// When nobody does for ten seconds.
    pub async fn leader(&self, partition: u64) -> (String, u64) {
        let facade = self.facade();
        until("a leader", Duration::from_secs(10), || async {
            node::leader(&facade.status().await.ok()?, partition)
        })
        .await
    }

    /// Waits until every node says that each of its replicas has caught up.
    ///
    /// # Panics
    /// When they do not within a minute.
    pub async fn all_ready(&self) {
        let facade = self.facade();
        let count = self.nodes().len();
        until("every node is ready", Duration::from_secs(60), || async {
            let status = facade.status().await.ok()?;
            let ready = status.nodes.iter().filter(|node| node.state() == NodeState::Ready);
            (ready.count() == count).then_some(())
        })
        .await;
    }

    /// Stops it as Ctrl-C does, and says how it ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(mut self) -> ExitStatus {
        self.end(Signal::INT).expect("the demo stops in time")
    }

    fn end(&mut self, signal: Signal) -> Option<ExitStatus> {
        let deadline = Instant::now() + STOP;
        if let Ok(Some(status)) = self.process.try_wait() {
            return Some(status);
        }
        let _ = kill_process(Pid::from_child(&self.process), signal);
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn is_ready(&self) -> bool {
        let Ok(text) = std::fs::read(self.data().join("demo.json")) else { return false };
        let state: Value = serde_json::from_slice(&text).unwrap_or_default();
        state["ready"] == true && state["pid"] == self.process.id()
    }

    fn member(&self, name: &str) -> Value {
        let state = self.state();
        let found = members(&state).iter().find(|node| node["name"] == name);
        found.unwrap_or_else(|| panic!("there is no node {name}")).clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.end(Signal::TERM).is_none() {
            // Its processes end with it.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            eprintln!("the demo printed:\n{}", self.printed());
            keep(&self.folder);
        }
    }
}

/// The options of a demo that keeps its data there.
fn at(data: &Path, options: &[&str]) -> Vec<String> {
    let data = data.to_str().expect("a path of the test is UTF-8");
    ["--data", data].iter().chain(options).map(|option| (*option).to_owned()).collect()
}

/// Starts a demo that ends with the thread that calls this, however that ends.
fn spawn(folder: &Path, options: &[String], mut program: Command) -> Child {
    let log = File::create(folder.join("demo.log")).expect("a log");
    program
        .args(["demo", "--listen", "127.0.0.1:0"])
        .args(options)
        .env("DOUG_PARENT_PID", std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    program.spawn().expect("the program starts")
}

/// Of a test that failed, the logs are kept for whoever looks into it.
fn keep(folder: &Path) {
    let Some(to) = std::env::var_os("DOUG_TEST_KEEP") else { return };
    let to = Path::new(&to).join(folder.file_name().unwrap_or_default());
    let _ = std::fs::create_dir_all(&to);
    let logs = std::fs::read_dir(folder.join("data/logs")).into_iter().flatten().flatten();
    for log in logs {
        let _ = std::fs::copy(log.path(), to.join(log.file_name()));
    }
    eprintln!("the logs are kept in {}", to.display());
}

fn members(state: &Value) -> &[Value] {
    state["nodes"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
