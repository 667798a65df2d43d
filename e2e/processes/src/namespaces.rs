//! A cluster whose nodes each have a network of their own: a namespace, joined to
//! the others by a bridge, in which packets can be made to disappear. Clients and
//! facade are in the network of this machine. Needs root, iproute2 and nftables.

use crate::node::Node;
use crate::program;
use crate::wait::until;
use doug_proto::v1::NodeState;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What our namespaces' names begin with; then comes the pid of the test.
const PREFIX: &str = "dougtest";
const READY: Duration = Duration::from_secs(60);

/// Packets between a node and the other nodes that disappear. Clients reach it still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All, both ways.
    Both,
    /// All that it sends.
    Sent,
    /// All that it is sent.
    Received,
    /// So many of a hundred, both ways.
    Some(u8),
}

/// The cluster. Everything of it ends with this value.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    network: Network,
    nodes: Vec<Option<Child>>,
    facade: Option<Child>,
}

impl Lab {
    /// Raises `count` nodes and a facade, and makes them a database. Must be called,
    /// and dropped, by the thread of the test.
    ///
    /// # Panics
    /// Without root; with what failed.
    pub async fn start(folder: &Path, count: usize, partitions: usize) -> Self {
        assert!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let network = Network::raise(count);
        let nodes = (0..count).map(|_| None).collect();
        let mut lab = Self { folder: folder.to_owned(), network, nodes, facade: None };
        for node in 0..count {
            lab.restart(node);
        }
        lab.create(partitions).await;
        lab.facade = Some(lab.spawn_facade());
        lab.all_ready().await;
        lab
    }

    /// Where clients reach the facade.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.network.gateway(7400))
    }

    /// Number of nodes.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Who leads a partition, if anyone says so.
    pub async fn leader(&self, partition: u64) -> Option<usize> {
        let status = Node::at(&self.endpoint()).status().await.ok()?;
        let (name, _) = crate::node::leader(&status, partition)?;
        name.strip_prefix("a-")?.parse().ok()
    }

    /// Loses packets between a node and the others, from now on.
    ///
    /// # Panics
    /// When nftables refuses.
    pub fn lose(&self, node: usize, loss: Loss) {
        let others = (0..self.count()).filter(|other| *other != node);
        let others: Vec<String> = others.map(|other| self.network.address(other)).collect();
        let others = others.join(", ");
        let drop =
            |direction: &str, share: &str| format!("ip {direction} {{ {others} }} {share}drop");
        let (received, sent) = match loss {
            Loss::Both => (drop("saddr", ""), drop("daddr", "")),
            Loss::Sent => (String::new(), drop("daddr", "")),
            Loss::Received => (drop("saddr", ""), String::new()),
            Loss::Some(percent) => {
                let share = format!("numgen random mod 100 < {percent} ");
                (drop("saddr", &share), drop("daddr", &share))
            }
        };
        self.network.rules(
            node,
            &format!(
                "table inet faults {{\n\
                 chain received {{ type filter hook input priority 0; {received}\n}}\n\
                 chain sent {{ type filter hook output priority 0; {sent}\n}}\n}}\n"
            ),
        );
    }

    /// Ends the loss of packets.
    ///
    /// # Panics
    /// When nftables refuses.
    pub fn heal(&self, node: usize) {
        self.network.rules(node, "flush ruleset\n");
    }

    /// Sends a signal to a node.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, node: usize, signal: Signal) {
        let child = self.nodes[node].as_ref().expect("the node was started");
        kill_process(Pid::from_child(child), signal).expect("the node can be signalled");
    }

    /// Starts a node, after the end of the process that was there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let name = format!("a-{node}");
        let mut command = self.network.inside(node);
        command
            .arg(program::path())
            .args(["node", "--name", &name, "--cluster", "a", "--listen", "0.0.0.0"])
            .args(["--address", &self.network.address(node), "--data"])
            .arg(self.folder.join(&name))
            .args(["--log-limit", "64MiB", "--memory-budget", "64MiB"]);
        self.nodes[node] = Some(self.spawn(command, &name));
    }

    /// Waits until every node says that each of its replicas has caught up, and every
    /// partition has a leader.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub async fn all_ready(&self) {
        let facade = Node::at(&self.endpoint());
        until("every node is ready", READY, || async {
            let status = facade.status().await.ok()?;
            let ready = status.nodes.iter().filter(|node| node.state() == NodeState::Ready);
            (ready.count() == self.count()).then_some(())
        })
        .await;
    }

    async fn create(&self, partitions: usize) {
        let nodes: String = (0..self.count())
            .map(|node| {
                format!("  - {{address: {}, name: a-{node}}}\n", self.network.address(node))
            })
            .collect();
        let spec = format!(
            "partitioning:\n  hash: {{partitions: {partitions}}}\nclusters:\n- name: a\n  \
             nodes:\n{nodes}"
        );
        let file = self.folder.join("spec.yaml");
        std::fs::write(&file, spec).expect("the specification is written");
        // Until every node has started it creates nothing.
        until("the database is created", READY, || async {
            let output =
                program::command(&self.folder).arg("create").arg("--file").arg(&file).output();
            output.expect("the program starts").status.success().then_some(())
        })
        .await;
    }

    fn spawn_facade(&self) -> Child {
        let nodes: Vec<String> =
            (0..self.count()).map(|node| format!("{}:7400", self.network.address(node))).collect();
        let mut command = Command::new(program::path());
        command.args(["facade", "--listen", &self.network.gateway(7400)]).args([
            "--http",
            &self.network.gateway(7403),
            "--nodes",
            &nodes.join(","),
        ]);
        self.spawn(command, "facade")
    }

    /// Starts a process that ends with the thread that calls this.
    fn spawn(&self, mut command: Command, name: &str) -> Child {
        let log = self.folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).expect("a log");
        command
            .env("DOUG_PARENT_PID", std::process::id().to_string())
            .env_remove("DOUG_ENDPOINT")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        command.spawn().expect("the program starts")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for mut child in self.nodes.drain(..).flatten().chain(self.facade.take()) {
            // A frozen process ends by this, too.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for node in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
                let path = node.path();
                if path.extension().is_some_and(|kind| kind == "log") {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    let last: Vec<&str> = text.lines().rev().take(20).collect();
                    eprintln!("the end of {}, backwards: {last:#?}", path.display());
                }
            }
        }
    }
}

/// A bridge in this machine's network, and a namespace for each node.
#[derive(Debug)]
struct Network {
    /// Of this test process alone.
    pid: u32,
    count: usize,
}

impl Network {
    fn raise(count: usize) -> Self {
        remove_leftovers();
        let network = Self { pid: std::process::id(), count };
        let bridge = network.bridge();
        run(&["link", "add", &bridge, "type", "bridge"]);
        run(&["addr", "add", &format!("{}/24", network.host(1)), "dev", &bridge]);
        run(&["link", "set", &bridge, "up"]);
        for node in 0..count {
            let (space, cable) = (network.namespace(node), format!("{bridge}v{node}"));
            run(&["netns", "add", &space]);
            run(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &space]);
            run(&["link", "set", &cable, "master", &bridge, "up"]);
            let address = format!("{}/24", network.address(node));
            run(&["-n", &space, "addr", "add", &address, "dev", "eth0"]);
            run(&["-n", &space, "link", "set", "eth0", "up"]);
            run(&["-n", &space, "link", "set", "lo", "up"]);
        }
        network
    }

    /// At most 15 bytes with the number of a cable behind it.
    fn bridge(&self) -> String {
        format!("dg{}", self.pid)
    }

    fn namespace(&self, node: usize) -> String {
        format!("{PREFIX}-{}-{node}", self.pid)
    }

    /// Two tests at once are in two networks.
    fn host(&self, host: usize) -> String {
        format!("10.{}.{}.{host}", 64 + self.pid / 250 % 128, self.pid % 250)
    }

    fn address(&self, node: usize) -> String {
        self.host(10 + node)
    }

    fn gateway(&self, port: u16) -> String {
        format!("{}:{port}", self.host(1))
    }

    /// A command that runs in a node's network. Of `ip netns exec`, which would give it
    /// another /sys as well, that is not true alone.
    fn inside(&self, node: usize) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace(node)));
        command
    }

    fn rules(&self, node: usize, rules: &str) {
        let mut command = self.inside(node);
        command.args(["nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter and nft are there");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(rules.as_bytes()).expect("nft reads");
        drop(input);
        let output = child.wait_with_output().expect("nft ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft refuses {rules:?}: {said}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.count {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(node)]).output();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge()]).output();
    }
}

/// Of tests that were killed.
fn remove_leftovers() {
    let spaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for space in spaces {
        let name = space.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1)) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
            let _ = Command::new("ip").args(["link", "del", &format!("dg{pid}")]).output();
        }
    }
}

fn run(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.expect("ip is there: apt-get install iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
