//! One replica's tree: memtables over levels of tables, every version by its revision.
//!
//! [`Tree`] belongs to a single writer. [`TreeReader`] makes immutable [`View`]s from any
//! thread. Flush, compaction and snapshot run elsewhere as stepwise jobs that end in a
//! [`TreeChange`]; the Store publishes it in the manifest, then the tree installs it.

pub(crate) mod change;
mod changes;
pub(crate) mod class;
mod context;
mod edit;
mod flush;
mod interval;
pub(crate) mod levels;
mod options;
mod pins;
mod read_error;
mod scan;
mod snapshot;
mod stats;
pub(crate) mod version;
mod view;
mod writer;

pub use crate::Applied;
pub use crate::memtable::Op;
pub use change::{Progress, TreeChange};
pub use changes::{ChangeScan, Written};
pub use class::KeyClass;
pub(crate) use context::Workshop;
pub use context::{TreeContext, file_of_name, orphans};
pub use edit::{TableMeta, TreeEdit, TreeImage};
pub use flush::FlushJob;
pub use interval::Interval;
pub use options::TreeOptions;
pub use pins::Pin;
pub use read_error::ReadError;
pub use scan::{Entry, Scan, ScanRange};
pub use snapshot::{Checkpoint, SnapshotTables, adopt};
pub use stats::{LevelStats, Pressure};
pub use view::{TreeReader, Versioned, View};
pub use writer::Tree;
