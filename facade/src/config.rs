//! What a facade is told at its start.

use crate::map_source::MapOrigin;
use std::net::SocketAddr;

/// What a facade needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub http: SocketAddr,
    /// Where the partition map comes from.
    pub map: MapOrigin,
    /// Most bytes of requests under way (three eighths), of requests that are not whole (an
    /// eighth), and of answers that clients have not read (a half). Beyond it operations are
    /// refused with `RESOURCE_EXHAUSTED`. At least 16 MiB.
    pub memory_budget: usize,
    /// Most connections of clients at a time; by default a half of the descriptors
    /// that this process may have, and 4,096 at most.
    pub max_connections: Option<usize>,
}
