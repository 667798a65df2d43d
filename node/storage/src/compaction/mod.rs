//! Levelled compaction: keeps reads short and drops what nobody can read any more.
//!
//! [`pick()`] chooses from metadata, [`CompactionJob`] merges in bounded steps, `retention`
//! decides what is carried over, `output` writes the tables.

mod job;
pub(crate) mod output;
mod pick;
pub(crate) mod retention;

pub use job::CompactionJob;
pub(crate) use job::STEP_OVERHEAD;
pub(crate) use pick::bytes;
pub use pick::{Picked, pick};
