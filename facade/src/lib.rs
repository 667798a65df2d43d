//! The DougDB facade: the stateless entrypoint that routes every key.
//!
//! A request comes in through a front door (`front`), is checked against the
//! limits, admitted if there is memory for it, and handed to the `router`,
//! which knows the partition map from a [`map_source`] and speaks to the
//! leaders through the client library. Nothing is kept: any number of facades
//! may serve a database, and each may die at any time.
#![deny(missing_docs)]

mod admission;
mod front;
mod health;
mod http;
pub mod map_source;
mod metrics;
mod router;
mod server;
#[cfg(test)]
mod testing;

pub use admission::{Permit, RequestAdmission};
pub use front::unary::Front;
pub use map_source::MapOrigin;
pub use metrics::Metrics;
pub use router::{Router, check as check_operation};
pub use server::{Facade, run};

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
    /// Most bytes of requests under way, and of answers that clients have not read:
    /// a half each. Beyond it operations are refused with `RESOURCE_EXHAUSTED`. At
    /// least 16 MiB.
    pub memory_budget: usize,
    /// Most connections of clients at a time; by default a half of the descriptors
    /// that this process may have, and 4,096 at most.
    pub max_connections: Option<usize>,
}
