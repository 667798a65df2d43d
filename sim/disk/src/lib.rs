//! A disk in memory that loses power, tears writes and fails on demand.
//!
//! It keeps apart what was written and what was synced: bytes per file, and
//! directory entries (create, rename, link, remove) per directory. One seed
//! decides what survives a power loss. The storage engine's tests and the
//! simulator run on it.
#![deny(missing_docs)]

mod disk;
mod file;
mod omissions;
mod state;

pub use disk::{Crash, Fault, Loss, SECTOR, SimDisk};
pub use omissions::{Omission, omit};
