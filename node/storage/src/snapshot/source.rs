//! A snapshot that can be sent: hard links of its tables, and a description beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names;
use super::{SnapshotInfo, SnapshotTable};
use crate::cache::{BlockCache, TableFiles};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::simulation::crash_point;
use crate::table::{FileId, ObsoleteFiles, Table};
use crate::tree::Checkpoint;
use crate::{ReplicaKey, Result, StorageError};

/// A snapshot kept in `outgoing/`. It may be sent to several replicas at once, and outlives
/// the tables it was made of, and the process.
pub struct Snapshot {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    replica: ReplicaKey,
    id: u64,
    info: SnapshotInfo,
}

impl Snapshot {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replica: ReplicaKey,
        info: SnapshotInfo,
    ) -> Self {
        Self { disk, dir: dir.to_path_buf(), replica, id: info.id(), info }
    }

    /// Links the tables of a checkpoint. The description comes last: without it the links
    /// are leftovers.
    pub(super) fn link(
        &self,
        checkpoint: &Checkpoint,
        table_path: impl Fn(FileId) -> PathBuf,
    ) -> Result<()> {
        self.delete()?;
        for meta in checkpoint.metas() {
            let link = self.path(&format!("{:016x}.sst", meta.identity));
            let table = table_path(meta.file);
            self.disk.hard_link(&table, &link).map_err(StorageError::io("link", &table))?;
            crash_point("snapshot kept: table linked");
        }
        let path = self.description();
        let file = self.disk.open(&path, OpenMode::Create);
        let file = file.map_err(StorageError::io("create", &path))?;
        file.write_at(&self.info.encode(), 0).map_err(StorageError::io("write", &path))?;
        file.sync_data().map_err(|error| StorageError::Fatal {
            what: format!("could not sync {}: {error}", path.display()),
        })?;
        drop(file);
        crash_point("snapshot kept: description synced");
        self.disk.sync_dir(&self.dir).map_err(StorageError::syncing_dir(&self.dir))?;
        crash_point("snapshot kept: done");
        Ok(())
    }

    /// Takes over what an earlier process left, if it is whole; `rest` is the name of its
    /// description without the prefix.
    pub(super) fn load(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replica: ReplicaKey,
        rest: &str,
    ) -> Option<Self> {
        let id = names::identity_of(rest)?;
        let path = dir.join(names::prefix(replica) + rest);
        let file = disk.open(&path, OpenMode::Read).ok()?;
        let mut bytes = vec![0; file.len().ok()? as usize];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let info = SnapshotInfo::decode(&bytes).ok().filter(|info| info.id() == id)?;
        let snapshot = Self::new(disk, dir, replica, info);
        let whole = |index| {
            let file = snapshot.open(index).ok()?;
            (file.len().ok()? == snapshot.info.tables[index].size).then_some(())
        };
        (0..snapshot.info.tables.len()).try_for_each(whole)?;
        Some(snapshot)
    }

    /// What it consists of.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// Whose data it is.
    pub fn replica(&self) -> ReplicaKey {
        self.replica
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.dir.join(format!("{}{:016x}-{rest}", names::prefix(self.replica), self.id))
    }

    fn description(&self) -> PathBuf {
        self.dir.join(format!("{}{:016x}.snapshot", names::prefix(self.replica), self.id))
    }

    fn table_path(&self, table: &SnapshotTable) -> PathBuf {
        self.path(&format!("{:016x}.sst", table.identity))
    }

    /// Its description, and a file for each table.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let tables = self.info.tables.iter().map(|table| self.table_path(table));
        tables.chain([self.description()]).collect()
    }

    pub(super) fn open(&self, table: usize) -> Result<Arc<dyn DiskFile>> {
        let path = self.table_path(&self.info.tables[table]);
        self.disk.open(&path, OpenMode::Read).map_err(StorageError::reading("open", path, 0))
    }

    pub(super) fn path_of(&self, table: usize) -> PathBuf {
        self.table_path(&self.info.tables[table])
    }

    /// Reads everything, for when a receiver says that what came was damaged.
    ///
    /// Errors: [`Corruption`](StorageError::Corruption): this replica must be fenced.
    pub fn verify(&self) -> Result<()> {
        for table in 0..self.info.tables.len() {
            verify_table(&self.disk, &self.path_of(table), &self.info.tables[table])?;
        }
        Ok(())
    }

    /// Whether a file in `outgoing/` belongs to it.
    pub(super) fn owns(&self, replica: ReplicaKey, rest: &str) -> bool {
        replica == self.replica && names_id(rest) == Some(self.id)
    }

    /// Removes its files, or what there is of them; the description first.
    pub(super) fn delete(&self) -> Result<()> {
        remove(&*self.disk, &self.description())?;
        self.info.tables.iter().try_for_each(|table| remove(&*self.disk, &self.table_path(table)))
    }
}

/// The snapshot's id in what follows the prefix of a name in `outgoing/`.
fn names_id(rest: &str) -> Option<u64> {
    u64::from_str_radix(rest.get(..16)?, 16).ok()
}

/// Removes a file that may be gone already.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads a whole table and checks that it is the one expected.
pub(super) fn verify_table(
    disk: &Arc<dyn Disk>,
    path: &Path,
    expected: &SnapshotTable,
) -> Result<()> {
    // Nothing of it is cached: the file will have another id once it belongs to the tree.
    let files = TableFiles::new(disk.clone(), 1);
    let table =
        Table::open(&files, path, FileId(0), BlockCache::new(0, 0), ObsoleteFiles::default())?;
    if (table.identity(), table.size()) != (expected.identity, expected.size) {
        let what = format!(
            "this should be table {:016x} of {} bytes, and is {:016x} of {}",
            expected.identity,
            expected.size,
            table.identity(),
            table.size()
        );
        return Err(crate::Corruption::new(path, 0, what).into());
    }
    Arc::new(table).verify()
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("replica", &self.replica)
            .field("applied", &self.info.applied)
            .field("tables", &self.info.tables.len())
            .finish_non_exhaustive()
    }
}
