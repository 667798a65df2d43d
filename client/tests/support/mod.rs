//! Servers that live in the test's own process, over pipes in memory, so that
//! paused time runs exactly as fast as the client waits.
#![allow(dead_code)]

use bytes::Bytes;
use doug_client::{Builder, Client, Dial, Fault, Io, PartitionMap};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Keyspace, KeyspaceId, Member, Node, Partition, Ports};
use doug_proto::routing::Routing;
use doug_proto::token::{Place, SessionToken};
use doug_proto::v1::doug_server::{Doug, DougServer};
use doug_proto::v1::{self, stream_answer::Answer, stream_operation::Operation};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

pub mod admin;
pub mod model;

/// What a fake server does with one operation.
pub enum Reply {
    Answer(Answer),
    Fault(Fault),
    /// As a willing leader, but after this long.
    After(Duration),
    /// It refuses once the time is over that it was given.
    AtItsDeadline(Fault),
    /// It never answers.
    Silence,
    /// It breaks the stream without an answer.
    Break,
}

type Script = Box<dyn FnMut(&v1::StreamOperation) -> Reply + Send>;

/// One fake server.
#[derive(Clone)]
pub struct Fake {
    script: Arc<Mutex<Script>>,
    /// Every operation it got, in order.
    pub received: Arc<Mutex<Vec<v1::StreamOperation>>>,
    /// How many operations each message held.
    pub messages: Arc<Mutex<Vec<usize>>>,
    pub map: Arc<Mutex<Option<PartitionMap>>>,
}

impl Fake {
    pub fn writes(&self) -> Vec<v1::PutRequest> {
        let received = self.received.lock().unwrap();
        let puts = received.iter().filter_map(|operation| match &operation.operation {
            Some(Operation::Put(put)) => Some(put.clone()),
            _ => None,
        });
        puts.collect()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub fn script(&self, script: impl FnMut(&v1::StreamOperation) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }
}

type Incoming = mpsc::UnboundedSender<io::Result<DuplexStream>>;

/// All servers, by address.
#[derive(Clone, Default)]
pub struct Net {
    listening: Arc<Mutex<BTreeMap<String, Incoming>>>,
}

impl Dial for Net {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let listening = self.listening.lock().unwrap().get(&address).cloned();
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let incoming = listening.ok_or_else(refused)?;
            let (near, far) = tokio::io::duplex(1 << 20);
            incoming.send(Ok(far)).map_err(|_| refused())?;
            Ok(Box::new(near) as Box<dyn Io>)
        })
    }
}

impl Net {
    pub fn serve(
        &self,
        address: &str,
        script: impl FnMut(&v1::StreamOperation) -> Reply + Send + 'static,
    ) -> Fake {
        let fake = Fake {
            script: Arc::new(Mutex::new(Box::new(script))),
            received: Arc::default(),
            messages: Arc::default(),
            map: Arc::default(),
        };
        let (incoming, connections) = mpsc::unbounded_channel();
        self.listening.lock().unwrap().insert(address.to_owned(), incoming);
        let server = tonic::transport::Server::builder()
            .add_service(DougServer::new(fake.clone()))
            .serve_with_incoming(UnboundedReceiverStream::new(connections));
        tokio::spawn(server);
        fake
    }

    /// Connections to it are handed to `take`, which speaks what it likes.
    pub fn accept(&self, address: &str, take: impl Fn(DuplexStream) + Send + 'static) {
        let (incoming, mut connections) = mpsc::unbounded_channel();
        self.listening.lock().unwrap().insert(address.to_owned(), incoming);
        tokio::spawn(async move {
            while let Some(Ok(connection)) = connections.recv().await {
                take(connection);
            }
        });
    }

    /// From now on connections to it are refused; those that are open stay.
    pub fn refuse(&self, address: &str) {
        self.listening.lock().unwrap().remove(address);
    }

    pub fn builder(&self) -> Builder {
        Client::builder().dialer(self.clone()).seed(1)
    }

    pub async fn direct(&self, map: &PartitionMap) -> Client {
        self.builder().direct(fixed(map)).connect().await.unwrap()
    }
}

/// A map that never changes.
pub fn fixed(map: &PartitionMap) -> watch::Receiver<Option<Arc<PartitionMap>>> {
    watch::Sender::new(Some(Arc::new(map.clone()))).subscribe()
}

type Outgoing = mpsc::Sender<Result<v1::StreamResponse, Status>>;

async fn later(outgoing: Outgoing, delay: Duration, answer: v1::StreamAnswer) {
    tokio::time::sleep(delay).await;
    let _ = outgoing.send(Ok(v1::StreamResponse { answers: vec![answer] })).await;
}

#[tonic::async_trait]
impl Doug for Fake {
    type StreamStream = BoxStream<'static, Result<v1::StreamResponse, Status>>;
    type WatchMapStream = BoxStream<'static, Result<v1::WatchMapResponse, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let mut requests = request.into_inner();
        let fake = self.clone();
        let (answers, outgoing) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                fake.messages.lock().unwrap().push(message.operations.len());
                let mut response = v1::StreamResponse::default();
                for operation in message.operations {
                    fake.received.lock().unwrap().push(operation.clone());
                    let reply = (fake.script.lock().unwrap())(&operation);
                    let answer = match reply {
                        Reply::Answer(answer) => answer,
                        Reply::Fault(fault) => Answer::Error(fault.to_wire()),
                        Reply::After(delay) => {
                            let Reply::Answer(answer) = willing(&operation) else { continue };
                            let answer =
                                v1::StreamAnswer { id: operation.id, answer: Some(answer) };
                            tokio::spawn(later(answers.clone(), delay, answer));
                            continue;
                        }
                        Reply::AtItsDeadline(fault) => {
                            let time = Duration::from_millis(operation.timeout_milliseconds.into());
                            let answer = Some(Answer::Error(fault.to_wire()));
                            let answer = v1::StreamAnswer { id: operation.id, answer };
                            tokio::spawn(later(answers.clone(), time, answer));
                            continue;
                        }
                        Reply::Silence => continue,
                        Reply::Break => {
                            let _ = answers.send(Err(Status::unavailable("reset"))).await;
                            return;
                        }
                    };
                    response
                        .answers
                        .push(v1::StreamAnswer { id: operation.id, answer: Some(answer) });
                }
                if !response.answers.is_empty() && answers.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing).boxed()))
    }

    async fn watch_map(
        &self,
        _: Request<v1::WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        let map = self.map.lock().unwrap().clone();
        let map = map.ok_or_else(|| Status::unavailable("no map here"))?;
        let first = v1::WatchMapResponse { map: Some(map.to_wire()), changes: false };
        let forever = futures::stream::iter([Ok(first)]).chain(futures::stream::pending());
        Ok(Response::new(forever.boxed()))
    }

    async fn watch(
        &self,
        _: Request<v1::WatchRequest>,
    ) -> Result<Response<v1::WatchResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn put(&self, _: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn delete(
        &self,
        _: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn scan(
        &self,
        _: Request<v1::ScanRequest>,
    ) -> Result<Response<v1::ScanResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn batch(
        &self,
        _: Request<v1::BatchRequest>,
    ) -> Result<Response<v1::BatchResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn transact(
        &self,
        _: Request<v1::TransactRequest>,
    ) -> Result<Response<v1::TransactResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn register(
        &self,
        _: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }
}

/// The node with this number: its id, and the address `n<number>:7400`.
pub fn node(number: u64) -> NodeId {
    NodeId::from_bits(number)
}

pub fn address(number: u64) -> String {
    format!("n{number}:7400")
}

fn partition(id: u64, start: Bytes, end: Bytes, voters: &[u64]) -> Partition {
    let voter = |(i, number): (usize, &u64)| Member { node: node(*number), replica: i as u64 + 1 };
    Partition {
        id,
        keyspace: KeyspaceId::DEFAULT,
        start,
        end,
        generation: 1,
        cluster: "a".into(),
        voters: voters.iter().enumerate().map(voter).collect(),
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    }
}

fn map(routing: Routing, starts: &[Bytes], voters: &[&[u64]]) -> PartitionMap {
    let partitions = voters.iter().enumerate().map(|(i, voters)| {
        let end = starts.get(i + 1).cloned().unwrap_or_default();
        partition(i as u64 + 1, starts[i].clone(), end, voters)
    });
    let mut numbers: Vec<u64> = voters.iter().flat_map(|voters| voters.iter().copied()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let nodes = numbers.into_iter().map(|number| Node {
        id: node(number),
        name: format!("n{number}"),
        cluster: "a".into(),
        address: format!("n{number}"),
        ports: Ports::default(),
        version: 1,
    });
    let map = PartitionMap {
        epoch: 1,
        keyspaces: vec![Keyspace::default_with(routing)],
        clusters: Vec::new(),
        nodes: nodes.collect(),
        partitions: partitions.collect(),
        ..PartitionMap::empty(DATABASE)
    };
    map.validate().unwrap();
    map
}

/// A map with hash routing: for each partition the nodes of its voters.
pub fn hash_map(voters: &[&[u64]]) -> PartitionMap {
    let count = voters.len() as u64;
    let starts: Vec<_> = (0..count).map(|i| Routing::hash_start(i, count)).collect();
    map(Routing::Hash { prefix_delimiter: Bytes::new() }, &starts, voters)
}

/// A map with range routing, split at these keys.
pub fn range_map(splits: &[&'static str], voters: &[&[u64]]) -> PartitionMap {
    let starts = std::iter::once("").chain(splits.iter().copied());
    let starts: Vec<_> = starts.map(|key| Bytes::from_static(key.as_bytes())).collect();
    map(Routing::Range, &starts, voters)
}

/// The database of these maps.
pub const DATABASE: DatabaseId = DatabaseId::from_bits(0xdb);

/// A place in tokens of its keyspace `default`.
pub fn place(partition: u64, revision: u64) -> Place {
    Place { partition, generation: 1, revision, keyspace: 1 }
}

pub fn header(partition: u64, revision: u64) -> Option<v1::ResponseHeader> {
    Some(v1::ResponseHeader {
        partition,
        generation: 1,
        revision,
        session_token: SessionToken::of(DATABASE, place(partition, revision), 0).to_bytes(),
        leader: true,
        ..Default::default()
    })
}

/// A leader that takes everything: puts succeed, sessions get id 77.
pub fn willing(operation: &v1::StreamOperation) -> Reply {
    Reply::Answer(match operation.operation.as_ref().unwrap() {
        Operation::Get(get) => Answer::Get(v1::GetResponse {
            header: header(1, 5),
            found: true,
            value: get.key.clone(),
            value_revision: 5,
            versions: Vec::new(),
            expiry_milliseconds: 0,
        }),
        Operation::Put(_) => Answer::Put(v1::PutResponse {
            header: header(1, 6),
            condition_met: true,
            ..Default::default()
        }),
        Operation::Register(_) => {
            Answer::Register(v1::RegisterResponse { header: header(1, 4), session_id: 77 })
        }
        Operation::Delete(_) => Answer::Delete(v1::DeleteResponse {
            header: header(1, 6),
            condition_met: true,
            existed: true,
            ..Default::default()
        }),
        Operation::Batch(_) => Answer::Batch(v1::BatchResponse {
            header: header(1, 6),
            conditions_met: true,
            ..Default::default()
        }),
        Operation::Transact(_) => Answer::Transact(v1::TransactResponse {
            header: header(1, 6),
            conditions_met: true,
            ..Default::default()
        }),
        Operation::Scan(_) => Answer::Scan(v1::ScanResponse::default()),
        Operation::Watch(_) => Answer::Watch(v1::WatchResponse::default()),
        Operation::Status(_) => Answer::Status(v1::StatusResponse::default()),
    })
}

/// A follower that names node `leader`, or nobody.
pub fn follower(leader: Option<u64>) -> impl FnMut(&v1::StreamOperation) -> Reply + Send {
    move |_| {
        let name = leader.map(|number| node(number).to_string()).unwrap_or_default();
        Reply::Fault(Fault::not_leader(1, name, leader.map(address).unwrap_or_default()))
    }
}

/// Takes registrations, and leaves puts to `script`, with the number of the put.
pub fn puts(
    mut script: impl FnMut(usize, &v1::StreamOperation) -> Reply + Send,
) -> impl FnMut(&v1::StreamOperation) -> Reply + Send {
    let mut number = 0;
    move |operation| {
        if !matches!(operation.operation, Some(Operation::Put(_))) {
            return willing(operation);
        }
        number += 1;
        script(number, operation)
    }
}
