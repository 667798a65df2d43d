//! The DougDB operator: brings up and keeps up the databases that DougCluster
//! resources declare.
//!
//! A reconciliation goes through its phases in order, a folder each: what is
//! declared is checked (`validate`), what exists is looked at (`dereference`),
//! objects are built and applied, and then the steps that objects alone cannot
//! take: creating the database (`bootstrap`), growing volumes (`storage`),
//! replacing pods (`rollout`). Every such step is decided by a pure function and
//! carried out by `reconcile`. The operator keeps nothing that matters: it may
//! stop at any moment, and another goes on from what it finds.
#![deny(missing_docs)]

mod apply;
mod bootstrap;
mod build;
mod context;
mod controller;
mod departure;
mod dereference;
mod duration;
mod forgetting;
mod groups;
mod http;
mod installation;
mod joining;
mod lease;
mod life;
mod maintenance;
mod metrics;
mod names;
mod overrides;
mod owned;
mod pace;
mod placement;
mod reconcile;
mod replacement;
mod resizing;
mod rollout;
mod scaling;
mod status;
mod storage;
#[cfg(test)]
mod testing;
mod validate;

pub use controller::run;

use std::net::SocketAddr;

/// What an operator needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Namespaces with DougClusters to care for; empty: all.
    pub watch_namespaces: Vec<String>,
    /// The namespace of the Lease by which several operators agree who works.
    pub namespace: String,
    /// The name of that Lease: with its namespace it names the installation.
    pub lease: String,
    /// The name of this operator among them: its pod's.
    pub identity: String,
    /// The image of databases that declare none.
    pub image: String,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub http: SocketAddr,
}
