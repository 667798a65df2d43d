//! Requests that never become whole, as no client library sends them.

use doug_proto::error::Fault;
use futures::stream::{self, StreamExt};
use tonic::Status;
use tonic::codegen::http::Request;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

/// The length that every message claims to have, in bytes.
const CLAIMED: u32 = 4 << 20;
/// Its bytes come in pieces of this length.
const PIECE: usize = 64 << 10;

/// How a put of 4 MiB ends of which only so many pieces of 64 KiB come.
///
/// # Panics
/// When there is no connection, or the put is answered.
pub async fn put(mut channel: Channel, pieces: usize) -> Fault {
    let prefix = [&[0][..], &CLAIMED.to_be_bytes()].concat();
    let pieces = std::iter::once(prefix).chain(std::iter::repeat_n(vec![0; PIECE], pieces));
    let sent = stream::iter(pieces.map(Ok::<_, Status>)).chain(stream::pending());
    let request = Request::post("/dougdb.v1.Doug/Put")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(axum::body::Body::from_stream(sent)))
        .expect("a request");
    let service = channel.ready().await.expect("a connection");
    match service.call(request).await {
        Ok(response) => {
            let status = Status::from_header_map(response.headers()).expect("it is not answered");
            Fault::from_status(&status)
        }
        Err(error) => Fault::unavailable(error.to_string()),
    }
}
