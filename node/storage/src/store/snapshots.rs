//! Snapshots of a node's replicas, going out and coming in.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::cache::BlockCache;
use crate::snapshot::{IDLE, IDLE_SHORT_OF_ROOM, Incoming, OwnTable, Snapshot, SnapshotInfo};
use crate::table::{FileId, Table};
use crate::tree::{self, Checkpoint, SnapshotTables, Tree};
use crate::{ReplicaKey, Result, StorageError};

impl Store {
    /// What is published of a replica: its tables, position and state block. The log holds
    /// what follows. The caller lets no change of the tree come between.
    ///
    /// Errors: [`Removed`](StorageError::Removed), [`Fenced`](StorageError::Fenced).
    pub fn checkpoint(&self, replica: ReplicaKey, tree: &Tree) -> Result<Checkpoint> {
        let record = self.manifest.with_state(|state| state.live.get(&replica).cloned());
        let record = record.ok_or(StorageError::Removed { replica })?;
        if let Some(why) = record.fenced {
            return Err(StorageError::Fenced { replica, why });
        }
        let checkpoint = tree.checkpoint(record.applied, record.state);
        let same = record
            .image
            .tables
            .values()
            .all(|meta| checkpoint.metas().any(|known| known.file == meta.file));
        assert!(same, "a checkpoint of replica {replica} between publishing and installing");
        Ok(checkpoint)
    }

    /// The newest snapshot kept of a replica, if it contains everything up to `at_least`.
    pub fn find_snapshot(&self, replica: ReplicaKey, at_least: u64) -> Option<Arc<Snapshot>> {
        self.outgoing.find(replica, at_least)
    }

    /// Keeps a checkpoint as a snapshot to be sent, in place of any older one.
    ///
    /// Errors: I/O; nothing stays then.
    pub fn keep_snapshot(
        &self,
        replica: ReplicaKey,
        checkpoint: &Checkpoint,
    ) -> Result<Arc<Snapshot>> {
        self.outgoing.add(replica, checkpoint, |file| self.context.table_path(file))
    }

    /// A replica's snapshot was sent: its files go once nobody sends it any more.
    pub fn snapshot_sent(&self, replica: ReplicaKey) {
        self.outgoing.give_up(replica);
    }

    /// After a receiver has found a snapshot damaged: looks whether it was damaged here already.
    /// Then it is not sent again, and the tables of its replica are looked through.
    ///
    /// Errors: [`Corruption`](StorageError::Corruption) of the replica's own tables, for
    /// [`Self::fence_if_damaged`]; I/O.
    pub fn look_for_damage(&self, snapshot: &Snapshot) -> Result<()> {
        match snapshot.verify() {
            Ok(()) => return Ok(()),
            Err(StorageError::Corruption(_)) => self.outgoing.discard(snapshot),
            Err(error) => return Err(error),
        }
        let record = self.manifest.with_state(|state| state.live.get(&snapshot.replica()).cloned());
        let mut tables = record.into_iter().flat_map(|record| record.image.tables.into_keys());
        tables.try_for_each(|file| self.verify_table(file))
    }

    fn verify_table(&self, file: FileId) -> Result<()> {
        let path = self.context.table_path(file);
        // With the node's list of obsolete files: a compaction that takes the table out of its
        // tree meanwhile must not delete it under the reader.
        let (cache, deletions) = (BlockCache::new(0, 0), self.context.obsolete.clone());
        match Table::open(&self.context.files, &path, file, cache, deletions) {
            Ok(table) => Arc::new(table).verify(),
            // One has done so already.
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins to receive a snapshot for a replica, with whatever is already here of its
    /// tables, and deletes what earlier ones left that it does not contain.
    ///
    /// Refused if the replica receives one already, or if no tree can be made of it;
    /// [`Removed`](StorageError::Removed), [`Fenced`](StorageError::Fenced).
    pub fn receive_snapshot(&self, replica: ReplicaKey, info: SnapshotInfo) -> Result<Incoming> {
        let record = self.manifest.with_state(|state| state.live.get(&replica).cloned());
        let record = record.ok_or(StorageError::Removed { replica })?;
        if let Some(why) = record.fenced {
            return Err(StorageError::Fenced { replica, why });
        }
        let own = record.image.tables.values().map(|meta| OwnTable {
            identity: meta.identity,
            path: self.context.table_path(meta.file),
        });
        self.incoming.begin(replica, info, &own.collect::<Vec<_>>())
    }

    /// Makes tables of this node of a snapshot that has arrived whole, ready to be installed.
    /// The snapshot's files stay, for another attempt; [`Incoming::delete`] them afterwards.
    ///
    /// Refused if something is lacking or they make no tree.
    pub fn adopt_snapshot(&self, incoming: &Incoming) -> Result<SnapshotTables> {
        let info = incoming.info();
        tree::adopt(&self.context, &incoming.files()?, info.gc_floor, info.applied.index)
    }

    /// Deletes what snapshots left behind: sent, superseded, or idle for some minutes, for
    /// seconds where the volume is `short_of_room`. For a timer; `now` is the time since a
    /// moment, always the same, by a clock that does not go back.
    pub fn tidy_snapshots(&self, now: Duration, short_of_room: bool) -> Result<()> {
        let patience = if short_of_room { IDLE_SHORT_OF_ROOM } else { IDLE };
        self.outgoing.tidy(now, patience)?;
        self.incoming.tidy(now, patience)
    }
}
