//! A facade that a test holds in its hand: what it is asked, and when it answers.

use doug_proto::v1::doug_server::{Doug, DougServer};
use doug_proto::v1::{
    BatchRequest, BatchResponse, DeleteRequest, DeleteResponse, GetRequest, GetResponse,
    PutRequest, PutResponse, RegisterRequest, RegisterResponse, ScanRequest, ScanResponse,
    StatusRequest, StatusResponse, StreamAnswer, StreamRequest, StreamResponse, TransactRequest,
    TransactResponse, WatchMapRequest, WatchMapResponse, WatchRequest, WatchResponse,
    stream_answer::Answer, stream_operation::Operation,
};
use futures::stream::{BoxStream, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// What a facade was asked.
#[derive(Debug, PartialEq)]
pub enum Asked {
    Connection,
    Get(GetRequest),
    Put(PutRequest),
    /// Anything else, by its name.
    Other(&'static str),
}

/// A facade that answers gets and puts on streams, each once the test says so.
struct Fake {
    asked: mpsc::UnboundedSender<Asked>,
    may_answer: Arc<Semaphore>,
}

impl Fake {
    fn refuse<T>(&self, name: &'static str) -> Result<Response<T>, Status> {
        self.asked.send(Asked::Other(name)).unwrap();
        Err(Status::unimplemented(name))
    }
}

#[tonic::async_trait]
impl Doug for Fake {
    type StreamStream = BoxStream<'static, Result<StreamResponse, Status>>;
    type WatchMapStream = BoxStream<'static, Result<WatchMapResponse, Status>>;

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.refuse("get")
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.refuse("put")
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        self.refuse("delete")
    }

    async fn scan(&self, _: Request<ScanRequest>) -> Result<Response<ScanResponse>, Status> {
        self.refuse("scan")
    }

    async fn batch(&self, _: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        self.refuse("batch")
    }

    async fn transact(
        &self,
        _: Request<TransactRequest>,
    ) -> Result<Response<TransactResponse>, Status> {
        self.refuse("transact")
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchResponse>, Status> {
        self.refuse("watch")
    }

    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.refuse("register")
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.refuse("status")
    }

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (asked, may_answer) = (self.asked.clone(), self.may_answer.clone());
        let answers = request.into_inner().then(move |request| {
            let (asked, may_answer) = (asked.clone(), may_answer.clone());
            async move {
                let mut answers = Vec::new();
                for operation in request?.operations {
                    let answer = match operation.operation {
                        Some(Operation::Get(get)) => {
                            asked.send(Asked::Get(get)).unwrap();
                            Answer::Get(GetResponse {
                                found: true,
                                value: "hello".into(),
                                ..Default::default()
                            })
                        }
                        Some(Operation::Put(put)) => {
                            asked.send(Asked::Put(put)).unwrap();
                            Answer::Put(PutResponse { condition_met: true, ..Default::default() })
                        }
                        _ => return Err(Status::unimplemented("another operation")),
                    };
                    may_answer.acquire().await.unwrap().forget();
                    answers.push(StreamAnswer { id: operation.id, answer: Some(answer) });
                }
                Ok(StreamResponse { answers })
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn watch_map(
        &self,
        _: Request<WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        self.refuse("watch_map")
    }
}

/// Starts a fake facade. Where it listens, what it is asked, and what lets it answer.
pub async fn facade() -> (SocketAddr, mpsc::UnboundedReceiver<Asked>, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, hears) = mpsc::unbounded_channel();
    let may_answer = Arc::new(Semaphore::new(0));
    let accepted = asked.clone();
    let connections = TcpListenerStream::new(listener).inspect(move |_| {
        accepted.send(Asked::Connection).unwrap();
    });
    let fake = Fake { asked, may_answer: may_answer.clone() };
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(DougServer::new(fake))
            .serve_with_incoming(connections),
    );
    (address, hears, may_answer)
}
