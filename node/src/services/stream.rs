//! The bidirectional stream: many operations a message, answers as they come.

use super::operations::submit;
use crate::engine::requests::Sink;
use crate::engine::shared::Shared;
use doug_proto::error::Fault;
use doug_proto::{deadline, oversize, v1};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Most answers in one message.
const ANSWERS: usize = 512;
/// A message of answers is closed at about this many bytes.
const ANSWER_BYTES: usize = 1 << 20;
/// Messages of answers that wait for the client to read them.
const WAITING: usize = 8;
/// Operations of one stream without an answer; beyond, it is not read. What
/// the client does not read therefore stays bounded, and so does what it asks.
const OPERATIONS: usize = 16_384;

/// Serves one stream until the client ends it.
pub fn serve(
    shared: Arc<Shared>,
    requests: Streaming<v1::StreamRequest>,
) -> impl Stream<Item = Result<v1::StreamResponse, Status>> + Send {
    let (answers, ready) = mpsc::unbounded_channel();
    let (sender, receiver) = mpsc::channel(WAITING);
    let room = Arc::new(tokio::sync::Semaphore::new(OPERATIONS));
    tokio::spawn(read(shared, requests, answers, sender.clone(), room.clone()));
    tokio::spawn(write(ready, sender, room));
    ReceiverStream::new(receiver)
}

async fn read(
    shared: Arc<Shared>,
    mut requests: Streaming<v1::StreamRequest>,
    answers: mpsc::UnboundedSender<v1::StreamAnswer>,
    ended: mpsc::Sender<Result<v1::StreamResponse, Status>>,
    room: Arc<tokio::sync::Semaphore>,
) {
    loop {
        let request = match requests.message().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(status) => {
                drop(ended.send(Err(oversize::explain(status))).await);
                return;
            }
        };
        for operation in request.operations {
            let Ok(permit) = room.acquire().await else { return };
            // Given back by the writer, when the answer leaves.
            permit.forget();
            let sink = Sink::Stream { answers: answers.clone(), id: operation.id };
            let deadline = shared.clock.after(deadline::in_stream(operation.timeout_milliseconds));
            match operation.operation {
                Some(operation) => submit(&shared, operation, deadline, sink),
                None => sink.fail(&Fault::invalid(
                    "the operation is of no kind this program knows: its client is newer",
                )),
            }
        }
    }
}

async fn write(
    mut ready: mpsc::UnboundedReceiver<v1::StreamAnswer>,
    sender: mpsc::Sender<Result<v1::StreamResponse, Status>>,
    room: Arc<tokio::sync::Semaphore>,
) {
    while let Some(first) = ready.recv().await {
        let mut bytes = size(&first);
        let mut answers = vec![first];
        while answers.len() < ANSWERS && bytes < ANSWER_BYTES {
            let Ok(next) = ready.try_recv() else { break };
            bytes += size(&next);
            answers.push(next);
        }
        let count = answers.len();
        if sender.send(Ok(v1::StreamResponse { answers })).await.is_err() {
            room.close();
            return;
        }
        room.add_permits(count);
    }
}

/// Enough to keep messages of large answers small.
fn size(answer: &v1::StreamAnswer) -> usize {
    match &answer.answer {
        Some(v1::stream_answer::Answer::Get(get)) => get.value.len(),
        Some(v1::stream_answer::Answer::Scan(scan)) => {
            scan.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum()
        }
        _ => 0,
    }
}
