//! How requests reach servers: over gRPC unless told otherwise; the simulator
//! brings its own. Everything above it (what is sent where and when, what is
//! bounded, what an answer or its absence means) is the same code on either.

mod barred;
mod grpc;
mod peer;

pub(crate) use barred::{sentences, verdict};
pub use grpc::Grpc;
pub(crate) use grpc::describe;

use doug_proto::v1::{StreamRequest, StreamResponse, WatchMapRequest, WatchMapResponse};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The requests of one stream, for a [`Transport`] to pull: whatever it pulls may have
/// reached the server from then on. They end when the stream does.
pub struct Requests(BoxStream<'static, StreamRequest>);

impl Requests {
    pub(crate) fn new(requests: impl Stream<Item = StreamRequest> + Send + 'static) -> Self {
        Self(requests.boxed())
    }
}

impl Stream for Requests {
    type Item = StreamRequest;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<StreamRequest>> {
        self.0.poll_next_unpin(context)
    }
}

/// The answers of one stream; after an error, which says why it broke, none.
pub type Responses = BoxStream<'static, Result<StreamResponse, String>>;

/// The maps that a server tells; after an error none.
pub type Maps = BoxStream<'static, Result<WatchMapResponse, String>>;

/// Why a stream did not come to be, in a sentence that names the server. But for
/// [`Broken`](Self::Broken) the server has read nothing, even of what was pulled from
/// the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No connection came to be, or the server promised to have read nothing.
    Unread(String),
    /// Nobody listens there. That changes as soon as somebody starts.
    Refused(String),
    /// There is no such host, or what listens there is no `Doug` service: waiting does
    /// not help.
    Mistaken(String),
    /// The server may have read requests.
    Broken(String),
}

impl OpenError {
    /// Whether nobody is there who could ever answer.
    pub(crate) fn bars(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Mistaken(_))
    }

    /// The sentence.
    pub fn why(&self) -> &str {
        let (Self::Unread(why) | Self::Refused(why) | Self::Mistaken(why) | Self::Broken(why)) =
            self;
        why
    }
}

/// Opens streams to servers. Boxed once a stream, never once an operation.
pub trait Transport: Send + Sync + 'static {
    /// `Doug.Stream` to `address`, which is `host:port`. Dropping the responses
    /// closes it.
    fn open(
        &self,
        address: String,
        requests: Requests,
    ) -> BoxFuture<'static, Result<Responses, OpenError>>;

    /// `Doug.WatchMap` of `address`. What the messages sum up to, a
    /// [`MapFollower`](doug_proto::map::MapFollower) says.
    fn watch_map(
        &self,
        address: String,
        request: WatchMapRequest,
    ) -> BoxFuture<'static, Result<Maps, OpenError>>;
}
