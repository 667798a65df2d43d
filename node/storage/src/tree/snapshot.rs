//! A tree's tables leaving as a snapshot, and coming in as one.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::context::{TreeContext, Workshop};
use super::levels::{Levels, Placed};
use super::version::Version;
use super::{Applied, TableMeta, View};
use crate::memtable::Memtable;
use crate::simulation::crash_point;
use crate::snapshot::{SnapshotInfo, SnapshotTable};
use crate::{Result, StorageError};

/// The tables of one tree version as they were published, with the last command applied in
/// them and the state block after it. While it lives, its files stay.
pub struct Checkpoint {
    pub(crate) levels: Arc<Levels>,
    pub(crate) gc_floor: u64,
    pub(crate) applied: Applied,
    pub(crate) state: Bytes,
}

impl Checkpoint {
    /// What a snapshot made of it consists of.
    pub(crate) fn info(&self) -> SnapshotInfo {
        let table = |meta: &TableMeta| {
            let TableMeta { identity, size, level, .. } = *meta;
            SnapshotTable { identity, size, level }
        };
        SnapshotInfo {
            applied: self.applied,
            gc_floor: self.gc_floor,
            state: self.state.clone(),
            tables: self.metas().map(table).collect(),
        }
    }

    pub(crate) fn metas(&self) -> impl Iterator<Item = &TableMeta> {
        self.levels.all().map(|placed| &placed.meta)
    }

    /// The last command it contains.
    pub fn applied(&self) -> Applied {
        self.applied
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// Durable tables that no manifest names yet, ready for [`super::Tree::snapshot_change`].
///
/// Whoever drops them gives the snapshot up, be it since the stream it came by is gone: their files
/// may be deleted, for nothing else would find them before the next start.
pub struct SnapshotTables {
    pub(crate) tables: Vec<Placed>,
    pub(crate) gc_floor: u64,
}

impl SnapshotTables {
    /// What a tree of these tables holds.
    pub fn view(&self) -> View {
        let mut levels = Levels::empty(1);
        for placed in &self.tables {
            levels.try_insert(placed.clone()).expect("they were put in order when they came in");
        }
        let newest = self.tables.iter().map(|placed| placed.meta.max_revision).max();
        View::new(Arc::new(Version {
            active: Arc::new(Memtable::new(newest.unwrap_or(0))),
            frozen: Vec::new(),
            levels: Arc::new(levels),
            gc_floor: self.gc_floor,
            interval: None,
        }))
    }

    /// Gives the snapshot up: its files may be deleted.
    pub fn discard(self) {}
}

impl Drop for SnapshotTables {
    fn drop(&mut self) {
        for placed in &self.tables {
            placed.table.mark_obsolete();
        }
    }
}

/// Links whole tables with their levels into a tree's directory, under ids of this node, and
/// checks that they make a tree of nothing above revision `last`.
///
/// Errors: [`Refused`](StorageError::Refused) if they do not, or if one has been damaged since
/// it arrived, which is then deleted; I/O.
pub fn adopt(
    context: &TreeContext,
    files: &[(PathBuf, u8)],
    gc_floor: u64,
    last: u64,
) -> Result<SnapshotTables> {
    let workshop = Workshop { context: context.clone() };
    let mut adopted = SnapshotTables { tables: Vec::with_capacity(files.len()), gc_floor };
    match adopt_all(&workshop, files, last, &mut adopted.tables) {
        Ok(()) => Ok(adopted),
        Err(error) => {
            adopted.discard();
            Err(error)
        }
    }
}

fn adopt_all(
    workshop: &Workshop,
    files: &[(PathBuf, u8)],
    last: u64,
    adopted: &mut Vec<Placed>,
) -> Result<()> {
    let context = &workshop.context;
    let mut levels = Levels::empty(context.options.levels);
    for (path, level) in files {
        let file = context.ids.allocate();
        let link = context.table_path(file);
        context.disk.hard_link(path, &link).map_err(StorageError::io("link", path))?;
        crash_point("snapshot installed: table linked");
        let table = match workshop.open_table(file) {
            Ok(table) => table,
            Err(StorageError::Corruption(damage)) => {
                context.obsolete.condemn(file);
                // It was whole when it arrived. Kept, it would be taken for that again.
                context.disk.remove(path).map_err(StorageError::io("delete", path))?;
                return Err(StorageError::Refused(format!(
                    "a table of the snapshot was damaged after it had arrived ({damage}): \
                     it is received again"
                )));
            }
            Err(error) => {
                context.obsolete.condemn(file);
                return Err(error);
            }
        };
        let placed = Placed::new(table, usize::from(*level));
        adopted.push(placed.clone());
        if placed.meta.max_revision > last {
            return Err(StorageError::Refused(format!(
                "a table of the snapshot holds revision {}, and the snapshot ends at {last}",
                placed.meta.max_revision
            )));
        }
        levels.try_insert(placed).map_err(StorageError::Refused)?;
    }
    // Before the manifest edit: an edit must not name a file power loss can take.
    workshop.sync_tables_dir()
}
