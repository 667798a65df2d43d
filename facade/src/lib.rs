//! The DougDB facade: the stateless entrypoint that routes every key.
//!
//! A request comes in through a front door (`front`), is checked against the
//! limits, admitted if there is memory for it, and handed to the `router`,
//! which knows the partition map from a [`map_source`] and speaks to the
//! leaders through the client library. Nothing is kept: any number of facades
//! may serve a database, and each may die at any time.
#![deny(missing_docs)]

mod admission;
mod config;
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
pub use config::Config;
pub use front::unary::Front;
pub use map_source::MapOrigin;
pub use metrics::Metrics;
pub use router::{Router, check as check_operation};
pub use server::{Facade, run};
