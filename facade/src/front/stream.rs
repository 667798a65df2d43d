//! The bidirectional stream, which is the hot path: one task runs all
//! operations of a stream and sends answers that are ready together together.

use crate::admission::Permit;
use crate::router::Router;
use doug_proto::error::{Fault, check_request_bytes};
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::{StreamAnswer, StreamOperation, StreamRequest, StreamResponse};
use doug_proto::{deadline, oversize};
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Operations of one stream under way at once; beyond it the stream is not
/// read, and HTTP/2 flow control holds the client back.
const MOST_RUNNING: usize = 16_384;
/// A batch of answers is sent once it is this large, even if more are ready.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_ANSWERS: usize = 1_024;

/// Serves one stream until the client closes it, or until `stop`.
pub async fn serve(
    router: Arc<Router>,
    mut requests: impl Stream<Item = Result<StreamRequest, Status>> + Unpin,
    responses: mpsc::Sender<Result<StreamResponse, Status>>,
    stop: CancellationToken,
) {
    let _open = router.metrics().stream_opened();
    let mut running = FuturesUnordered::new();
    let mut reading = true;
    while reading || !running.is_empty() {
        tokio::select! {
            // Answers first: they free memory, requests take it.
            biased;
            Some(first) = running.next(), if !running.is_empty() => {
                let batch = gather(first, &mut running);
                if responses.send(Ok(batch.response)).await.is_err() {
                    return;
                }
            }
            request = requests.next(), if reading && running.len() < MOST_RUNNING => {
                match request {
                    Some(Ok(request)) => {
                        let together = check_request_bytes(request.encoded_len());
                        for operation in request.operations {
                            running.push(run(router.clone(), operation, together.clone()));
                        }
                    }
                    None => reading = false,
                    // The client is gone, or has sent what cannot be read; what
                    // follows on the stream could not be told from it.
                    Some(Err(status)) => {
                        let _ = responses.send(Err(oversize::explain(status))).await;
                        return;
                    }
                }
            }
            () = stop.cancelled(), if reading => reading = false,
        }
    }
}

/// An answer, and the leave to hold its bytes until it is sent.
struct Answered {
    answer: StreamAnswer,
    permit: Option<Permit>,
}

async fn run(
    router: Arc<Router>,
    operation: StreamOperation,
    together: Result<(), Fault>,
) -> Answered {
    let StreamOperation { id, timeout_milliseconds, operation } = operation;
    let (result, permit) = match (together, operation) {
        (Err(fault), _) => (Err(fault), None),
        (Ok(()), None) => (Err(unknown_operation()), None),
        (Ok(()), Some(operation)) => {
            let bytes = operation.encoded_len();
            router.execute(operation, bytes, deadline::in_stream(timeout_milliseconds)).await
        }
    };
    let answer = result.unwrap_or_else(|fault| Answer::Error(fault.to_wire()));
    Answered { answer: StreamAnswer { id, answer: Some(answer) }, permit }
}

fn unknown_operation() -> Fault {
    Fault::invalid(
        "the operation is empty, or of a kind this server does not know: set one of get, put, \
         delete, scan, batch, register or status, or upgrade the server",
    )
}

/// A response, and the permits of all its answers.
struct Batch {
    response: StreamResponse,
    _permits: Vec<Permit>,
}

/// The first answer and whatever else is ready, so that a busy stream sends few
/// large messages and an idle one waits for nobody.
fn gather<F>(first: Answered, running: &mut FuturesUnordered<F>) -> Batch
where
    F: Future<Output = Answered>,
{
    let mut bytes = 0;
    let mut batch = Batch { response: StreamResponse::default(), _permits: Vec::new() };
    let mut next = Some(first);
    while let Some(Answered { answer, permit }) = next {
        bytes += answer.encoded_len();
        batch.response.answers.push(answer);
        batch._permits.extend(permit);
        if bytes >= BATCH_BYTES || batch.response.answers.len() >= BATCH_ANSWERS {
            break;
        }
        next = running.next().now_or_never().flatten();
    }
    batch
}
