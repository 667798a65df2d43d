//! The library's transport in a simulated process: what it asks of the network is
//! left as commands for the world, and what the network brings is handed in.

use super::executor::Clock;
use doug_client::{Maps, OpenError, Requests, Responses, Runtime, Transport};
use doug_proto::v1::{StreamRequest, StreamResponse, WatchMapRequest, WatchMapResponse};
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Names a stream, in the whole run.
pub type StreamId = u64;

/// Messages of one stream that may be on their way: as flow control does, more
/// than these leave the library only when some have arrived.
pub const WINDOW: usize = 4;

/// What the library asks of the network.
#[derive(Debug)]
pub enum Command {
    /// To open a stream.
    Open {
        /// Its name.
        stream: StreamId,
        /// To whom, `host:port`.
        address: String,
        /// A watch of the map, and not a stream of operations.
        watch: Option<WatchMapRequest>,
    },
    /// To carry a message.
    Send {
        /// On which stream.
        stream: StreamId,
        /// What.
        request: StreamRequest,
    },
    /// To close a stream, from this end.
    Close {
        /// Which.
        stream: StreamId,
    },
}

/// What a server says on a stream.
#[derive(Debug)]
pub enum Told {
    /// Answers.
    Answers(StreamResponse),
    /// Its map.
    Map(Box<WatchMapResponse>),
}

/// A process's end of all its streams.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<Inner>>);

struct Inner {
    next: StreamId,
    commands: Vec<Command>,
    links: BTreeMap<StreamId, Link>,
}

#[derive(Default)]
struct Link {
    connected: bool,
    /// The server has taken the stream up.
    begun: bool,
    refused: Option<OpenError>,
    told: VecDeque<Told>,
    broken: Option<String>,
    room: usize,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

impl Link {
    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.pump.take()]
    }
}

impl Wire {
    /// The end of one process; its streams are named from `first` on.
    pub fn new(first: StreamId) -> Self {
        let inner = Inner { next: first, commands: Vec::new(), links: BTreeMap::new() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// What was asked since this was asked last.
    pub fn commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.0.lock().commands)
    }

    fn change(&self, stream: StreamId, change: impl FnOnce(&mut Link)) {
        let wakers = {
            let mut inner = self.0.lock();
            let Some(link) = inner.links.get_mut(&stream) else { return };
            change(link);
            link.wake()
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// There is a connection: requests may be sent.
    pub fn connected(&self, stream: StreamId) {
        self.change(stream, |link| link.connected = true);
    }

    /// The server has taken the stream up.
    pub fn begun(&self, stream: StreamId) {
        self.change(stream, |link| link.begun = true);
    }

    /// No connection came to be.
    pub fn refused(&self, stream: StreamId, why: String) {
        self.change(stream, |link| link.refused = Some(OpenError::Unread(why)));
    }

    /// The server said something.
    pub fn told(&self, stream: StreamId, told: Told) {
        self.change(stream, |link| link.told.push_back(told));
    }

    /// The stream broke.
    pub fn broke(&self, stream: StreamId, why: String) {
        self.change(stream, |link| link.broken = Some(why));
    }

    /// A message has arrived: another may leave.
    pub fn arrived(&self, stream: StreamId) {
        self.change(stream, |link| link.room += 1);
    }

    fn open(&self, address: String, watch: Option<WatchMapRequest>) -> End {
        let mut inner = self.0.lock();
        let stream = inner.next;
        inner.next += 1;
        inner.links.insert(stream, Link { room: WINDOW, ..Link::default() });
        inner.commands.push(Command::Open { stream, address, watch });
        drop(inner);
        End { wire: self.clone(), stream }
    }
}

/// The library's end of a stream: closed when dropped.
struct End {
    wire: Wire,
    stream: StreamId,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut inner = self.wire.0.lock();
        let stream = self.stream;
        let link = inner.links.remove(&stream);
        inner.commands.push(Command::Close { stream });
        drop(inner);
        // The pump finds the link gone, and ends.
        link.and_then(|link| link.pump).into_iter().for_each(Waker::wake);
    }
}

impl End {
    /// Once `is_so` holds of the link; or why it never will.
    async fn once(&self, is_so: impl Fn(&Link) -> bool) -> Result<(), OpenError> {
        std::future::poll_fn(|context| {
            let mut inner = self.wire.0.lock();
            let link = inner.links.get_mut(&self.stream).expect("this end is open");
            if let Some(refused) = link.refused.take() {
                return Poll::Ready(Err(refused));
            }
            if let Some(why) = link.broken.take() {
                return Poll::Ready(Err(OpenError::Broken(why)));
            }
            if is_so(link) {
                return Poll::Ready(Ok(()));
            }
            link.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Stream for End {
    type Item = Result<Told, String>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.wire.0.lock();
        let Some(link) = inner.links.get_mut(&self.stream) else { return Poll::Ready(None) };
        if let Some(told) = link.told.pop_front() {
            return Poll::Ready(Some(Ok(told)));
        }
        if let Some(why) = link.broken.clone() {
            return Poll::Ready(Some(Err(why)));
        }
        link.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Sends what the library has to send, as far as the stream takes it.
async fn pump(wire: Wire, stream: StreamId, mut requests: Requests) {
    loop {
        let request = std::future::poll_fn(|context| {
            match wire.0.lock().links.get_mut(&stream) {
                None => return Poll::Ready(None),
                Some(link) => {
                    link.pump = Some(context.waker().clone());
                    if link.room == 0 || link.broken.is_some() {
                        return Poll::Pending;
                    }
                }
            }
            requests.poll_next_unpin(context)
        });
        let Some(request) = request.await else { return };
        let mut inner = wire.0.lock();
        if let Some(link) = inner.links.get_mut(&stream) {
            link.room -= 1;
        }
        inner.commands.push(Command::Send { stream, request });
    }
}

/// The transport of one process.
pub struct Simulated {
    /// Its streams.
    pub wire: Wire,
    /// Where its tasks run.
    pub clock: Clock,
}

impl Transport for Simulated {
    fn open(
        &self,
        address: String,
        requests: Requests,
    ) -> BoxFuture<'static, Result<Responses, OpenError>> {
        let end = self.wire.open(address, None);
        let (wire, clock) = (self.wire.clone(), self.clock.clone());
        Box::pin(async move {
            end.once(|link| link.connected).await?;
            clock.spawn(Box::pin(pump(wire, end.stream, requests)));
            end.once(|link| link.begun).await?;
            let answers = end.map(|told| match told? {
                Told::Answers(answers) => Ok(answers),
                Told::Map(_) => Err("the server told its map on a stream of operations".to_owned()),
            });
            Ok(answers.boxed())
        })
    }

    fn watch_map(
        &self,
        address: String,
        request: WatchMapRequest,
    ) -> BoxFuture<'static, Result<Maps, OpenError>> {
        let end = self.wire.open(address, Some(request));
        Box::pin(async move {
            end.once(|link| link.begun).await?;
            let maps = end.map(|told| match told? {
                Told::Map(map) => Ok(*map),
                Told::Answers(_) => Err("the server answered operations on a watch".to_owned()),
            });
            Ok(maps.boxed())
        })
    }
}
