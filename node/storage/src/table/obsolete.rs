//! Names of table files, and the list of those nobody reads any more.

use std::collections::{BTreeMap, BTreeSet};
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

/// Tables that no manifest names any more, to be deleted by the Store once nobody reads them: an
/// open table may have to open its file again.
#[derive(Clone, Debug, Default)]
pub struct ObsoleteFiles(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    /// How many open tables there are of a file.
    held: BTreeMap<FileId, usize>,
    /// Obsolete, but held.
    condemned: BTreeSet<FileId>,
    /// To be deleted.
    ready: Vec<FileId>,
}

impl ObsoleteFiles {
    /// A table of that file is open from now on.
    pub(crate) fn hold(&self, id: FileId) {
        *self.0.lock().held.entry(id).or_default() += 1;
    }

    /// It is not any more.
    pub(crate) fn release(&self, id: FileId) {
        let mut lists = self.0.lock();
        let held = lists.held.get_mut(&id).expect("a table that was open");
        *held -= 1;
        if *held == 0 {
            lists.held.remove(&id);
            if lists.condemned.remove(&id) {
                lists.ready.push(id);
            }
        }
    }

    /// The file is to be deleted as soon as no table of it is open. Call it only for files that
    /// no durable manifest names.
    pub(crate) fn condemn(&self, id: FileId) {
        let mut lists = self.0.lock();
        if lists.held.contains_key(&id) {
            lists.condemned.insert(id);
        } else {
            lists.ready.push(id);
        }
    }

    /// Takes the list; each file is reported once.
    pub fn drain(&self) -> Vec<FileId> {
        std::mem::take(&mut self.0.lock().ready)
    }
}
