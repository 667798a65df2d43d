//! How a connection comes to be: over TCP, or whatever a test puts in its place.

use doug_proto::address::is_bare_ipv6;
use doug_proto::error::Fault;
use futures::future::BoxFuture;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

/// A two-way stream of bytes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens streams of bytes to servers. The simulator and tests bring their own.
pub trait Dial: Send + Sync + 'static {
    /// Opens one to `address`, which is `host:port`.
    ///
    /// # Errors
    /// `ConnectionRefused` where nobody listens, `NotFound` where there is no such host.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// TCP. The name is resolved at each connect, since pods move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let addresses: Vec<_> = lookup_host(&address).await.map_err(unknown)?.collect();
            let stream = TcpStream::connect(&addresses[..]).await?;
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
    let endpoint = endpoint.trim();
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/');
    if is_bare_ipv6(address) {
        return Err(Fault::invalid(format!(
            "{endpoint:?} is not an endpoint: put an IPv6 address in brackets, before the port, \
             for instance [fd00::7]:7400"
        )));
    }
    let strange = |character: char| character == '/' || character.is_whitespace();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    if host.is_empty() || port.parse::<u16>().is_err() || host.contains(strange) {
        return Err(Fault::invalid(format!(
            "{endpoint:?} is not an endpoint: give host:port, for instance 127.0.0.1:7400"
        )));
    }
    Ok(address.to_owned())
}

/// A failed look-up of a name. `NotFound` says that there is no such host, and not merely
/// that nobody could be asked: of that the resolver gives only the words.
fn unknown(error: io::Error) -> io::Error {
    let words = error.to_string();
    let why = words.rsplit_once(": ").map_or(&*words, |(_, why)| why);
    // As glibc and musl say EAI_AGAIN.
    let later = ["Temporary failure", "Try again"].iter().any(|said| why.starts_with(said));
    let kind = if later { io::ErrorKind::Other } else { io::ErrorKind::NotFound };
    io::Error::new(kind, format!("its name could not be resolved: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(address_of("127.0.0.1:7400").unwrap(), "127.0.0.1:7400");
        assert_eq!(address_of("http://[::1]:7400/").unwrap(), "[::1]:7400");
        assert_eq!(address_of(" 127.0.0.1:7400\n").unwrap(), "127.0.0.1:7400");
        for wrong in ["", " ", "localhost", ":7400", "host:70000", "a/b:1", "a b:1"] {
            assert!(address_of(wrong).unwrap_err().message.contains("host:port"), "{wrong}");
        }
        assert!(address_of("fd00::7:7400").unwrap_err().message.contains("[fd00::7]:7400"));
        assert!(address_of("https://host:7400").unwrap_err().message.contains("TLS"));
    }

    fn looked_up(why: &str) -> io::Error {
        unknown(io::Error::other(format!("failed to lookup address information: {why}")))
    }

    #[test]
    fn a_host_that_does_not_exist_is_told_apart_from_a_resolver_that_does_not_answer() {
        let missing = looked_up("Name or service not known");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let said = "its name could not be resolved: Name or service not known";
        assert_eq!(missing.to_string(), said);
        let unasked = looked_up("Temporary failure in name resolution");
        assert_eq!(unasked.kind(), io::ErrorKind::Other);
    }
}
