//! The answers of one stream on their way to the transport, gathered into
//! messages: a busy stream sends few large ones, an idle one waits for nobody.

use crate::answers::{Account, Held};
use crate::stall;
use doug_proto::v1::{StreamAnswer, StreamResponse};
use futures::stream::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tonic::Status;

/// A message is closed once it holds this many bytes.
const MESSAGE_BYTES: usize = 256 << 10;
/// Most answers in one message.
const MESSAGE_ANSWERS: usize = 1_024;
/// Messages that wait for the transport.
pub const WAITING_MESSAGES: usize = 2;

/// Answers, and the leave to hold them.
#[derive(Default)]
pub struct Outbox {
    answers: VecDeque<(StreamAnswer, Held)>,
    bytes: usize,
}

impl Outbox {
    /// Adds one answer.
    pub fn push(&mut self, answer: StreamAnswer, held: Held) {
        self.bytes += held.bytes();
        self.answers.push_back((answer, held));
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Answers that wait.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there is enough for a whole message.
    pub fn is_full(&self) -> bool {
        self.bytes >= MESSAGE_BYTES || self.answers.len() >= MESSAGE_ANSWERS
    }

    /// Takes a message out; `None` if there is nothing.
    pub fn message(&mut self) -> Option<Message> {
        let (first, mut held) = self.answers.pop_front()?;
        let mut answers = vec![first];
        while held.bytes() < MESSAGE_BYTES && answers.len() < MESSAGE_ANSWERS {
            let Some((answer, more)) = self.answers.pop_front() else { break };
            answers.push(answer);
            held.join(more);
        }
        self.bytes -= held.bytes();
        Some(Message { response: StreamResponse { answers }, _held: held })
    }
}

/// A message, counted until the transport takes it.
pub struct Message {
    response: StreamResponse,
    _held: Held,
}

impl Message {
    /// The message alone: it is the caller's from here on.
    pub fn into_response(self) -> StreamResponse {
        self.response
    }
}

/// The messages of one stream, for the transport to pull. They end with an error
/// where the client did not read.
pub struct Messages {
    receiver: mpsc::Receiver<Result<Message, Status>>,
    account: Arc<Account>,
    told: bool,
}

impl Messages {
    /// The other end of `receiver`'s channel ends when `account` stalls.
    pub fn new(receiver: mpsc::Receiver<Result<Message, Status>>, account: Arc<Account>) -> Self {
        Self { receiver, account, told: false }
    }
}

impl Stream for Messages {
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.receiver.poll_recv(context)) {
            Some(message) => Poll::Ready(Some(message.map(Message::into_response))),
            None if self.account.is_stalled() && !self.told => {
                self.told = true;
                Poll::Ready(Some(Err(stall::fault().into())))
            }
            None => Poll::Ready(None),
        }
    }
}
