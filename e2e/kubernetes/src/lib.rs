//! What the tests on Kubernetes share: kubectl, a namespace that is always
//! cleaned up, databases declared in it, a witness that writes meanwhile, and
//! the machinery of the lab for what no API can do (a node's death).
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]
#![deny(missing_docs)]

pub mod command;
pub mod database;
pub mod diagnosis;
pub mod kubectl;
pub mod lab;
pub mod manifest;
pub mod members;
pub mod namespace;
pub mod operator;
pub mod plugin;
pub mod wait;
pub mod witness;
