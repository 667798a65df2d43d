//! How a connection comes to be: over TCP, or whatever a test puts in its place.

use futures::future::BoxFuture;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A two-way stream of bytes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens streams of bytes to servers. The simulator and tests bring their own.
pub trait Dial: Send + Sync + 'static {
    /// Opens one to `address`, which is `host:port`.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// TCP. The name is resolved at each connect, since pods move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
