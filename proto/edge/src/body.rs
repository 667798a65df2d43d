//! The bodies of answers on their way to the socket. Each piece counts until
//! the kernel has taken it, and while a connection has enough of them nothing
//! more of its answers is encoded, whatever windows its client opens.

use crate::answers::{Account, Held, Sending};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// An answer's bytes, for the extensions of a unary response: its body keeps them
/// counted until it is sent.
#[derive(Clone)]
pub struct HeldByBody {
    _held: Arc<Held>,
}

impl HeldByBody {
    /// For a response's extensions.
    pub fn new(held: Held) -> Self {
        Self { _held: Arc::new(held) }
    }
}

/// A body whose pieces are counted.
pub struct CountedBody<B> {
    inner: Pin<Box<B>>,
    account: Option<Arc<Account>>,
    _held: Option<HeldByBody>,
}

impl<B> CountedBody<B> {
    /// Counts `inner` for `account`, if it is known whose it is.
    pub fn new(inner: B, account: Option<Arc<Account>>, held: Option<HeldByBody>) -> Self {
        Self { inner: Box::pin(inner), account, _held: held }
    }
}

/// A piece that is given back when the transport lets go of it.
struct Piece {
    bytes: Bytes,
    _sending: Sending,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(account) = &self.account {
            ready!(account.poll_send(context));
        }
        let Some(frame) = ready!(self.inner.as_mut().poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        let account = self.account.clone();
        Poll::Ready(Some(Ok(frame.map_data(|bytes| match account {
            Some(account) => {
                let _sending = account.send(bytes.len());
                Bytes::from_owner(Piece { bytes, _sending })
            }
            None => bytes,
        }))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
