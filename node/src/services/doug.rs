//! The `Doug` service of a node.

use super::operations::submit;
use super::{status, stream};
use crate::engine::Engine;
use crate::engine::requests::Sink;
use doug_edge::HeldByBody;
use doug_edge::incoming::Peer;
use doug_edge::outbox::Messages;
use doug_proto::error::Fault;
use doug_proto::map::MapTeller;
use doug_proto::v1::doug_server::Doug;
use doug_proto::v1::{self, stream_answer::Answer, stream_operation::Operation};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Serves clients and facades.
#[derive(Clone, Debug)]
pub struct DougService {
    engine: Arc<Engine>,
}

impl DougService {
    /// Serves a node.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Carries out a unary call's operation. Its answer counts for the connection it
    /// came from until the last byte is sent.
    async fn call<T>(
        &self,
        request: Request<T>,
        operation: fn(T) -> Operation,
    ) -> Result<(Answer, HeldByBody), Status> {
        let timeout = doug_proto::deadline::of(request.metadata())?;
        let deadline = self.engine.clock.after(timeout);
        let account = Peer::account(&request);
        let operation = operation(request.into_inner());
        account.room(Some(&operation)).await;
        let expected = account.expect(Some(&operation));
        let (sender, receiver) = oneshot::channel();
        submit(&self.engine, operation, deadline, Sink::Unary(sender));
        let answer = receiver
            .await
            .map_err(|_| Fault::unknown("the node stopped before it could answer"))?;
        match expected.settle(answer) {
            (Answer::Error(error), _) => Err(Fault::from_wire(error).into()),
            (answer, held) => Ok((answer, HeldByBody::new(held))),
        }
    }
}

fn mismatch() -> Status {
    Fault::unknown("the node answered with something else: a bug").into()
}

/// A unary call is an operation with an answer of the same kind.
macro_rules! unary {
    ($service:ident, $request:ident, $kind:ident) => {{
        match $service.call($request, Operation::$kind).await? {
            (Answer::$kind(answer), held) => {
                let mut response = Response::new(answer);
                response.extensions_mut().insert(held);
                Ok(response)
            }
            _ => Err(mismatch()),
        }
    }};
}

#[tonic::async_trait]
impl Doug for DougService {
    type StreamStream = Messages;
    type WatchMapStream = ReceiverStream<Result<v1::WatchMapResponse, Status>>;

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        unary!(self, request, Get)
    }
    async fn put(
        &self,
        request: Request<v1::PutRequest>,
    ) -> Result<Response<v1::PutResponse>, Status> {
        unary!(self, request, Put)
    }
    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        unary!(self, request, Delete)
    }
    async fn scan(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<v1::ScanResponse>, Status> {
        unary!(self, request, Scan)
    }
    async fn batch(
        &self,
        request: Request<v1::BatchRequest>,
    ) -> Result<Response<v1::BatchResponse>, Status> {
        unary!(self, request, Batch)
    }
    async fn transact(
        &self,
        request: Request<v1::TransactRequest>,
    ) -> Result<Response<v1::TransactResponse>, Status> {
        unary!(self, request, Transact)
    }
    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<v1::WatchResponse>, Status> {
        unary!(self, request, Watch)
    }
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        unary!(self, request, Register)
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let account = Peer::account(&request);
        Ok(Response::new(stream::serve(self.engine.clone(), request.into_inner(), account)))
    }

    async fn watch_map(
        &self,
        request: Request<v1::WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        let mut teller = MapTeller::new(request.into_inner());
        let mut maps = self.engine.maps.watch();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let map = maps.borrow_and_update().clone();
                if let Some(news) = map.and_then(|map| teller.tell(&map))
                    && sender.send(Ok(news)).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    changed = maps.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Ok(Response::new(status::page(&self.engine, request.get_ref()).await))
    }
}
