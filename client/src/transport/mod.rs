//! How requests reach servers: over gRPC unless told otherwise; the simulator
//! brings its own. Everything above it (what is sent where and when, what is
//! bounded, what an answer or its absence means) is the same code on either.

mod grpc;

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

/// Why a stream did not come to be, in a sentence that names the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The server has read nothing, even of what was pulled from the requests.
    Unread(String),
    /// It may have.
    Broken(String),
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
    ) -> BoxFuture<'static, Result<Maps, String>>;
}
