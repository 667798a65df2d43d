//! The bidirectional stream: many operations a message, answers as they come.

use super::operations::submit;
use crate::engine::Engine;
use crate::engine::requests::Sink;
use doug_edge::answers::{Account, Held};
use doug_edge::outbox::{Message, Messages, Outbox, WAITING_MESSAGES};
use doug_proto::error::Fault;
use doug_proto::{deadline, oversize, v1};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tonic::{Status, Streaming};

/// Operations of one stream without an answer; beyond, it is not read. What its
/// answers may take is bounded in bytes, by the account of its connection.
const OPERATIONS: usize = 16_384;

/// Serves one stream until the client ends it, or reads nothing for too long.
pub fn serve(
    engine: Arc<Engine>,
    requests: Streaming<v1::StreamRequest>,
    account: Arc<Account>,
) -> Messages {
    let (answers, ready) = mpsc::unbounded_channel();
    let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
    let room = Arc::new(Semaphore::new(OPERATIONS));
    let reader = Reader { engine, answers, account: account.clone(), room: room.clone() };
    tokio::spawn(reader.read(requests, sender.clone()));
    tokio::spawn(write(ready, sender, account.clone(), room));
    Messages::new(receiver, account)
}

/// What takes the operations of a stream up.
struct Reader {
    engine: Arc<Engine>,
    answers: mpsc::UnboundedSender<(v1::StreamAnswer, Held)>,
    account: Arc<Account>,
    room: Arc<Semaphore>,
}

impl Reader {
    async fn read(
        self,
        mut requests: Streaming<v1::StreamRequest>,
        ended: mpsc::Sender<Result<Message, Status>>,
    ) {
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                () = self.account.stalled() => return,
            };
            let operations = match request {
                Ok(Some(request)) => request.operations,
                Ok(None) => return,
                Err(status) => {
                    drop(ended.send(Err(oversize::explain(status))).await);
                    return;
                }
            };
            for operation in operations {
                if self.take(operation).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Takes up one operation once there is room for its answer; `None` where the
    /// stream is at its end.
    async fn take(&self, operation: v1::StreamOperation) -> Option<()> {
        let v1::StreamOperation { id, timeout_milliseconds, operation } = operation;
        tokio::select! {
            biased;
            () = self.account.room(operation.as_ref()) => {}
            () = self.account.stalled() => return None,
        }
        let permit = self.room.acquire().await.ok()?;
        // Given back by the writer, when the answer leaves.
        permit.forget();
        let expected = self.account.expect(operation.as_ref());
        let sink = Sink::Stream { answers: self.answers.clone(), id, expected };
        let deadline = self.engine.clock.after(deadline::in_stream(timeout_milliseconds));
        match operation {
            Some(operation) => submit(&self.engine, operation, deadline, sink),
            None => sink.fail(&Fault::invalid(
                "the operation is of no kind this program knows: its client is newer",
            )),
        }
        Some(())
    }
}

async fn write(
    mut ready: mpsc::UnboundedReceiver<(v1::StreamAnswer, Held)>,
    sender: mpsc::Sender<Result<Message, Status>>,
    account: Arc<Account>,
    room: Arc<Semaphore>,
) {
    let mut outbox = Outbox::default();
    while let Some((answer, held)) = ready.recv().await {
        outbox.push(answer, held);
        while !outbox.is_full() {
            let Ok((answer, held)) = ready.try_recv() else { break };
            outbox.push(answer, held);
        }
        let count = outbox.len();
        while let Some(message) = outbox.message() {
            let sent = tokio::select! {
                biased;
                sent = sender.send(Ok(message)) => sent.is_ok(),
                () = account.stalled() => false,
            };
            if !sent {
                room.close();
                return;
            }
        }
        room.add_permits(count);
    }
}
