//! What all parts of a client share and never changes.

use crate::jitter::Jitter;
use crate::runtime::{Runtime, Tokio};
use crate::transport::{Grpc, Transport};
use doug_proto::limits;
use doug_proto::map::PartitionMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// As [`Builder`](crate::Builder) says, whose methods name them.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) wait_for_ready: Option<Duration>,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(limits::DEFAULT_TIMEOUT_MILLISECONDS.into()),
            patience: Duration::from_millis(150),
            wait_for_ready: None,
            reconnect_first: Duration::from_millis(5),
            reconnect_most: Duration::from_millis(100),
            max_in_flight: 65_536,
            max_in_flight_bytes: 64 << 20,
            sessions: true,
            track_session: false,
            runtime: Arc::new(Tokio),
            transport: Arc::new(Grpc::default()),
            jitter: Jitter::new(0),
        }
    }
}
