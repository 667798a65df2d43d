//! Five DougDB nodes and a facade, and lanes that speak to them in every way.

use crate::child::{Ports, Process};
use crate::counters::Counters;
use crate::load::Lane;
use anyhow::{Context, bail};
use bytes::Bytes;
use doug_client::v1;
use doug_client::v1::doug_client::DougClient;
use doug_client::{Client, Fault, If, PartitionMap, Read};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

const NODES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a unary lane follows the news of another leader.
const REDIRECTS: usize = 8;
/// Largest answer: a value and its envelope.
const MESSAGE: usize = 8 << 20;

/// A running database of one cluster.
pub struct Doug {
    /// The five nodes.
    pub nodes: Vec<Process>,
    /// The facade.
    pub facade: Process,
    facade_address: String,
    node_addresses: Vec<String>,
    http_addresses: Vec<String>,
}

impl Doug {
    /// Starts five nodes with their defaults, makes them a database, and starts
    /// a facade beside them.
    pub fn start(
        program: &Path,
        folder: &Path,
        partitions: u32,
        ports: &mut Ports,
    ) -> anyhow::Result<Self> {
        let ports = ports.take(4 * NODES + 2)?;
        let (nodes_ports, facade_ports) = ports.split_at(4 * NODES);
        let mut nodes = Vec::new();
        for (number, ports) in nodes_ports.chunks(4).enumerate() {
            nodes.push(start_node(program, folder, number, ports)?);
        }
        let deadline = Instant::now() + PATIENCE;
        let spec = folder.join("database.yaml");
        std::fs::write(&spec, specification(nodes_ports, partitions))?;
        while let Err(error) = create(program, &spec) {
            nodes.iter_mut().try_for_each(Process::check)?;
            if Instant::now() > deadline {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let node_addresses: Vec<String> =
            nodes_ports.chunks(4).map(|ports| format!("127.0.0.1:{}", ports[0])).collect();
        let http_addresses =
            nodes_ports.chunks(4).map(|ports| format!("127.0.0.1:{}", ports[3])).collect();
        let facade_address = format!("127.0.0.1:{}", facade_ports[0]);
        let args = [
            ("--listen", facade_address.clone()),
            ("--http", format!("127.0.0.1:{}", facade_ports[1])),
            ("--nodes", node_addresses.join(",")),
        ];
        let args = arguments("facade", args);
        let facade = Process::start("facade", &folder.join("facade.log"), program, &args)?;
        Ok(Self { nodes, facade, facade_address, node_addresses, http_addresses })
    }

    /// Waits until every partition takes writes through the facade.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let client = self.client(Way::Facade).await?;
        let deadline = Instant::now() + PATIENCE;
        for number in 0..64 {
            while let Err(fault) = client.put(format!("ready-{number}"), "", If::Always).await {
                if Instant::now() > deadline {
                    bail!("the database takes no writes after {PATIENCE:?}: {fault}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// What its nodes have counted so far.
    pub async fn counters(&self) -> anyhow::Result<Counters> {
        Counters::of(&self.http_addresses).await
    }

    async fn client(&self, way: Way) -> Result<Client, Fault> {
        let builder = Client::builder();
        match way {
            Way::Facade => builder.endpoints([&self.facade_address]).connect().await,
            Way::Direct => {
                let endpoints = self.node_addresses.iter().map(String::as_str);
                builder.endpoints(endpoints).direct_from_endpoints().connect().await
            }
        }
    }

    /// Lanes that share streams, `connections` of them to each server, through
    /// the client that programs would use.
    pub async fn streamed(
        &self,
        way: Way,
        count: usize,
        connections: usize,
    ) -> anyhow::Result<Vec<StreamedLane>> {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(self.client(way).await?);
        }
        Ok((0..count).map(|n| StreamedLane(clients[n % connections].clone())).collect())
    }

    /// Lanes of one call at a time, as any gRPC client would make it.
    pub async fn unary(
        &self,
        way: Way,
        count: usize,
        connections: usize,
    ) -> anyhow::Result<Vec<UnaryLane>> {
        let map = self.map().await?;
        let mut servers = Vec::new();
        for _ in 0..connections {
            let leaders = match way {
                Way::Facade => None,
                Way::Direct => Some(Mutex::default()),
            };
            let mut channels = BTreeMap::new();
            for address in self.node_addresses.iter().chain([&self.facade_address]) {
                channels.insert(address.clone(), connect(address).await?);
            }
            let facade = self.facade_address.clone();
            let first = self.node_addresses[0].clone();
            servers.push(Arc::new(Servers { map: map.clone(), leaders, channels, facade, first }));
        }
        Ok((0..count).map(|n| UnaryLane(servers[n % connections].clone())).collect())
    }

    /// Lanes of the same calls to a server that only echoes.
    pub async fn echoed(
        &self,
        address: &str,
        count: usize,
        connections: usize,
    ) -> anyhow::Result<Vec<UnaryLane>> {
        let map = self.map().await?;
        let mut servers = Vec::new();
        for _ in 0..connections {
            let channels = BTreeMap::from([(address.to_owned(), connect(address).await?)]);
            let (facade, first) = (address.to_owned(), address.to_owned());
            let map = map.clone();
            servers.push(Arc::new(Servers { map, leaders: None, channels, facade, first }));
        }
        Ok((0..count).map(|n| UnaryLane(servers[n % connections].clone())).collect())
    }

    async fn map(&self) -> anyhow::Result<Arc<PartitionMap>> {
        let mut client = DougClient::new(connect(&self.facade_address).await?);
        let mut maps = client.watch_map(v1::WatchMapRequest::default()).await?.into_inner();
        let map = maps.message().await?.and_then(|answer| answer.map).context("no map")?;
        Ok(Arc::new(PartitionMap::from_wire(&map)?))
    }
}

fn start_node(
    program: &Path,
    folder: &Path,
    number: usize,
    ports: &[u16],
) -> anyhow::Result<Process> {
    let name = format!("a-{number}");
    let args = [
        ("--data", folder.join(&name).display().to_string()),
        ("--name", name.clone()),
        ("--cluster", "a".to_owned()),
        ("--doug-port", ports[0].to_string()),
        ("--raft-port", ports[1].to_string()),
        ("--admin-port", ports[2].to_string()),
        ("--http-port", ports[3].to_string()),
    ];
    let log = folder.join(format!("{name}.log"));
    Process::start(&name, &log, program, &arguments("node", args))
}

fn arguments<const N: usize>(role: &str, options: [(&str, String); N]) -> Vec<String> {
    let options = options.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    std::iter::once(role.to_owned()).chain(options).collect()
}

fn specification(ports: &[u16], partitions: u32) -> String {
    let mut spec = format!("partitioning: {{hash: {{partitions: {partitions}}}}}\nclusters:\n");
    spec.push_str("- name: a\n  nodes:\n");
    for p in ports.chunks(4) {
        let (doug, raft, admin, http) = (p[0], p[1], p[2], p[3]);
        spec.push_str(&format!(
            "  - {{address: 127.0.0.1, ports: {{doug: {doug}, raft: {raft}, admin: {admin}, http: \
             {http}}}}}\n"
        ));
    }
    spec
}

fn create(program: &Path, spec: &Path) -> anyhow::Result<()> {
    let output = Command::new(program).arg("create").arg("--file").arg(spec).output()?;
    if !output.status.success() {
        bail!("doug create: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    endpoint.connect().await.with_context(|| format!("connecting to {address}"))
}

/// How operations travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Straight to the leaders.
    Direct,
    /// Through the facade.
    Facade,
}

/// A lane on a shared stream.
pub struct StreamedLane(Client);

impl Lane for StreamedLane {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), String> {
        self.0.put(key, value, If::Always).await.map(drop).map_err(|fault| fault.to_string())
    }

    async fn get(&mut self, key: Bytes) -> Result<bool, String> {
        let answer = self.0.get(key, Read::Linearizable).await;
        answer.map(|answer| answer.found).map_err(|fault| fault.to_string())
    }
}

/// Connections of unary lanes, and who leads which partition.
struct Servers {
    map: Arc<PartitionMap>,
    /// None: everything goes to the facade.
    leaders: Option<Mutex<BTreeMap<u64, String>>>,
    channels: BTreeMap<String, Channel>,
    facade: String,
    first: String,
}

impl Servers {
    fn address(&self, partition: u64) -> String {
        let Some(leaders) = &self.leaders else { return self.facade.clone() };
        let leaders = leaders.lock().expect("no lane panics while it holds the lock");
        leaders.get(&partition).unwrap_or(&self.first).clone()
    }

    /// Takes in what an error says; whether it named another leader.
    fn redirected(&self, fault: &Fault) -> bool {
        let (Some(leaders), Some(news)) = (&self.leaders, fault.leader_hint()) else {
            return false;
        };
        if !self.channels.contains_key(&news.leader_address) {
            return false;
        }
        let mut leaders = leaders.lock().expect("no lane panics while it holds the lock");
        leaders.insert(news.partition, news.leader_address.clone());
        true
    }
}

/// A lane of unary calls.
pub struct UnaryLane(Arc<Servers>);

impl UnaryLane {
    fn client(&self, key: &[u8]) -> DougClient<Channel> {
        let partition = self.0.map.partition_of(key).id;
        let channel = self.0.channels[&self.0.address(partition)].clone();
        DougClient::new(channel).max_decoding_message_size(MESSAGE)
    }

    /// Whether to try again: a lane follows the news of another leader.
    fn redirected(&self, status: &tonic::Status, tries: usize) -> Result<(), String> {
        let fault = Fault::from_status(status);
        if tries < REDIRECTS && self.0.redirected(&fault) { Ok(()) } else { Err(fault.to_string()) }
    }
}

impl Lane for UnaryLane {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), String> {
        let request = v1::PutRequest { key, value, ..Default::default() };
        for tries in 0.. {
            match self.client(&request.key).put(request.clone()).await {
                Ok(_) => break,
                Err(status) => self.redirected(&status, tries)?,
            }
        }
        Ok(())
    }

    async fn get(&mut self, key: Bytes) -> Result<bool, String> {
        let request = v1::GetRequest { key, ..Default::default() };
        let mut tries = 0;
        loop {
            match self.client(&request.key).get(request.clone()).await {
                Ok(answer) => return Ok(answer.into_inner().found),
                Err(status) => self.redirected(&status, tries)?,
            }
            tries += 1;
        }
    }
}
