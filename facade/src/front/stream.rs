//! The bidirectional stream, which is the hot path: one task runs all
//! operations of a stream and sends answers that are ready together together.

use super::stopping::execute;
use crate::router::Router;
use doug_edge::answers::{Account, Expected, Held};
use doug_edge::outbox::{Message, Outbox};
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::{StreamAnswer, StreamOperation, StreamRequest};
use doug_proto::{deadline, oversize};
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Operations of one stream under way, or answered and not sent, at once; beyond
/// it the stream is not read, and HTTP/2 flow control holds the client back.
const MOST_RUNNING: usize = 16_384;

/// Serves one stream until the client closes it, or reads nothing for too long, or
/// until `stop`. What its answers take is bounded by the connection's `account`:
/// while that has no room, operations wait and the stream is not read.
pub async fn serve(
    router: Arc<Router>,
    mut requests: impl Stream<Item = Result<StreamRequest, Status>> + Unpin,
    messages: mpsc::Sender<Result<Message, Status>>,
    account: Arc<Account>,
    stop: CancellationToken,
) {
    let _open = router.metrics().stream_opened();
    let mut running = FuturesUnordered::new();
    // Operations of the request read last, not begun yet.
    let mut waiting = VecDeque::new();
    let mut together = Ok(());
    let mut outbox = Outbox::default();
    let mut reading = true;
    while reading || !(waiting.is_empty() && running.is_empty() && outbox.is_empty()) {
        let next: Option<&StreamOperation> = waiting.front();
        let may_begin = running.len() + outbox.len() < MOST_RUNNING;
        tokio::select! {
            // Answers first: they free memory, requests take it. They are gathered
            // even while none can be sent, for those that wait elsewhere, in the
            // connections to the nodes, nobody counts.
            biased;
            sending = messages.reserve(), if !outbox.is_empty() => {
                let Ok(sending) = sending else { return };
                sending.send(Ok(outbox.message().expect("the outbox was not empty")));
            }
            Some((answer, held)) = running.next(), if !running.is_empty() => {
                outbox.push(answer, held);
                while !outbox.is_full() {
                    let Some(Some((answer, held))) = running.next().now_or_never() else { break };
                    outbox.push(answer, held);
                }
            }
            () = account.room(next.and_then(|next| next.operation.as_ref())),
                if next.is_some() && may_begin =>
            {
                while running.len() + outbox.len() < MOST_RUNNING
                    && waiting.front().is_some_and(|next: &StreamOperation| {
                        account.has_room(next.operation.as_ref())
                    })
                {
                    let next = waiting.pop_front().expect("it was just looked at");
                    let expected = account.expect(next.operation.as_ref());
                    let (router, stop) = (router.clone(), stop.clone());
                    running.push(run(router, next, together.clone(), expected, stop));
                }
            }
            request = requests.next(), if reading && waiting.is_empty() && may_begin => {
                match request {
                    Some(Ok(request)) => {
                        together = limits::check_request_bytes(request.encoded_len());
                        waiting.extend(request.operations);
                    }
                    None => reading = false,
                    // The client is gone, or has sent what cannot be read; what
                    // follows on the stream could not be told from it.
                    Some(Err(status)) => {
                        let _ = messages.send(Err(oversize::explain(status))).await;
                        return;
                    }
                }
            }
            () = account.stalled() => return,
            () = stop.cancelled(), if reading => reading = false,
        }
    }
}

async fn run(
    router: Arc<Router>,
    operation: StreamOperation,
    together: Result<(), Fault>,
    expected: Expected,
    stop: CancellationToken,
) -> (StreamAnswer, Held) {
    let StreamOperation { id, timeout_milliseconds, operation } = operation;
    let result = match (together, operation) {
        (Err(fault), _) => Err(fault),
        (Ok(()), None) => Err(unknown_operation()),
        (Ok(()), Some(operation)) => {
            let bytes = operation.encoded_len();
            let timeout = deadline::in_stream(timeout_milliseconds);
            execute(&router, operation, bytes, timeout, &stop).await
        }
    };
    let answer = result.unwrap_or_else(|fault| Answer::Error(fault.to_wire()));
    let (answer, held) = expected.settle(answer);
    (StreamAnswer { id, answer: Some(answer) }, held)
}

fn unknown_operation() -> Fault {
    Fault::invalid(
        "the operation is empty, or of a kind this server does not know: set one of get, put, \
         delete, scan, batch, watch, register or status, or upgrade the server",
    )
}
