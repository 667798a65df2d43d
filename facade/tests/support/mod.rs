//! A facade on free ports, and nodes that only pretend.
#![allow(dead_code, reason = "each test program uses a part")]

mod node;

pub use node::FakeNode;

use doug_facade::{Config, Facade, MapOrigin};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports};
use doug_proto::routing::Routing;
use doug_proto::v1::doug_client::DougClient;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::transport::Channel;

/// A running facade; it stops when dropped.
pub struct Running {
    address: SocketAddr,
    http: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Starts one.
    pub async fn start(map: MapOrigin) -> Self {
        Self::limited(map, None).await
    }

    /// Starts one that takes at most so many connections of clients.
    pub async fn limited(map: MapOrigin, max_connections: Option<usize>) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config =
            Config { listen: any, http: any, map, memory_budget: 16 << 20, max_connections };
        let facade = Facade::bind(config).await.unwrap();
        let (address, http) = (facade.address().unwrap(), facade.http_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(facade.run(async move {
            let _ = stopped.await;
        }));
        Self { address, http, stop, ended }
    }

    /// A connection to it.
    pub async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    /// A plain gRPC client, as foreign programs use it.
    pub async fn client(&self) -> DougClient<Channel> {
        DougClient::new(self.channel().await)
    }

    /// Status line and body of a page.
    pub async fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: facade\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    /// Waits until the page says so. Bounded only by the test's own patience:
    /// nothing is asserted about how long it takes.
    pub async fn until_page(&self, path: &str, has: &str) {
        while !self.page(path).await.contains(has) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.ended.await.unwrap()
    }
}

/// A node as the map lists it.
pub fn node(number: u64, cluster: &str, port: u16) -> Node {
    Node {
        id: NodeId::from_bits(number),
        name: format!("{cluster}-{number}"),
        cluster: cluster.into(),
        address: "127.0.0.1".into(),
        ports: Ports { doug: port, ..Ports::default() },
        version: 1,
    }
}

/// A map with one partition for each of the nodes, ordered by range: the n-th
/// partition starts at the n-th of "a", "b", …, the first at the first key.
pub fn map(epoch: u64, nodes: &[&Node]) -> PartitionMap {
    let start = |number: usize| match number {
        0 => bytes::Bytes::new(),
        number => bytes::Bytes::from(vec![b'a' + number as u8]),
    };
    let last = nodes.len() - 1;
    let partition = |(number, node): (usize, &&Node)| Partition {
        id: number as u64 + 1,
        keyspace: KeyspaceId::DEFAULT,
        start: start(number),
        end: if number == last { Default::default() } else { start(number + 1) },
        generation: 1,
        cluster: node.cluster.clone(),
        voters: vec![Member { node: node.id, replica: 1 }],
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    };
    PartitionMap {
        epoch,
        keyspaces: vec![Keyspace::default_with(Routing::Range)],
        clusters: Vec::new(),
        partitions: nodes.iter().enumerate().map(partition).collect(),
        nodes: nodes.iter().map(|node| (*node).clone()).collect(),
        ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
    }
}
