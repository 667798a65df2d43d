//! Requests that never become whole, as no client library sends them.

use bytes::Bytes;
use doug_proto::error::Fault;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::http::Request;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

/// The length that every message claims to have, in bytes.
const CLAIMED: u32 = 4 << 20;

/// The body of a call that sends the first bytes of a message and then waits for ever.
struct Unfinished {
    prefix: Option<[u8; 5]>,
    left: usize,
}

impl Body for Unfinished {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let piece = match self.prefix.take() {
            Some(prefix) => Bytes::copy_from_slice(&prefix),
            None if self.left == 0 => return Poll::Pending,
            None => vec![0; self.left.min(64 << 10)].into(),
        };
        self.left = self.left.saturating_sub(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// How a put of 4 MiB ends of which only the first `bytes` come.
///
/// # Panics
/// When there is no connection, or the put is answered.
pub async fn put(mut channel: Channel, bytes: usize) -> Fault {
    let [a, b, c, d] = CLAIMED.to_be_bytes();
    let body = Unfinished { prefix: Some([0, a, b, c, d]), left: bytes };
    let request = Request::post("/dougdb.v1.Doug/Put")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
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
