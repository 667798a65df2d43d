//! The `Doug` service: one call an operation, and the door to the streams.

use super::{stopping, stream, watch};
use crate::map_source::MapReceiver;
use crate::router::Router;
use doug_edge::HeldByBody;
use doug_edge::answers::Account;
use doug_edge::incoming::Peer;
use doug_edge::outbox;
use doug_proto::deadline;
use doug_proto::error::Fault;
use doug_proto::v1::doug_server::Doug;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::*;
use futures::stream::{BoxStream, Stream};
use prost::Message;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// The service: what a client's calls and streams meet, whatever carries them.
pub struct Front {
    router: Arc<Router>,
    stop: CancellationToken,
}

impl Front {
    /// Serves `router` until `stop`.
    pub fn new(router: Arc<Router>, stop: CancellationToken) -> Self {
        Self { router, stop }
    }

    /// When to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// The map in use.
    pub fn map(&self) -> MapReceiver {
        self.router.map()
    }

    /// Serves one stream of operations until its client ends it. Its answers count
    /// in `account`.
    pub fn serve_stream(
        &self,
        requests: impl Stream<Item = Result<StreamRequest, Status>> + Send + Unpin + 'static,
        messages: mpsc::Sender<Result<outbox::Message, Status>>,
        account: Arc<Account>,
    ) -> impl Future<Output = ()> + Send + 'static {
        stream::serve(self.router.clone(), requests, messages, account, self.stop.clone())
    }

    /// What is asked for of the map, then what changes of that.
    pub fn maps(
        &self,
        request: WatchMapRequest,
    ) -> impl Stream<Item = Result<WatchMapResponse, Status>> + Send + 'static {
        watch::maps(self.router.map(), request, self.stop.clone())
    }

    async fn call<Q: Message, A>(
        &self,
        request: Request<Q>,
        operation: fn(Q) -> Operation,
        answer: fn(Answer) -> Option<A>,
    ) -> Result<Response<A>, Status> {
        let timeout = deadline::of(request.metadata())?;
        let account = Peer::account(&request);
        let request = request.into_inner();
        let bytes = request.encoded_len();
        let operation = operation(request);
        account.room(Some(&operation)).await;
        let expected = account.expect(Some(&operation));
        let result = stopping::execute(&self.router, operation, bytes, timeout, &self.stop).await;
        let (settled, held) = expected.settle(result?);
        if let Answer::Error(error) = settled {
            return Err(Fault::from_wire(error).into());
        }
        let mut response = Response::new(answer(settled).ok_or_else(other_answer)?);
        response.extensions_mut().insert(HeldByBody::new(held));
        Ok(response)
    }
}

/// A server that answers a get with a put's answer has a defect; whether a
/// write was applied is not known then.
fn other_answer() -> Fault {
    Fault::unknown("the server answered with the answer of another operation: report this defect")
}

macro_rules! answer {
    ($variant:ident) => {
        |answer| match answer {
            Answer::$variant(answer) => Some(answer),
            _ => None,
        }
    };
}

#[tonic::async_trait]
impl Doug for Front {
    type StreamStream = outbox::Messages;
    type WatchMapStream = BoxStream<'static, Result<WatchMapResponse, Status>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.call(request, Operation::Get, answer!(Get)).await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.call(request, Operation::Put, answer!(Put)).await
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        self.call(request, Operation::Delete, answer!(Delete)).await
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<ScanResponse>, Status> {
        self.call(request, Operation::Scan, answer!(Scan)).await
    }

    async fn batch(
        &self,
        request: Request<BatchRequest>,
    ) -> Result<Response<BatchResponse>, Status> {
        self.call(request, Operation::Batch, answer!(Batch)).await
    }

    async fn transact(
        &self,
        request: Request<TransactRequest>,
    ) -> Result<Response<TransactResponse>, Status> {
        self.call(request, Operation::Transact, answer!(Transact)).await
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<WatchResponse>, Status> {
        self.call(request, Operation::Watch, answer!(Watch)).await
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.call(request, Operation::Register, answer!(Register)).await
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.call(request, Operation::Status, answer!(Status)).await
    }

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let account = Peer::account(&request);
        let (messages, receiver) = mpsc::channel(outbox::WAITING_MESSAGES);
        tokio::spawn(self.serve_stream(request.into_inner(), messages, account.clone()));
        Ok(Response::new(outbox::Messages::new(receiver, account)))
    }

    async fn watch_map(
        &self,
        request: Request<WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        let request = request.into_inner();
        Ok(Response::new(Box::pin(self.maps(request))))
    }
}
