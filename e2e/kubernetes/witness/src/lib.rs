//! Clients that write and read while something terrible happens to a database,
//! remember every answer, and a judge of what they were told. The program of the
//! same name runs them inside a Kubernetes cluster; the process tests, themselves.
#![deny(missing_docs)]

pub mod clients;
pub mod history;
pub mod judge;
