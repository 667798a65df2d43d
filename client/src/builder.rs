//! How a client is made.

use crate::client::Client;
use crate::dial::{Dial, address_of};
use crate::jitter::Jitter;
use crate::runtime::Runtime;
use crate::settings::{Mode, Settings};
use crate::transport::{Grpc, Transport};
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Makes a [`Client`]. All settings have defaults, except where to go: give
/// [`endpoints`](Self::endpoints) or [`direct`](Self::direct).
pub struct Builder {
    endpoints: Vec<String>,
    mode: Mode,
    settings: Settings,
    grpc: Grpc,
    seed: Option<u64>,
}

impl Client {
    /// Starts to make a client.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            mode: Mode::Endpoints,
            settings: Settings::default(),
            grpc: Grpc::default(),
            seed: None,
        }
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

    /// How long an operation waits for endpoints all of which refuse connections. With any
    /// such bound it does not wait at all where each of them is a mistake: a host that does
    /// not exist, or a port where something else is served. It ends `UNAVAILABLE` or
    /// `UNIMPLEMENTED`, not executed. By default it waits until its deadline for either,
    /// since names and servers come and go.
    pub fn wait_for_ready(mut self, most: Duration) -> Self {
        self.settings.wait_for_ready = Some(most);
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
