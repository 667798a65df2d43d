//! What to accept: a snapshot on its way in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::names;
use super::partial::Partial;
use super::source::{remove, verify_table};
use super::{Chunk, MAX_CHUNK_BYTES, SnapshotInfo, SnapshotTable};
use crate::disk::Disk;
use crate::simulation::crash_point;
use crate::{ReplicaKey, Result, StorageError};

/// A table of the replica itself, which the snapshot may share.
pub(crate) struct OwnTable {
    pub identity: u64,
    pub path: PathBuf,
}

/// One replica's snapshot while it is received. Dropped, it leaves what it has for the next.
pub struct Incoming {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    replica: ReplicaKey,
    info: SnapshotInfo,
    /// For each table, how many of its bytes are here.
    present: Vec<u64>,
    current: Option<(usize, Partial)>,
    /// Says that somebody receives, as long as it lives.
    _receiving: Arc<()>,
}

impl Incoming {
    fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replica: ReplicaKey,
        info: SnapshotInfo,
        own: &[OwnTable],
        receiving: Arc<()>,
    ) -> Result<Self> {
        let mut incoming = Self {
            disk,
            dir: dir.to_path_buf(),
            replica,
            present: Vec::with_capacity(info.tables.len()),
            info,
            current: None,
            _receiving: receiving,
        };
        let wanted = |identity| incoming.info.tables.iter().any(|t| t.identity == identity);
        remove_files(&*incoming.disk, dir, |key, rest| {
            key == replica && !names::identity_of(rest).is_some_and(wanted)
        })?;
        for table in incoming.info.tables.clone() {
            let present = incoming.find(&table, own)?;
            incoming.present.push(present);
        }
        Ok(incoming)
    }

    /// How much of a table is here already: received before, or part of the replica's own tree.
    fn find(&self, table: &SnapshotTable, own: &[OwnTable]) -> Result<u64> {
        let whole = self.path(table, "sst");
        if self.exists(&whole)? {
            return Ok(table.size);
        }
        let own = own.iter().find(|own| own.identity == table.identity);
        // The replica may be here because of damage: what it has of its own is read first.
        if let Some(own) = own.filter(|own| verify_table(&self.disk, &own.path, table).is_ok()) {
            self.disk.hard_link(&own.path, &whole).map_err(StorageError::io("link", &own.path))?;
            return Ok(table.size);
        }
        let (part, sums) = (self.path(table, "part"), self.path(table, "sums"));
        if !self.exists(&part)? {
            return Ok(0);
        }
        let partial = Partial::open(&*self.disk, &part, &sums, table.identity)?;
        if partial.len() < table.size {
            return Ok(partial.len());
        }
        // It was whole, and perhaps never verified: a crash came between.
        match self.complete(table, &partial) {
            Ok(()) => Ok(table.size),
            // Chunks that begin it anew would be appended to what is still here; and a failed fsync
            // must not be forgotten.
            Err(error) if self.exists(&part)? => Err(error),
            Err(_) => Ok(0),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.disk.exists(path).map_err(StorageError::io("look for", path))
    }

    fn path(&self, table: &SnapshotTable, kind: &str) -> PathBuf {
        let name = format!("{}{:016x}.{kind}", names::prefix(self.replica), table.identity);
        self.dir.join(name)
    }

    /// What the snapshot consists of.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// What is lacking: tables by their place, and from which offset on.
    pub fn lacking(&self) -> Vec<(u32, u64)> {
        let tables = self.info.tables.iter().zip(&self.present).zip(0u32..);
        let lacking = tables.filter(|((table, present), _)| **present < table.size);
        lacking.map(|((_, present), number)| (number, *present)).collect()
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.info.bytes() - self.present.iter().sum::<u64>()
    }

    /// Stores a chunk; a table that it completes is verified and made durable.
    ///
    /// Errors: [`Refused`](StorageError::Refused) for a chunk that is damaged or out of place,
    /// [`ArrivedDamaged`](StorageError::ArrivedDamaged) for a table that does not read: send
    /// again what is then [lacking](Self::lacking).
    pub fn accept(&mut self, chunk: &Chunk) -> Result<()> {
        let refused = |what: String| {
            let Chunk { table, offset, .. } = chunk;
            let what = format!("chunk at offset {offset} of table {table} {what}: send it again");
            Err(StorageError::Refused(what))
        };
        let number = chunk.table as usize;
        let Some(table) = self.info.tables.get(number).copied() else {
            return refused("is of no table of this snapshot".to_owned());
        };
        let present = self.present[number];
        let len = chunk.data.len();
        if chunk.offset != present || len == 0 || len > MAX_CHUNK_BYTES {
            return refused(format!("has {len} bytes where {present} are here"));
        }
        if len as u64 > table.size - present {
            return refused(format!("goes beyond the table's {} bytes", table.size));
        }
        if super::chunk_checksum(table.identity, chunk.offset, &chunk.data) != chunk.checksum {
            return refused("does not match its checksum".to_owned());
        }
        let mut partial = match self.current.take().filter(|(current, _)| *current == number) {
            Some((_, partial)) => partial,
            None => {
                let (part, sums) = (self.path(&table, "part"), self.path(&table, "sums"));
                Partial::open(&*self.disk, &part, &sums, table.identity)?
            }
        };
        partial.append(&chunk.data, chunk.checksum)?;
        if partial.len() < table.size {
            self.present[number] = partial.len();
            self.current = Some((number, partial));
            return Ok(());
        }
        self.present[number] = 0;
        self.complete(&table, &partial)?;
        self.present[number] = table.size;
        Ok(())
    }

    /// Verifies a whole table, makes it durable and gives it its name; or begins it anew.
    fn complete(&self, table: &SnapshotTable, partial: &Partial) -> Result<()> {
        let (part, sums) = (self.path(table, "part"), self.path(table, "sums"));
        if let Err(error) = verify_table(&self.disk, &part, table) {
            if error.is_out_of_descriptors() {
                return Err(error);
            }
            remove(&*self.disk, &sums)?;
            remove(&*self.disk, &part)?;
            return Err(match error {
                StorageError::Corruption(damage) => {
                    StorageError::ArrivedDamaged { table: table.identity, what: damage.what }
                }
                other => other,
            });
        }
        partial.sync()?;
        crash_point("snapshot received: table synced");
        let whole = self.path(table, "sst");
        self.disk.rename(&part, &whole).map_err(StorageError::io("rename", &part))?;
        crash_point("snapshot received: table renamed");
        remove(&*self.disk, &sums)?;
        self.disk.sync_dir(&self.dir).map_err(StorageError::syncing_dir(&self.dir))
    }

    /// Removes its files: they are part of the tree now, or will never be.
    pub fn delete(self) -> Result<()> {
        remove_files(&*self.disk, &self.dir, |replica, _| replica == self.replica)
    }

    /// The files of its tables with their levels, once nothing is lacking.
    pub(crate) fn files(&self) -> Result<Vec<(PathBuf, u8)>> {
        if self.remaining() > 0 {
            let what = format!("{} bytes of the snapshot are lacking: send them", self.remaining());
            return Err(StorageError::Refused(what));
        }
        let tables = self.info.tables.iter();
        Ok(tables.map(|table| (self.path(table, "sst"), table.level)).collect())
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("replica", &self.replica)
            .field("applied", &self.info.applied)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Removes the files in `dir` that `unwanted` picks by replica and rest of the name.
pub(super) fn remove_files(
    disk: &dyn Disk,
    dir: &Path,
    unwanted: impl Fn(ReplicaKey, &str) -> bool,
) -> Result<()> {
    for name in disk.list(dir).map_err(StorageError::io("list", dir))? {
        if names::replica_of(&name).is_some_and(|(replica, rest)| unwanted(replica, rest)) {
            remove(disk, &dir.join(name))?;
        }
    }
    Ok(())
}

/// All that is in `incoming/`, and since when nobody has touched it.
pub(crate) struct IncomingFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    replicas: Mutex<BTreeMap<ReplicaKey, Leftover>>,
}

#[derive(Default)]
struct Leftover {
    receiving: Weak<()>,
    /// When it was first found idle.
    idle_since: Option<Duration>,
    /// Its replica is gone.
    unwanted: bool,
}

impl IncomingFiles {
    /// Takes over what an earlier process left for replicas that live.
    pub fn load(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        lives: impl Fn(ReplicaKey) -> bool,
    ) -> Result<Self> {
        disk.create_dir_all(&dir).map_err(StorageError::io("create", &dir))?;
        remove_files(&*disk, &dir, |replica, rest| {
            !lives(replica) || names::identity_of(rest).is_none()
        })?;
        let names = disk.list(&dir).map_err(StorageError::io("list", &dir))?;
        let replicas = names.iter().filter_map(|name| names::replica_of(name));
        let replicas = replicas.map(|(replica, _)| (replica, Leftover::default())).collect();
        Ok(Self { disk, dir, replicas: Mutex::new(replicas) })
    }

    /// Begins to receive, or goes on; one at a time for each replica.
    pub fn begin(
        &self,
        replica: ReplicaKey,
        info: SnapshotInfo,
        own: &[OwnTable],
    ) -> Result<Incoming> {
        info.check()?;
        let receiving = Arc::new(());
        {
            let mut replicas = self.replicas.lock();
            let leftover = replicas.entry(replica).or_default();
            if leftover.receiving.strong_count() > 0 {
                return Err(StorageError::Refused(format!(
                    "replica {replica} receives another snapshot: try again later"
                )));
            }
            let receiving = Arc::downgrade(&receiving);
            *leftover = Leftover { receiving, ..Leftover::default() };
        }
        Incoming::begin(self.disk.clone(), &self.dir, replica, info, own, receiving)
    }

    /// The replicas for which there may be files.
    pub fn replicas(&self) -> BTreeSet<ReplicaKey> {
        self.replicas.lock().keys().copied().collect()
    }

    /// The replica needs it no more: its files go with the next [`Self::tidy`] at which
    /// nobody receives.
    pub fn give_up(&self, replica: ReplicaKey) {
        if let Some(leftover) = self.replicas.lock().get_mut(&replica) {
            leftover.unwanted = true;
        }
    }

    /// Removes what is unwanted or was idle for as long as `patience`; `now` as
    /// [`Store::tidy_snapshots`](crate::store::Store::tidy_snapshots) has it.
    pub fn tidy(&self, now: Duration, patience: Duration) -> Result<()> {
        let mut replicas = self.replicas.lock();
        let mut gone = Vec::new();
        for (replica, leftover) in replicas.iter_mut() {
            if leftover.receiving.strong_count() > 0 {
                leftover.idle_since = None;
                continue;
            }
            let since = *leftover.idle_since.get_or_insert(now);
            if leftover.unwanted || now.saturating_sub(since) >= patience {
                gone.push(*replica);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        remove_files(&*self.disk, &self.dir, |replica, _| gone.contains(&replica))?;
        replicas.retain(|replica, _| !gone.contains(replica));
        Ok(())
    }
}
