//! Streams from other nodes.

use super::hello::{check_hello, hello};
use super::share_map;
use super::snapshot_receive::{self, Receiving};
use crate::engine::Engine;
use crate::engine::mailbox::Input;
use crate::flow::{bulk_bytes, is_bulk};
use crate::host::{Event, split};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, exchange_request::Content, raft_server::Raft};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Turns of one peer that wait for the hosts; beyond, its stream is not read.
const WAITING_TURNS: usize = 1_024;

/// The `Raft` service.
#[derive(Clone, Debug)]
pub struct RaftService {
    engine: Arc<Engine>,
    receiving: Arc<Receiving>,
}

impl RaftService {
    /// Serves a node.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, receiving: Arc::default() }
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
        let from = check_hello(&self.engine, opening)?;
        let (answers, receiver) = mpsc::channel(1);
        let answer = v1::ExchangeResponse { hello: Some(hello(&self.engine, from)) };
        answers.try_send(Ok(answer)).expect("the channel is new and has room for one");
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let result = receive(from, requests, &engine).await;
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
        let (engine, receiving) = (self.engine.clone(), self.receiving.clone());
        tokio::spawn(async move {
            let received = snapshot_receive::receive(&engine, &receiving, requests, &answers).await;
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
        share_map::answer(&self.engine, request.into_inner()).await.map(Response::new)
    }
}

async fn receive(
    from: NodeId,
    mut requests: Streaming<v1::ExchangeRequest>,
    engine: &Engine,
) -> Result<(), Status> {
    let turns = Arc::new(Semaphore::new(WAITING_TURNS));
    // Beyond it appends are dropped, and sent again later: what else the peer says, heartbeats
    // first of all, must not wait.
    let most = engine.budget.of_a_peer();
    let bulk = Arc::new(Semaphore::new(most));
    while let Some(request) = requests.message().await? {
        let Some(Content::Turn(turn)) = request.content else {
            return Err(Fault::invalid("after the hello, a peer sends only turns").into());
        };
        for (host, mut turn) in split(turn, engine.hosts.len()) {
            let bulk = admit_bulk(&mut turn, &bulk, most);
            let turns = turns.clone().acquire_owned().await.ok();
            let room = [turns, bulk];
            engine.hosts[host].send(Input { event: Event::Turn { from, turn }, room });
        }
    }
    Ok(())
}

/// Takes some of the room for `most` bytes for a turn's appends; drops them where there is none.
fn admit_bulk(
    turn: &mut v1::PeerTurn,
    room: &Arc<Semaphore>,
    most: usize,
) -> Option<OwnedSemaphorePermit> {
    let bytes: usize = turn.messages.iter().map(bulk_bytes).sum();
    if bytes == 0 {
        return None;
    }
    // A turn larger than all room takes all of it.
    let wanted = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
    let admitted = room.clone().try_acquire_many_owned(wanted).ok();
    if admitted.is_none() {
        turn.messages.retain(|message| !is_bulk(message));
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::raft_message::Message;

    fn turn(bytes: usize) -> v1::PeerTurn {
        let append = v1::Append { batches: vec![vec![0; bytes].into()], ..Default::default() };
        let message =
            v1::RaftMessage { message: Some(Message::Append(append)), ..Default::default() };
        let heartbeats = vec![v1::Heartbeat::default()];
        v1::PeerTurn { messages: vec![message], heartbeats, ..Default::default() }
    }

    #[test]
    fn without_room_for_its_appends_a_turn_is_heard_all_the_same() {
        let most = 1 << 20;
        let room = Arc::new(Semaphore::new(most));
        let mut first = turn(most - 10);
        let admitted = admit_bulk(&mut first, &room, most);
        assert_eq!(first.messages.len(), 1);
        let mut second = turn(11);
        assert!(admit_bulk(&mut second, &room, most).is_none());
        assert_eq!((second.messages.len(), second.heartbeats.len()), (0, 1));
        drop(admitted);
        assert!(admit_bulk(&mut turn(most + 1), &room, most).is_some());
    }
}
