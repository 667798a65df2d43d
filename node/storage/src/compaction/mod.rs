//! Levelled compaction: keeps reads short and drops what nobody can read any more.
//!
//! [`pick()`] chooses from metadata, [`CompactionJob`] merges in bounded steps, `sieve` and
//! `retention` decide what is carried over, `output` writes the tables. On a full volume a
//! [`Survey`] looks for tables that newer ones hide: see `reclaim`.

mod job;
pub(crate) mod output;
mod pick;
pub(crate) mod reclaim;
pub(crate) mod retention;
mod sieve;

pub use job::CompactionJob;
pub(crate) use job::STEP_OVERHEAD;
pub(crate) use pick::bytes;
pub use pick::{Picked, pick};
pub use reclaim::{Found, Survey, Surveyed};
