//! What the process tests share: the built program, a demo of it that is always
//! cleaned up, clients of its facade and of single nodes, and ledgers of what
//! was acknowledged.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]
#![deny(missing_docs)]

pub mod demo;
pub mod inputs;
pub mod ledger;
pub mod load;
pub mod namespaces;
pub mod node;
pub mod program;
pub mod spare;
pub mod unfinished;
pub mod wait;
pub mod writers;
