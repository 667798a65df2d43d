//! A simulated facade: the front door, the router and the map source that ship, on
//! simulated streams.

use super::program::Program;
use super::streams::Packet;
use super::transport::{Simulated, StreamId, Told};
use doug_edge::answers::Answers;
use doug_edge::outbox::WAITING_MESSAGES;
use doug_facade::map_source::{MapReceiver, MapSource, NodesSource};
use doug_facade::{Front, Metrics, RequestAdmission, Router};
use doug_proto::map::PartitionMap;
use doug_proto::v1::{StreamRequest, WatchMapRequest};
use futures::future::{AbortHandle, FutureExt, abortable};
use futures::stream::{StreamExt, unfold};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Most bytes under way in a facade: enough for everything a simulated client asks.
const MEMORY: usize = 64 << 20;

/// The inside of a facade's process.
pub struct Facade {
    front: Arc<Front>,
    answers: Answers,
    serving: BTreeMap<StreamId, Serving>,
    said: Arc<Mutex<Vec<(StreamId, Packet)>>>,
    /// Where a status is published, if its map comes from one.
    status: Option<watch::Sender<Option<Arc<PartitionMap>>>>,
}

/// One stream that it serves.
struct Serving {
    requests: mpsc::UnboundedSender<Result<StreamRequest, Status>>,
    answering: AbortHandle,
}

/// Where a facade has its map from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapFrom {
    /// `WatchMap` of nodes.
    Nodes,
    /// A status that an operator writes, so far behind at most.
    Status(Duration),
}

impl Facade {
    /// Begins one in a program that was just started.
    pub fn begin(program: &mut Program, from: &MapFrom, seeds: Vec<String>) {
        let (running, builder) = program.start();
        let clock = running.executor.clock();
        let (map, status): (MapReceiver, _) = match from {
            MapFrom::Nodes => {
                let wire = running.wire.clone();
                let transport = Simulated { wire, clock: clock.clone() };
                let (runtime, transport) = (Arc::new(clock), Arc::new(transport));
                (Box::new(NodesSource::over(runtime, transport, seeds)).start(), None)
            }
            MapFrom::Status(_) => {
                let (sender, receiver) = watch::channel(None);
                (receiver, Some(sender))
            }
        };
        let metrics = Arc::new(Metrics::new());
        let making = Router::over(builder, map, RequestAdmission::new(MEMORY), metrics);
        let router = making.now_or_never().expect("no network is needed to make a router");
        let router = Arc::new(router.expect("the settings are those of the simulator"));
        let front = Arc::new(Front::new(router, CancellationToken::new()));
        let (serving, said) = (BTreeMap::new(), Arc::default());
        let answers = Answers::new(MEMORY);
        running.facade = Some(Facade { front, answers, serving, said, status });
    }

    /// What it has said since this was asked last, by stream.
    pub fn said(&self) -> Vec<(StreamId, Packet)> {
        std::mem::take(&mut self.said.lock())
    }

    /// The status says this. As the shipped source does, it is merged with what is known.
    pub fn publish(&self, map: &PartitionMap) {
        let Some(status) = &self.status else { return };
        let known = status.borrow().clone();
        let next = known.map_or_else(|| Some(map.clone()), |known| known.merge(map));
        if let Some(next) = next {
            status.send_replace(Some(Arc::new(next)));
        }
    }

    /// A client's call begins: a stream of operations, or a watch of the map.
    /// Returns the task that serves it.
    pub fn call(
        &mut self,
        stream: StreamId,
        watch: Option<WatchMapRequest>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (requests, incoming) = mpsc::unbounded_channel();
        let said = self.said.clone();
        said.lock().push((stream, Packet::Begin));
        let (front, account) = (self.front.clone(), self.answers.account());
        let (task, answering) = abortable(async move {
            let say = |packet| said.lock().push((stream, packet));
            if let Some(request) = watch {
                let mut maps = Box::pin(front.maps(request));
                while let Some(Ok(map)) = maps.next().await {
                    say(Packet::Told(Told::Map(Box::new(map))));
                }
            } else {
                let (answers, mut ready) = mpsc::channel(WAITING_MESSAGES);
                let incoming = unfold(incoming, |mut incoming| async {
                    incoming.recv().await.map(|request| (request, incoming))
                });
                let serving = front.serve_stream(incoming.boxed(), answers, account);
                let answering = async {
                    while let Some(Ok(message)) = ready.recv().await {
                        say(Packet::Told(Told::Answers(message.into_response())));
                    }
                };
                futures::join!(serving, answering);
            }
            say(Packet::End);
        });
        self.serving.insert(stream, Serving { requests, answering });
        task.map(drop)
    }

    /// Operations arrive.
    pub fn take(&mut self, stream: StreamId, request: StreamRequest) {
        if let Some(serving) = self.serving.get(&stream) {
            // It is gone where the stream was ended from this side.
            drop(serving.requests.send(Ok(request)));
        }
    }

    /// The client has ended a stream: whatever runs for it is abandoned.
    pub fn ended(&mut self, stream: StreamId) {
        if let Some(serving) = self.serving.remove(&stream) {
            serving.answering.abort();
        }
    }
}
