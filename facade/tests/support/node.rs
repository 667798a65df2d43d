//! A node as far as a facade can see: it leads every partition asked of it.

use doug_proto::error::Fault;
use doug_proto::map::{Node, PartitionMap};
use doug_proto::v1::doug_server::{Doug, DougServer};
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::*;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

type Maps = watch::Receiver<Option<PartitionMap>>;

/// A running node; it dies when dropped.
pub struct FakeNode {
    /// What the map says of it.
    pub node: Node,
    /// The map it serves.
    pub map: watch::Sender<Option<PartitionMap>>,
    /// Sessions of the writes it got.
    pub sessions: Arc<Mutex<Vec<u64>>>,
    stop: DropGuard,
}

impl FakeNode {
    /// Starts one in `cluster`.
    pub async fn start(number: u64, cluster: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = super::node(number, cluster, listener.local_addr().unwrap().port());
        let (map, maps) = watch::channel(None);
        let stop = CancellationToken::new();
        let service = Service { node: node.id.to_string(), maps, ..Default::default() };
        let sessions = service.sessions.clone();
        let stopped = stop.clone();
        let server = tonic::transport::Server::builder()
            .add_service(DougServer::new(service).max_decoding_message_size(usize::MAX))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                ended = server => ended.unwrap(),
            }
        });
        Self { node, map, sessions, stop: stop.drop_guard() }
    }

    /// Ends it, as a killed process does: nothing listens any more.
    pub fn kill(self) {
        drop(self.stop);
    }
}

#[derive(Clone)]
struct Service {
    node: String,
    maps: Maps,
    data: Arc<Mutex<BTreeMap<Vec<u8>, bytes::Bytes>>>,
    sessions: Arc<Mutex<Vec<u64>>>,
}

impl Default for Service {
    fn default() -> Self {
        let maps = watch::channel(None).1;
        Self { node: String::new(), maps, data: Arc::default(), sessions: Arc::default() }
    }
}

impl Service {
    fn answer(&self, operation: Operation) -> Answer {
        match operation {
            Operation::Get(get) => {
                let value = self.data.lock().unwrap().get(&get.key[..]).cloned();
                let (found, value) = (value.is_some(), value.unwrap_or_default());
                Answer::Get(GetResponse {
                    header: self.header(),
                    found,
                    value,
                    value_revision: 1,
                    ..Default::default()
                })
            }
            Operation::Put(put) => {
                self.sessions.lock().unwrap().extend(put.session.map(|session| session.id));
                self.data.lock().unwrap().insert(put.key.to_vec(), put.value);
                let (condition_met, current_revision) = (true, 0);
                Answer::Put(PutResponse { header: self.header(), condition_met, current_revision })
            }
            Operation::Register(_) => {
                Answer::Register(RegisterResponse { header: self.header(), session_id: 77 })
            }
            Operation::Status(_) => Answer::Status(StatusResponse {
                nodes: vec![NodeStatus {
                    id: self.node.clone(),
                    state: NodeState::Ready.into(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            _ => Answer::Error(Fault::invalid("the fake node does not do that").to_wire()),
        }
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { served_by: self.node.clone(), leader: true, ..Default::default() })
    }
}

// What `async_trait` would make of an async fn: it cannot see into a macro.
macro_rules! unary {
    ($($name:ident: $request:ident -> $response:ident),*) => {$(
        fn $name<'life0, 'async_trait>(
            &'life0 self,
            _: Request<$request>,
        ) -> BoxFuture<'async_trait, Result<Response<$response>, Status>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented("a facade uses the stream")) })
        }
    )*};
}

#[tonic::async_trait]
impl Doug for Service {
    type StreamStream = BoxStream<'static, Result<StreamResponse, Status>>;
    type WatchMapStream = BoxStream<'static, Result<WatchMapResponse, Status>>;

    unary!(
        get: GetRequest -> GetResponse,
        put: PutRequest -> PutResponse,
        delete: DeleteRequest -> DeleteResponse,
        scan: ScanRequest -> ScanResponse,
        batch: BatchRequest -> BatchResponse,
        transact: TransactRequest -> TransactResponse,
        register: RegisterRequest -> RegisterResponse,
        watch: WatchRequest -> WatchResponse,
        status: StatusRequest -> StatusResponse
    );

    async fn stream(
        &self,
        requests: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let service = self.clone();
        // As a node does, it closes a message long before it is too large to be read.
        let responses = requests.into_inner().flat_map(move |request| {
            let answer = |operation: StreamOperation| StreamAnswer {
                id: operation.id,
                answer: operation.operation.map(|operation| service.answer(operation)),
            };
            // Nothing ever changes here: a watch waits.
            let waits = |operation: &StreamOperation| {
                matches!(operation.operation, Some(Operation::Watch(_)))
            };
            let responses: Vec<_> = match request {
                Ok(request) => request
                    .operations
                    .into_iter()
                    .filter(|operation| !waits(operation))
                    .map(|operation| Ok(StreamResponse { answers: vec![answer(operation)] }))
                    .collect(),
                Err(status) => vec![Err(status)],
            };
            futures::stream::iter(responses)
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn watch_map(
        &self,
        _: Request<WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        let maps = WatchStream::new(self.maps.clone())
            .filter_map(std::future::ready)
            .map(|map| Ok(WatchMapResponse { map: Some(map.to_wire()), changes: false }));
        Ok(Response::new(maps.boxed()))
    }
}
