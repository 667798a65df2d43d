//! How a client is made.

use crate::client::Client;
use crate::dial::Dial;
use crate::jitter::Jitter;
use crate::runtime::{Runtime, Tokio};
use crate::transport::{Grpc, Transport};
use doug_proto::address::is_bare_ipv6;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::PartitionMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What all parts of a client share and never changes.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) reconnect_first: Duration,
    pub(crate) reconnect_most: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) max_in_flight_bytes: usize,
    pub(crate) sessions: bool,
    pub(crate) track_session: bool,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) jitter: Jitter,
}

/// Where the operations go.
pub(crate) enum Mode {
    /// All through the given endpoints.
    Endpoints,
    /// Straight to leaders, by a map that someone else keeps current.
    Direct(watch::Receiver<Option<Arc<PartitionMap>>>),
    /// Straight to leaders, by the map that the endpoints serve.
    DirectFromEndpoints,
}

/// Makes a [`Client`]. All settings have defaults, except where to go: give
/// [`endpoints`](Self::endpoints) or [`direct`](Self::direct).
pub struct Builder {
    endpoints: Vec<String>,
    mode: Mode,
    settings: Settings,
    grpc: Grpc,
    seed: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        let settings = Settings {
            timeout: Duration::from_millis(limits::DEFAULT_TIMEOUT_MILLISECONDS.into()),
            patience: Duration::from_millis(150),
            reconnect_first: Duration::from_millis(5),
            reconnect_most: Duration::from_millis(100),
            max_in_flight: 65_536,
            max_in_flight_bytes: 64 << 20,
            sessions: true,
            track_session: false,
            runtime: Arc::new(Tokio),
            transport: Arc::new(Grpc::default()),
            jitter: Jitter::new(0),
        };
        let (endpoints, mode) = (Vec::new(), Mode::Endpoints);
        Self { endpoints, mode, settings, grpc: Grpc::default(), seed: None }
    }
}

impl Builder {
    /// Servers to send everything to, `host:port` or `http://host:port`: spread
    /// over them, and past those that do not answer.
    pub fn endpoints<T: Into<String>>(mut self, endpoints: impl IntoIterator<Item = T>) -> Self {
        self.endpoints = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// Straight to the nodes, by a map that the caller keeps current. While it
    /// is `None`, operations wait for it until their deadlines.
    pub fn direct(mut self, map: watch::Receiver<Option<Arc<PartitionMap>>>) -> Self {
        self.mode = Mode::Direct(map);
        self
    }

    /// Straight to the nodes, by the map that the endpoints serve (`--direct`).
    /// Needs node addresses that resolve here, which through a port-forward
    /// they do not.
    pub fn direct_from_endpoints(mut self) -> Self {
        self.mode = Mode::DirectFromEndpoints;
        self
    }

    /// How long an operation may take where the call does not say; 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How long nothing at all may be heard from a server that owes an answer
    /// until another replica is asked as well; 150 ms.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// How long a connect may take; 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.grpc.connect_timeout = timeout;
        self.over_grpc()
    }

    /// Most operations, and bytes of them, in flight to one server; 65,536 and
    /// 64 MiB. Beyond them operations wait and are tried again until their
    /// deadlines, then end `RESOURCE_EXHAUSTED`.
    pub fn max_in_flight(mut self, operations: usize, bytes: usize) -> Self {
        self.settings.max_in_flight = operations.max(1);
        self.settings.max_in_flight_bytes = bytes;
        self
    }

    /// Whether writes that bring no session get one of this client, so that
    /// they can be retried; on. A program that writes once and ends may save
    /// itself the registration: then a write whose connection breaks is unknown.
    pub fn sessions(mut self, sessions: bool) -> Self {
        self.settings.sessions = sessions;
        self
    }

    /// Whether to gather what the answers have seen, for
    /// [`Client::session_token`]; off.
    pub fn track_session(mut self, track: bool) -> Self {
        self.settings.track_session = track;
        self
    }

    /// How connections are opened; TCP.
    pub fn dialer(mut self, dialer: impl Dial) -> Self {
        self.grpc.dialer = Arc::new(dialer);
        self.over_grpc()
    }

    fn over_grpc(mut self) -> Self {
        self.settings.transport = Arc::new(self.grpc.clone());
        self
    }

    /// How requests reach servers; gRPC, with [`dialer`](Self::dialer) and
    /// [`connect_timeout`](Self::connect_timeout), which mean nothing to another.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.settings.transport = transport;
        self
    }

    /// What tells the time and runs tasks; tokio.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.settings.runtime = runtime;
        self
    }

    /// Seed of the spread of waits, for tests that must repeat themselves.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the client. No server need answer yet: connections are opened by
    /// the first operation that needs them.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an endpoint that is none, or no endpoint at all.
    pub async fn connect(mut self) -> Result<Client, Fault> {
        let endpoints =
            self.endpoints.iter().map(|e| address_of(e)).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() && !matches!(self.mode, Mode::Direct(_)) {
            return Err(Fault::invalid("no endpoint is given: give at least one host:port"));
        }
        let seed = self.seed.unwrap_or_else(|| {
            // Where the loader and the allocator put things differs between processes.
            let place = std::ptr::from_ref(&*self.settings.transport).cast::<u8>() as usize as u64;
            place ^ (u64::from(std::process::id()) << 32)
        });
        self.settings.jitter = Jitter::new(seed);
        Ok(Client::new(endpoints, self.mode, Arc::new(self.settings)))
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
