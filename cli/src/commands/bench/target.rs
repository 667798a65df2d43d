//! What is measured: operations through streams, or one call each.

use crate::globals::Globals;
use anyhow::Context;
use bytes::Bytes;
use doug_client::{Client, Fault, If, Read};
use doug_proto::limits::MESSAGE_BYTES;
use doug_proto::v1::doug_client::DougClient;
use doug_proto::v1::{GetRequest, PutRequest};
use std::time::Duration;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// Where operations go.
pub enum Target {
    /// Through the client library, which pipelines them on streams.
    Streams(Vec<Client>),
    /// Plain gRPC calls, as any foreign client makes them.
    Unary(Vec<DougClient<Channel>>, Duration),
}

impl Target {
    /// Opens so many connections.
    ///
    /// # Errors
    /// An endpoint that is none or does not answer, or `--direct` with `--unary`.
    pub async fn connect(globals: &Globals, unary: bool, count: usize) -> anyhow::Result<Self> {
        if !unary {
            let mut clients = Vec::with_capacity(count);
            for _ in 0..count {
                clients.push(globals.builder().connect().await?);
            }
            return Ok(Self::Streams(clients));
        }
        anyhow::ensure!(!globals.direct, "--direct needs a client that routes: leave out --unary");
        let mut channels = Vec::with_capacity(count);
        for endpoint in globals.endpoint.iter().cycle().take(count) {
            channels.push(channel(endpoint).await?);
        }
        Ok(Self::Unary(channels, globals.timeout))
    }

    /// Writes a key, over one of the connections.
    pub async fn put(&self, turn: usize, key: Bytes, value: Bytes) -> Result<(), Fault> {
        match self {
            Self::Streams(clients) => {
                clients[turn % clients.len()].put(key, value, If::Always).await.map(drop)
            }
            Self::Unary(channels, timeout) => {
                let request = request(PutRequest { key, value, ..Default::default() }, *timeout);
                let mut channel = channels[turn % channels.len()].clone();
                channel.put(request).await.map(drop).map_err(|s| Fault::from_status(&s))
            }
        }
    }

    /// Reads a key, over one of the connections; whether it exists.
    pub async fn get(&self, turn: usize, key: Bytes, read: &Read) -> Result<bool, Fault> {
        match self {
            Self::Streams(clients) => {
                let answer = clients[turn % clients.len()].get(key, read.clone()).await;
                answer.map(|answer| answer.found)
            }
            Self::Unary(channels, timeout) => {
                let get = GetRequest { key, read: read.to_wire(), ..Default::default() };
                let mut channel = channels[turn % channels.len()].clone();
                let answer = channel.get(request(get, *timeout)).await;
                answer.map(|a| a.into_inner().found).map_err(|s| Fault::from_status(&s))
            }
        }
    }
}

fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

async fn channel(endpoint: &str) -> anyhow::Result<DougClient<Channel>> {
    let url =
        if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let channel = Endpoint::from_shared(url)?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        .connect()
        .await
        .with_context(|| format!("cannot connect to {endpoint}: start it, or give --endpoint"))?;
    Ok(DougClient::new(channel).max_decoding_message_size(MESSAGE_BYTES))
}
