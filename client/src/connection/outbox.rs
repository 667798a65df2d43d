//! The sending side of a stream: whatever is queued when the transport asks
//! goes into one message, so that a busy connection batches by itself.

use super::Multiplexer;
use doug_proto::v1::StreamRequest;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A message is closed at about this many bytes.
const MESSAGE_BYTES: usize = 128 << 10;
/// Most operations in one message.
const MESSAGE_OPERATIONS: usize = 1_024;

/// The requests of one stream.
pub(super) struct Outbox {
    multiplexer: Arc<Multiplexer>,
    /// The stream it belongs to.
    stream: u64,
}

impl Outbox {
    /// That of the stream that is about to begin.
    pub(super) fn new(multiplexer: Arc<Multiplexer>) -> Self {
        let stream = multiplexer.state.lock().stream;
        Self { multiplexer, stream }
    }
}

impl Stream for Outbox {
    type Item = StreamRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StreamRequest>> {
        let mut state = self.multiplexer.state.lock();
        if state.stream != self.stream {
            return Poll::Ready(None);
        }
        let operations = state.slots.take_queued(MESSAGE_BYTES, MESSAGE_OPERATIONS);
        if operations.is_empty() {
            state.outbox = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(StreamRequest { operations }))
    }
}
