//! Requests so large that they are not even read. The transport refuses them
//! with a code and words of its own; clients get the same answer as for any
//! other request beyond a limit.

use crate::error::Fault;
use crate::limits;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

/// How the transport's refusal begins.
const REFUSAL: &str = "Error, decoded message length too large: found ";

/// Our error where the transport refused a request for its size; any other
/// status as it is.
pub fn explain(status: Status) -> Status {
    match refused_bytes(&status) {
        Some(bytes) => Fault::limit("request bytes", limits::REQUEST_BYTES, bytes).to_status(),
        None => status,
    }
}

/// The same for the whole answer of a unary call.
pub fn explain_response<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    if let Some(status) = Status::from_header_map(headers)
        && refused_bytes(&status).is_some()
    {
        // Both statuses are made here and fit into headers.
        let _ = explain(status).add_header(headers);
    }
    response
}

fn refused_bytes(status: &Status) -> Option<usize> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    status.message().strip_prefix(REFUSAL)?.split(' ').next()?.parse().ok()
}
