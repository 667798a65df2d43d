//! The settings of every gRPC server, and the layer around its services.

use crate::body::{CountedBody, HeldByBody};
use crate::incoming::Peer;
use crate::received::ReceivedBody;
use doug_proto::error::Fault;
use doug_proto::oversize;
use futures::future::{Either, MapOk, Ready, TryFutureExt, ready};
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Server;
use tower::{Layer, Service};

/// What a client may send of one call before the server reads it. gRPC's 64 KiB
/// stall pipelined streams; more than a round trip brings is no use.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all calls of a connection together: so much memory a client may
/// make the server take that does not read it.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Calls of one connection at a time.
const CALLS: u32 = 256;
/// A peer that is gone without a word is found by a ping: every so often one is
/// sent, and it has so long to answer.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// A server for clients.
pub fn for_clients() -> Server {
    server(STREAM_WINDOW, CONNECTION_WINDOW)
}

/// A server for nodes and operators, whose messages are larger and who are known.
pub fn for_peers() -> Server {
    server(8 << 20, 32 << 20)
}

fn server(stream: u32, connection: u32) -> Server {
    Server::builder()
        .initial_stream_window_size(stream)
        .initial_connection_window_size(connection)
        .max_concurrent_streams(CALLS)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
}

/// Counts the requests and answers of each connection, tells those that have no place, and
/// explains requests that are too large to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct EdgeLayer;

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner }
    }
}

/// A service within an [`EdgeLayer`].
#[derive(Clone, Debug)]
pub struct Edge<S> {
    inner: S,
}

type Answered = Response<CountedBody<Body>>;

impl<S> Service<Request<Body>> for Edge<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Answered;
    type Error = S::Error;
    type Future = Either<
        Ready<Result<Answered, S::Error>>,
        MapOk<S::Future, Box<dyn FnOnce(Response<Body>) -> Answered + Send>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        if let Some(why) = peer.as_ref().and_then(Peer::refused) {
            let response = Fault::unavailable(why).to_status().into_http::<Body>();
            return Either::Left(ready(
                Ok(response.map(|body| CountedBody::new(body, None, None))),
            ));
        }
        let request = match &peer {
            Some(peer) => {
                request.map(|body| Body::new(ReceivedBody::new(body, peer.its_inflow().clone())))
            }
            None => request,
        };
        let account = peer.map(|peer| peer.its_account().clone());
        Either::Right(self.inner.call(request).map_ok(Box::new(move |response| {
            let mut response = oversize::explain_response(response);
            let held = response.extensions_mut().remove::<HeldByBody>();
            response.map(|body| CountedBody::new(body, account, held))
        })))
    }
}
