//! Names of table files, and the list of those nobody reads any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Names a table file on its node; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Gives out file ids; one per node, shared by its trees.
///
/// The block cache is keyed by these ids, so an id must never name two files while
/// the process lives, and a file left behind by a crash must not be met again:
/// the Store starts above every id in the manifest and in the directories.
#[derive(Clone, Debug)]
pub struct FileIds(Arc<AtomicU64>);

impl FileIds {
    /// The first id given out will be `next`.
    pub fn starting_at(next: u64) -> Self {
        Self(Arc::new(AtomicU64::new(next)))
    }

    /// An id never given out before.
    pub fn allocate(&self) -> FileId {
        FileId(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps `id` from being given out.
    pub fn observe(&self, id: FileId) {
        self.0.fetch_max(id.0 + 1, Ordering::Relaxed);
    }
}

/// Files no manifest names and no reader holds any more: to be deleted by the Store.
#[derive(Clone, Debug, Default)]
pub struct ObsoleteFiles(Arc<Mutex<Vec<FileId>>>);

impl ObsoleteFiles {
    pub(crate) fn push(&self, id: FileId) {
        self.0.lock().push(id);
    }

    /// Takes the list; each file is reported once.
    pub fn drain(&self) -> Vec<FileId> {
        std::mem::take(&mut *self.0.lock())
    }
}
