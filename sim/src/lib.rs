//! DougDB's deterministic simulator: whole clusters, run from one seed over
//! simulated time, network and disks, in the code that ships.
//!
//! [`plan`] is what a seed decides, `world` runs it, [`checks`] says what must
//! hold, [`run`] reports. How to read and replay a failing seed stands in
//! docs/simulator.md.
#![deny(missing_docs)]

mod agenda;
mod calls;
pub mod campaign;
pub mod checks;
mod clients;
mod comparing;
mod context;
pub mod coverage;
pub mod crash_points;
mod damage;
mod database;
mod events;
mod faults;
mod goals;
pub mod history;
pub mod hunting;
pub mod library;
pub mod mutants;
mod network;
mod node;
mod operator;
pub mod plan;
mod processes;
pub mod random;
mod recovery;
mod reference;
mod routes;
pub mod run;
pub mod scenarios;
mod schedule;
mod snapshots;
pub mod stopwatch;
pub mod story;
pub mod time;
mod tolerance;
mod trace;
mod transactions;
mod upgrades;
mod wall_clocks;
mod workload;
mod world;

pub use network::NetworkSettings;
pub use trace::Tracing;
pub use world::World;
