//! How a connection comes to be: over TCP, or whatever a test puts in its place.

use doug_proto::address::is_bare_ipv6;
use doug_proto::error::Fault;
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

/// `host:port` of what a user gives as an endpoint.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is missing.
pub(crate) fn address_of(endpoint: &str) -> Result<String, Fault> {
    if endpoint.starts_with("https://") {
        return Err(Fault::invalid(format!(
            "{endpoint}: TLS is not supported yet; give http://host:port or host:port"
        )));
    }
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/');
    if is_bare_ipv6(address) {
        return Err(Fault::invalid(format!(
            "{endpoint:?} is not an endpoint: put an IPv6 address in brackets, before the port, \
             for instance [fd00::7]:7400"
        )));
    }
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    if host.is_empty() || port.parse::<u16>().is_err() || host.contains('/') {
        return Err(Fault::invalid(format!(
            "{endpoint:?} is not an endpoint: give host:port, for instance 127.0.0.1:7400"
        )));
    }
    Ok(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(address_of("127.0.0.1:7400").unwrap(), "127.0.0.1:7400");
        assert_eq!(address_of("http://[::1]:7400/").unwrap(), "[::1]:7400");
        for wrong in ["", "localhost", ":7400", "host:seventy", "host:70000", "a/b:1"] {
            assert!(address_of(wrong).unwrap_err().message.contains("host:port"), "{wrong}");
        }
        assert!(address_of("fd00::7:7400").unwrap_err().message.contains("[fd00::7]:7400"));
        assert!(address_of("https://host:7400").unwrap_err().message.contains("TLS"));
    }
}
