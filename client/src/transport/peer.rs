//! What listens at an address, where that is no `Doug` service. Somebody gave the port of
//! something else: whoever is told so at once need not wait, nor guess.

use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::metadata::MetadataMap;

/// As many bytes as it takes to tell the protocols below apart.
const FIRST_BYTES: usize = 8;
/// In the header of an HTTP/2 frame, the place of its type.
const FRAME_TYPE: usize = 3;
/// The type of the frame that every HTTP/2 server begins with.
const SETTINGS: u8 = 4;
/// The type of the TLS record that answers what is no TLS.
const TLS_ALERT: u8 = 21;

/// The first bytes that a peer sent on the newest connection to it.
#[derive(Clone, Default)]
pub(crate) struct FirstBytes(Arc<Mutex<Vec<u8>>>);

impl FirstBytes {
    /// A connection whose first bytes are heard here, in place of an earlier one's.
    pub(crate) fn listen<I>(&self, io: I) -> Overheard<I> {
        self.0.lock().clear();
        Overheard { io, first: self.clone(), heard: 0 }
    }

    /// What the peer speaks, if that is not HTTP/2.
    pub(crate) fn other_protocol(&self) -> Option<&'static str> {
        not_http2(&self.0.lock())
    }
}

/// What a peer speaks that sent these bytes first, if that is not HTTP/2.
pub(crate) fn not_http2(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => Some("HTTP/1.1"),
        [TLS_ALERT, 3, ..] => Some("TLS, which is not supported yet,"),
        _ => (*first.get(FRAME_TYPE)? != SETTINGS).then_some("another protocol"),
    }
}

/// Whether the headers of an answer are not those of gRPC, so that plain HTTP was spoken.
pub(crate) fn is_no_grpc(headers: &MetadataMap) -> bool {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
    !kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// A connection that is listened to until its first bytes are known.
pub(crate) struct Overheard<I> {
    io: I,
    first: FirstBytes,
    heard: usize,
}

impl<I: AsyncRead + Unpin> AsyncRead for Overheard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if self.heard < FIRST_BYTES {
            let news = &buffer.filled()[before..];
            let news = &news[..news.len().min(FIRST_BYTES - self.heard)];
            self.first.0.lock().extend_from_slice(news);
            self.heard += news.len();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Overheard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_by_its_first_bytes() {
        assert_eq!(not_http2(&[0, 0, 18, SETTINGS, 0, 0, 0, 0]), None);
        assert_eq!(not_http2(b"HTTP/1.1 400"), Some("HTTP/1.1"));
        assert_eq!(not_http2(b"SSH-2.0-O"), Some("another protocol"));
        assert!(not_http2(&[TLS_ALERT, 3, 1, 0, 2]).is_some_and(|said| said.contains("TLS")));
        assert_eq!(not_http2(&[0, 0]), None, "too little to tell");
    }
}
