//! The DougDB node: replicas of partitions, replicated by consensus, stored in
//! one log and in trees, served over gRPC.
//!
//! [`host`] is the deterministic state machine, [`apply`] the partition's state machine over its
//! tree, [`work`] what they exchange. `threads` drive them, `transport` speaks to other nodes,
//! `services` to clients and operators; what these share is the `engine`. The modules stand in
//! layers: docs/architecture.md.
#![deny(missing_docs)]

pub mod apply;
pub mod background;
mod budget;
pub mod catalog;
mod config;
mod engine;
pub mod flow;
pub mod host;
pub mod levels;
pub mod membership;
mod metrics;
pub mod replicas;
mod services;
pub mod serving;
mod start;
mod threads;
mod transport;
pub mod volume;
pub mod watchdog;
pub mod work;

pub use config::Config;
pub use start::run;
pub use transport::chunk;
