//! How requests reach servers: over gRPC unless told otherwise; the simulator
//! brings its own. Everything above it (what is sent where and when, what is
//! bounded, what an answer or its absence means) is the same code on either.

mod grpc;

pub use grpc::Grpc;
pub(crate) use grpc::describe;

use crate::connection::Requests;
use doug_proto::v1::{StreamResponse, WatchMapResponse};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

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

    /// `Doug.WatchMap` of `address`: its map once that is newer than `after_epoch`,
    /// and every later one.
    fn watch_map(
        &self,
        address: String,
        after_epoch: u64,
    ) -> BoxFuture<'static, Result<Maps, String>>;
}
