//! SSTables: immutable sorted files of versions.
//!
//! [`TableBuilder`] writes one front to back, [`Table`] reads it. Bytes: `format` (frame),
//! `block` (entries), `slot` (what a key holds), `bloom` (filter), `batches`, `properties`; with
//! an example in docs/formats-sstable.md. A table is never changed, so readers share it
//! without locks.

pub(crate) mod batches;
pub(crate) mod block;
pub(crate) mod block_cursor;
pub(crate) mod bloom;
mod builder;
mod compress;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod format;
pub(crate) mod lookup;
mod obsolete;
mod properties;
pub(crate) mod reader;
pub(crate) mod slot;

pub use batches::{Candidates, TimedBatch};
pub use builder::{TableBuilder, TableOptions};
pub use compress::Compression;
pub use format::FORMAT_VERSION;
pub use obsolete::{FileId, FileIds, ObsoleteFiles};
pub use properties::Properties;
pub use reader::Table;
pub use slot::{DeletionCause, Expiry, LeaseId, Slot, ValueAttributes};
