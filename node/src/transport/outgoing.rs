//! Streams to other nodes: one task a peer, which connects, reconnects, and
//! says when the peer's process has died.

use super::hello::hello;
use super::raft_client;
use crate::engine::Engine;
use crate::engine::peers::{Begun, PeerQueue};
use crate::host::Event;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, exchange_request::Content};
use prometheus_client::metrics::counter::Counter;
use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// Messages handed to the connection before it takes them: what is there already, a
/// heartbeat cannot pass any more.
const SENDING: usize = 1;
const BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(1);
/// A peer that answers no ping for this long is connected to anew.
const PING: Duration = Duration::from_secs(2);

/// What a node may send another one before that has read it, on one stream.
const WINDOW: u32 = 2 << 20;

/// Opens a stream for each queue that is begun, and sends what waits in it, until the node stops.
pub async fn send_turns(mut begun: mpsc::UnboundedReceiver<Begun>, engine: Weak<Engine>) {
    while let Some((node, queue)) = begun.recv().await {
        tokio::spawn(run(node, queue, engine.clone()));
    }
}

async fn run(node: NodeId, queue: Arc<PeerQueue>, engine: Weak<Engine>) {
    let mut backoff = BACKOFF;
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let address = engine.maps.node(node).map(|entry| entry.raft_address());
        let Some(address) = address else {
            drop(engine);
            wait(&queue, LONGEST_BACKOFF).await;
            continue;
        };
        match open(&engine, node, &address).await {
            Ok((sending, answers)) => {
                tracing::debug!(%node, address, "connected to a peer");
                backoff = BACKOFF;
                let frames = &engine.metrics.pipeline.frames;
                let why = stream(&queue, frames, sending, answers).await;
                tracing::debug!(%node, address, why, "lost the connection to a peer");
                if refuses(&address).await {
                    for host in &engine.hosts {
                        host.send(Event::Suspect { node });
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%node, address, error, "could not connect to a peer");
            }
        }
        drop(engine);
        wait(&queue, backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Lets time pass. What is queued meanwhile is stale by the time there is a
/// connection, so it is dropped.
async fn wait(queue: &PeerQueue, pause: Duration) {
    tokio::time::sleep(pause).await;
    queue.clear();
}

type Answers = tonic::Streaming<v1::ExchangeResponse>;

async fn open(
    engine: &Arc<Engine>,
    node: NodeId,
    address: &str,
) -> Result<(mpsc::Sender<v1::ExchangeRequest>, Answers), String> {
    let channel = connect(address).await?;
    let mut client = raft_client(engine, channel);
    let (sending, receiver) = mpsc::channel(SENDING);
    let opening = v1::ExchangeRequest { content: Some(Content::Hello(hello(engine, node))) };
    sending.try_send(opening).map_err(|error| error.to_string())?;
    let response = client.exchange(ReceiverStream::new(receiver)).await;
    let mut answers = response.map_err(|status| status.message().to_owned())?.into_inner();
    match answers.message().await {
        Ok(Some(answer)) => {
            if let Some(hello) = answer.hello {
                engine.greeted(node, &hello);
            }
            Ok((sending, answers))
        }
        Ok(None) => Err("the peer closed the stream".to_owned()),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// Connects to a node; its name is resolved anew each time.
///
/// # Errors
/// A sentence.
pub async fn connect(address: &str) -> Result<Channel, String> {
    endpoint(address)?.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| cause.to_string());
        cause.unwrap_or_else(|| error.to_string())
    })
}

/// How nodes connect to each other.
///
/// # Errors
/// An address that is none.
pub fn endpoint(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is no address: {error}"))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW);
    Ok(endpoint)
}

/// Sends turns until the stream breaks; says why it did.
async fn stream(
    queue: &PeerQueue,
    frames: &Counter,
    sending: mpsc::Sender<v1::ExchangeRequest>,
    mut answers: Answers,
) -> String {
    loop {
        tokio::select! {
            answer = answers.message() => match answer {
                // The peer has nothing to say after its hello.
                Ok(Some(_)) => {}
                Ok(None) => return "the peer closed the stream".to_owned(),
                Err(status) => return status.message().to_owned(),
            },
            room = sending.reserve() => {
                let Ok(room) = room else { return "the stream was reset".to_owned() };
                tokio::select! {
                    turn = queue.next() => {
                        frames.inc();
                        room.send(v1::ExchangeRequest { content: Some(Content::Turn(turn)) });
                    }
                    answer = answers.message() => match answer {
                        Ok(Some(_)) => {}
                        Ok(None) => return "the peer closed the stream".to_owned(),
                        Err(status) => return status.message().to_owned(),
                    },
                }
            }
        }
    }
}

/// Whether the peer's port refuses: its process is gone. Silence is no proof.
/// A process that is killed loses its streams a moment before its port, so a
/// port that still accepts is asked again.
async fn refuses(address: &str) -> bool {
    for pause in [0, 2, 5, 10, 20].map(Duration::from_millis) {
        tokio::time::sleep(pause).await;
        let attempt = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(100), attempt).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.kind() == ErrorKind::ConnectionRefused,
            Err(_) => return false,
        }
    }
    false
}
