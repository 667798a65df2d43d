//! The connections of one port: accepted within its limit, whatever goes wrong.
//! Without a free descriptor a listener is ready and cannot accept: it pauses
//! then, for to try again at once would only burn a core.

use crate::answers::{Account, Answers};
use crate::frames::DataFrames;
use crate::gate::{ConnectionAdmission, Gate, Place};
use crate::received::{Inflow, Received};
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tonic::transport::server::Connected;

/// Until a listener that could not accept tries again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection lives that is only told that there is no room.
const REFUSAL: Duration = Duration::from_secs(1);
/// Between two reads of a connection that sends more than is read, while memory is short. It is
/// read all the same: without its window updates it could not take its answers.
const SLOW: Duration = Duration::from_millis(10);

/// What connections come from: TCP, or whatever a test puts in its place.
pub trait Accept: Send + Unpin + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Self::Io>>;
}

impl Accept for TcpListener {
    type Io = TcpStream;

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let (stream, _) = ready!(TcpListener::poll_accept(self, context))?;
        // It fails only where the client has gone again, which is found soon enough.
        let _ = stream.set_nodelay(true);
        Poll::Ready(Ok(stream))
    }
}

/// The connections of one port, as a stream that never ends and never fails.
pub struct Incoming<L> {
    listener: L,
    gate: Gate,
    answers: Answers,
    received: Received,
    pause: Option<BoxFuture<'static, ()>>,
}

impl<L: Accept> Incoming<L> {
    /// At most `limit` connections of `listener` at a time. `whose` they are is for
    /// people: for instance "client". What is held for them counts in `answers` and `received`.
    pub fn new(
        listener: L,
        whose: &'static str,
        limit: usize,
        answers: Answers,
        received: Received,
    ) -> Self {
        Self { listener, gate: Gate::new(whose, limit), answers, received, pause: None }
    }

    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<Connection<L::Io>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok(io) => {
                    if let Some(connection) = self.admit(io) {
                        return Poll::Ready(connection);
                    }
                }
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    if self.gate.may_tell() {
                        tracing::warn!("no connection can be accepted, trying again: {error}");
                    }
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }

    fn admit(&mut self, io: L::Io) -> Option<Connection<L::Io>> {
        let account = self.answers.account();
        let inflow = self.received.inflow(account.closed.clone());
        let (ends, refused, place): (BoxFuture<'static, ()>, _, _) = match self.gate.admit() {
            ConnectionAdmission::Served(place) => {
                (Box::pin(account.closed.clone().cancelled_owned()), None, place)
            }
            ConnectionAdmission::Refused(place, why) => {
                (Box::pin(sleep(REFUSAL)), Some(why.into()), place)
            }
            ConnectionAdmission::Closed => return None,
        };
        let (peer, frames) = (Peer { account, inflow, refused }, Some(DataFrames::new()));
        Some(Connection { io, ends, ended: false, peer, frames, slow: None, _place: place })
    }
}

/// Whether the connection that was about to be accepted has gone again.
fn of_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

impl<L: Accept> Stream for Incoming<L> {
    type Item = io::Result<Connection<L::Io>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_connection(context).map(|connection| Some(Ok(connection)))
    }
}

/// For HTTP pages. Those without a place are answered here.
impl axum::serve::Listener for Incoming<TcpListener> {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Some(Ok(mut connection)) = self.next().await else { continue };
            connection.frames = None;
            match (&connection.peer.refused, connection.io.peer_addr()) {
                (None, Ok(address)) => return (connection, address),
                (None, Err(_)) => {}
                (Some(why), _) => {
                    let page = refusal_page(why);
                    tokio::spawn(tokio::time::timeout(REFUSAL, tell(connection, page)));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn refusal_page(why: &str) -> String {
    let length = why.len() + 1;
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    )
}

async fn tell(mut connection: Connection<TcpStream>, page: String) {
    // Whoever does not hear it is refused all the same.
    let _ = connection.write_all(page.as_bytes()).await;
    let _ = connection.shutdown().await;
}

/// Who is at the other end of a connection; in the extensions of its requests.
#[derive(Clone)]
pub struct Peer {
    account: Arc<Account>,
    inflow: Arc<Inflow>,
    refused: Option<Arc<str>>,
}

impl Peer {
    /// The account of a request's connection.
    ///
    /// # Panics
    /// If the request did not come in through [`Incoming`].
    pub fn account<T>(request: &tonic::Request<T>) -> Arc<Account> {
        let peer = request.extensions().get::<Peer>();
        peer.expect("every port is served through Incoming").account.clone()
    }

    /// Of one inside a program, for tests.
    pub fn of(account: Arc<Account>) -> Self {
        let inflow = Received::new(usize::MAX).inflow(account.closed.clone());
        Self { account, inflow, refused: None }
    }

    pub(crate) fn its_inflow(&self) -> &Arc<Inflow> {
        &self.inflow
    }

    pub(crate) fn its_account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Why nothing is served to it.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

/// A connection that ends when its place or its client's patience does.
pub struct Connection<Io> {
    io: Io,
    ends: BoxFuture<'static, ()>,
    ended: bool,
    peer: Peer,
    /// None: it speaks HTTP/1, whose bodies here are short.
    frames: Option<DataFrames>,
    /// Until it is read again.
    slow: Option<BoxFuture<'static, ()>>,
    _place: Place,
}

impl<Io> Connection<Io> {
    /// Fails once the connection is to end.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.ended || self.ends.as_mut().poll(context).is_ready() {
            self.ended = true;
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "closed by this server"));
        }
        Ok(())
    }
}

impl<Io: Send + 'static> Connected for Connection<Io> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        if self.slow.is_none() && !self.peer.inflow.may_read() {
            self.slow = Some(Box::pin(sleep(SLOW)));
        }
        if let Some(slow) = &mut self.slow {
            ready!(slow.as_mut().poll(context));
            self.slow = None;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if let Some(frames) = &mut self.frames {
            let bytes = frames.count(&buffer.filled()[before..]);
            self.peer.inflow.came(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, DuplexStream};

    /// Gives what it is told to; then, as a listener without descriptors does, the
    /// same error for ever.
    struct Fake {
        then: VecDeque<io::Result<DuplexStream>>,
        asked: usize,
    }

    impl Accept for Fake {
        type Io = DuplexStream;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<DuplexStream>> {
            self.asked += 1;
            Poll::Ready(self.then.pop_front().unwrap_or_else(|| Err(no_descriptors())))
        }
    }

    fn no_descriptors() -> io::Error {
        io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())
    }

    fn incoming(then: Vec<io::Result<DuplexStream>>, limit: usize) -> Incoming<Fake> {
        let fake = Fake { then: then.into(), asked: 0 };
        Incoming::new(fake, "client", limit, Answers::new(1 << 20), Received::new(1 << 20))
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_a_listener_pauses_and_then_accepts_again() {
        let (near, _far) = tokio::io::duplex(64);
        let failures = (0..50).map(|_| Err(no_descriptors()));
        let mut incoming = incoming(failures.chain([Ok(near)]).collect(), 8);
        let began = tokio::time::Instant::now();
        incoming.next().await.unwrap().unwrap();
        assert!(began.elapsed() >= 50 * PAUSE, "it pauses after each failure");
        assert_eq!(incoming.listener.asked, 51);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_again_holds_nobody_up() {
        let (near, _far) = tokio::io::duplex(64);
        let gone = Err(io::Error::from(ErrorKind::ConnectionAborted));
        let mut incoming = incoming(vec![gone, Ok(near)], 8);
        let began = tokio::time::Instant::now();
        incoming.next().await.unwrap().unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_beyond_the_limit_is_told_why_and_closed_after_a_second() {
        let pipes: Vec<_> = (0..2).map(|_| tokio::io::duplex(64)).collect();
        let (near, _far): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let mut incoming = incoming(near.into_iter().map(Ok).collect(), 1);
        let served = incoming.next().await.unwrap().unwrap();
        let mut refused = incoming.next().await.unwrap().unwrap();
        assert_eq!(served.peer.refused(), None);
        assert!(refused.peer.refused().unwrap().contains("--max-connections"));
        let ended = refused.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_its_client_takes_nothing() {
        let (near, _far) = tokio::io::duplex(64);
        let mut incoming = incoming(vec![Ok(near)], 1);
        let mut connection = incoming.next().await.unwrap().unwrap();
        let account = connection.peer.its_account().clone();
        let reading = tokio::spawn(async move { connection.read_u8().await });
        tokio::task::yield_now().await;
        account.closed.cancel();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    }
}
