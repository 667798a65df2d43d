//! Five etcd members, and lanes that speak to their leader.

use crate::child::{Ports, Process};
use crate::load::Lane;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

const MEMBERS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// The part of etcd's protocol that is measured (etcdserverpb, rpc.proto).
mod wire {
    use bytes::Bytes;

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct PutRequest {
        #[prost(bytes = "bytes", tag = "1")]
        pub key: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        pub value: Bytes,
    }

    /// Reads are linearizable unless field 7 says otherwise.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RangeRequest {
        #[prost(bytes = "bytes", tag = "1")]
        pub key: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct KeyValue {
        #[prost(bytes = "bytes", tag = "1")]
        pub key: Bytes,
        #[prost(bytes = "bytes", tag = "5")]
        pub value: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RangeResponse {
        #[prost(message, repeated, tag = "2")]
        pub kvs: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ResponseHeader {
        #[prost(uint64, tag = "2")]
        pub member_id: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct StatusResponse {
        #[prost(message, optional, tag = "1")]
        pub header: Option<ResponseHeader>,
        #[prost(string, tag = "2")]
        pub version: String,
        #[prost(uint64, tag = "4")]
        pub leader: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Empty {}
}

/// A running etcd cluster.
pub struct Etcd {
    /// Its five processes.
    pub members: Vec<Process>,
    addresses: Vec<String>,
}

impl Etcd {
    /// Starts five members with etcd's own defaults.
    pub fn start(program: &Path, folder: &Path, ports: &mut Ports) -> anyhow::Result<Self> {
        let ports = ports.take(2 * MEMBERS)?;
        let (clients, peers) = ports.split_at(MEMBERS);
        let cluster: Vec<String> = peers
            .iter()
            .enumerate()
            .map(|(n, port)| format!("e{n}=http://127.0.0.1:{port}"))
            .collect();
        let cluster = cluster.join(",");
        let mut members = Vec::new();
        for number in 0..MEMBERS {
            let name = format!("e{number}");
            let (client, peer) = (url(clients[number]), url(peers[number]));
            let args = [
                ("--name", name.clone()),
                ("--data-dir", folder.join(&name).display().to_string()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", cluster.clone()),
                ("--log-level", "error".to_owned()),
            ];
            let args: Vec<String> = args.into_iter().flat_map(|(k, v)| [k.to_owned(), v]).collect();
            let log = folder.join(format!("{name}.log"));
            members.push(Process::start(&name, &log, program, &args)?);
        }
        Ok(Self { members, addresses: clients.iter().map(|port| url(*port)).collect() })
    }

    /// The version, and the address of the member that leads; waits for an election.
    pub async fn leader(&self) -> anyhow::Result<(String, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for address in &self.addresses {
                let Ok(status) = status(address).await else { continue };
                let member = status.header.as_ref().map_or(0, |header| header.member_id);
                if member != 0 && member == status.leader {
                    return Ok((status.version, address.clone()));
                }
            }
            if Instant::now() > deadline {
                bail!("etcd has no leader after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lanes over some connections to the leader: etcd's followers would only
    /// pass everything on to it.
    pub async fn lanes(&self, count: usize, connections: usize) -> anyhow::Result<Vec<EtcdLane>> {
        let (_, leader) = self.leader().await?;
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(connect(&leader).await?);
        }
        Ok((0..count).map(|n| EtcdLane::new(channels[n % connections].clone())).collect())
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true);
    endpoint.connect().await.with_context(|| format!("connecting to {address}"))
}

async fn status(address: &str) -> anyhow::Result<wire::StatusResponse> {
    let mut grpc = Grpc::new(connect(address).await?);
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
    let codec = ProstCodec::<wire::Empty, wire::StatusResponse>::default();
    Ok(grpc.unary(tonic::Request::new(wire::Empty {}), path, codec).await?.into_inner())
}

/// One client of etcd.
pub struct EtcdLane {
    grpc: Grpc<Channel>,
}

impl EtcdLane {
    fn new(channel: Channel) -> Self {
        Self { grpc: Grpc::new(channel) }
    }

    async fn call<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, String>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.grpc.ready().await.map_err(|error| error.to_string())?;
        let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
        let answer = self.grpc.unary(tonic::Request::new(request), path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status.to_string())
    }
}

impl Lane for EtcdLane {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), String> {
        let request = wire::PutRequest { key, value };
        self.call::<_, wire::Empty>("/etcdserverpb.KV/Put", request).await.map(drop)
    }

    async fn get(&mut self, key: Bytes) -> Result<bool, String> {
        let request = wire::RangeRequest { key };
        let answer: wire::RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        Ok(answer.kvs.first().is_some_and(|found| !found.value.is_empty()))
    }
}
