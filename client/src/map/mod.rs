//! The partition map as this client knows it: made ready for routing, and kept current.

mod group;
mod known;
mod table;
mod watch;

pub(crate) use group::{Group, LeaderCell, Replica, Want};
pub(crate) use known::KnownMap;
pub(crate) use table::{Route, Table};
