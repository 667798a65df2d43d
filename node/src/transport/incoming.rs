//! Streams from other nodes.

use super::hello::{check_hello, hello};
use super::share_map;
use super::snapshot_receive::{self, Receiving};
use crate::engine::host_thread::Input;
use crate::engine::shared::Shared;
use crate::host::{Event, split};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, exchange_request::Content, raft_server::Raft};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Turns of one peer that wait for the hosts; beyond, its stream is not read.
const WAITING_TURNS: usize = 256;

/// The `Raft` service.
#[derive(Clone, Debug)]
pub struct RaftService {
    shared: Arc<Shared>,
    receiving: Arc<Receiving>,
}

impl RaftService {
    /// Serves a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, receiving: Arc::default() }
    }
}

#[tonic::async_trait]
impl Raft for RaftService {
    type ExchangeStream = ReceiverStream<Result<v1::ExchangeResponse, Status>>;
    type SnapshotStream = ReceiverStream<Result<v1::SnapshotResponse, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<v1::ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.content);
        let opening = match &first {
            Some(Content::Hello(hello)) => Some(hello),
            Some(Content::Turn(_)) | None => None,
        };
        let from = check_hello(&self.shared, opening)?;
        let (answers, receiver) = mpsc::channel(1);
        let answer = v1::ExchangeResponse { hello: Some(hello(&self.shared, from)) };
        answers.try_send(Ok(answer)).expect("the channel is new and has room for one");
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let result = receive(from, requests, &shared).await;
            if let Err(status) = result {
                tracing::debug!(%from, %status, "a peer's stream ended");
                drop(answers.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotRequest>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let requests = request.into_inner();
        let (answers, receiver) = mpsc::channel(1);
        let (shared, receiving) = (self.shared.clone(), self.receiving.clone());
        tokio::spawn(async move {
            let received = snapshot_receive::receive(&shared, &receiving, requests, &answers).await;
            if let Err(status) = received {
                tracing::warn!(error = status.message(), "a snapshot did not arrive");
                drop(answers.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn share_map(
        &self,
        request: Request<v1::ShareMapRequest>,
    ) -> Result<Response<v1::ShareMapResponse>, Status> {
        share_map::answer(&self.shared, request.into_inner()).await.map(Response::new)
    }
}

async fn receive(
    from: NodeId,
    mut requests: Streaming<v1::ExchangeRequest>,
    shared: &Shared,
) -> Result<(), Status> {
    let room = Arc::new(Semaphore::new(WAITING_TURNS));
    while let Some(request) = requests.message().await? {
        let Some(Content::Turn(turn)) = request.content else {
            return Err(Fault::invalid("after the hello, a peer sends only turns").into());
        };
        for (host, turn) in split(turn, shared.hosts.len()) {
            let permit = room.clone().acquire_owned().await.ok();
            shared.hosts[host].send(Input { event: Event::Turn { from, turn }, permit });
        }
    }
    Ok(())
}
