//! A replica's tables: what is due to be written or merged, what is published of them, and the
//! snapshot that replaces them all.

use super::{Inner, ReplicaData};
use crate::apply::history::Ages;
use crate::apply::machine::Machine;
use bytes::Bytes;
use doug_proto::v1;
use doug_storage::compaction::{CompactionJob, Survey};
use doug_storage::simulation::{Bug, crash_point, has_bug};
use doug_storage::store::Store;
use doug_storage::tree::{self, FlushJob, Pressure, SnapshotTables};
use doug_storage::tree::{TreeChange, View};
use doug_storage::{Applied, StorageError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A partition frozen at one index, memtables and all.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its keys.
    pub view: View,
    /// The last command it contains.
    pub applied: Applied,
    /// The state block at that command.
    pub state: Bytes,
    /// The client sessions at that command, by id.
    pub sessions: Vec<v1::SessionState>,
}

/// Background work that is due.
#[derive(Debug, Default)]
pub struct Jobs {
    /// A memtable to write to disk.
    pub flush: Option<FlushJob>,
    /// Tables to merge.
    pub compaction: Option<CompactionJob>,
}

impl ReplicaData {
    /// Notes that maintenance is wanted; false if that was known already.
    pub fn ask_for_maintenance(&self) -> bool {
        !self.maintenance_asked.swap(true, Ordering::Relaxed)
    }

    /// The jobs that are due; with `force`, the memtable is flushed however small.
    pub fn jobs(&self, force: bool) -> Jobs {
        self.maintenance_asked.store(false, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let Inner { tree, machine, applied, begun, .. } = &mut *inner;
        // What is frozen ends with a batch: the position beside it is one, and a command above
        // it would be applied twice when the log is replayed from there.
        let between_batches = begun.is_empty();
        // Even an empty memtable is worth publishing when the log is short of
        // room: no-ops and refused writes advance the applied index too.
        if between_batches && (tree.wants_rotation() || (force && tree.frozen_count() == 0)) {
            let late = has_bug(Bug::SessionFrozenLate);
            // Under one lock with the position: a session that knew of a later command would
            // have it refused as a repetition when the log is replayed from that position.
            let sessions = if late { Vec::new() } else { machine.freeze_sessions() };
            tree.rotate(*applied, machine.encode(), &sessions);
            if late {
                return Jobs::default();
            }
        }
        if has_bug(Bug::FloorMovedLocally) {
            tree.raise_floor(applied.index);
        }
        let flush = tree.flush_job();
        if let Some(job) = &flush
            && has_bug(Bug::SessionFrozenLate)
        {
            job.freeze_late(&machine.freeze_sessions());
        }
        Jobs { flush, compaction: tree.compaction_job() }
    }

    /// For a full volume: a look at a table that newer ones hide much of, if one is worth it; see
    /// [`tree::Tree::survey`].
    pub fn survey(&self, room: u64) -> Option<Box<Survey>> {
        self.inner.lock().tree.survey(room)
    }

    /// Whether everything applied is in tables.
    pub fn is_flushed(&self) -> bool {
        let inner = self.inner.lock();
        inner.tree.memtable_is_empty() && inner.tree.frozen_count() == 0
    }

    /// Whether writers should slow down.
    pub fn pressure(&self) -> Pressure {
        self.inner.lock().tree.pressure()
    }

    /// Whether they should because of flushes alone.
    pub fn flush_pressure(&self) -> Pressure {
        self.inner.lock().tree.flush_pressure()
    }

    /// Bytes in tables and memtables.
    pub fn bytes(&self) -> u64 {
        let inner = self.inner.lock();
        let memtables = inner.tree.memtable_bytes() + inner.tree.frozen_bytes();
        inner.tree.table_bytes() + memtables as u64
    }

    /// How many keys there are, as the counts of tables and memtables let one estimate.
    pub fn estimated_keys(&self) -> u64 {
        self.inner.lock().tree.estimated_keys()
    }

    /// Bytes in memtables.
    pub fn memtable_bytes(&self) -> u64 {
        let inner = self.inner.lock();
        (inner.tree.memtable_bytes() + inner.tree.frozen_bytes()) as u64
    }

    /// Bytes that compaction owes.
    pub fn compaction_debt(&self) -> u64 {
        self.inner.lock().tree.debt()
    }

    /// Publishes the result of a job in the manifest and makes it visible;
    /// `None` if a snapshot has made it void, or the replica was removed. Returns what is in
    /// tables now, if it was a flush.
    ///
    /// In two phases: batches are applied and read while the edit goes to the disk. The change
    /// fits when it is installed because it fitted at the look, and what happens in between
    /// cannot make it void:
    /// - Another change, a snapshot too, waits for `publishing`.
    /// - What is applied goes into newer memtables; a rotation adds one behind the oldest.
    /// - A removal or a fence goes through the manifest, too. If it comes first, the edit is
    ///   refused and the new tables go. If it comes second, it finds the new tables listed,
    ///   and condemns them with the others.
    ///
    /// A crash before the edit is durable leaves tables that the next start deletes, and the log
    /// still has their batches: it forgets them only after the edit. A crash after that starts
    /// from the new tables, and replays what was applied in between from the log.
    ///
    /// # Errors
    /// Those of the manifest; fatal ones must end the process.
    pub fn publish(
        &self,
        store: &Store,
        change: TreeChange,
    ) -> Result<Option<Applied>, StorageError> {
        let _one_at_a_time = self.publishing.lock();
        if !self.inner.lock().tree.accepts(&change) {
            change.discard();
            return Ok(None);
        }
        let flushed = change.applied().map(|(applied, _)| applied);
        match store.publish(self.key, change) {
            Ok(change) => self.inner.lock().tree.install(change),
            Err(StorageError::Removed { .. } | StorageError::Fenced { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(flushed)
    }

    /// The partition as it is now.
    pub fn checkpoint(&self) -> Checkpoint {
        let inner = self.inner.lock();
        Checkpoint {
            view: inner.tree.view(),
            applied: inner.applied,
            state: inner.machine.encode(),
            sessions: inner.machine.sessions().states(),
        }
    }

    /// What is published of it, to be sent to another node: its tables, and the state
    /// they belong to. The log has what follows.
    ///
    /// # Errors
    /// If the replica was removed or fenced.
    pub fn published(&self, store: &Store) -> Result<tree::Checkpoint, StorageError> {
        // Manifest and tree differ while a change is between its two phases.
        let _none_under_way = self.publishing.lock();
        store.checkpoint(self.key, &self.inner.lock().tree)
    }

    /// Replaces everything by a snapshot, in one manifest edit. Returns what is
    /// applied now: more than the snapshot if the log had overtaken it, and then
    /// the snapshot is dropped.
    ///
    /// In two phases as well, see [`Self::publish`]: while the edit goes to the disk nothing is
    /// applied here, but nobody waits: work is given back, and sizes are told.
    ///
    /// # Errors
    /// A state block that is unreadable or of another partition, or those of the manifest.
    pub fn install_snapshot(
        &self,
        store: &Store,
        tables: SnapshotTables,
        applied: Applied,
        state: Bytes,
    ) -> Result<Applied, StorageError> {
        let machine = match self.machine_of(&state, &tables.view()) {
            Ok(machine) => machine,
            Err(error) => {
                tables.discard();
                return Err(error);
            }
        };
        let _one_at_a_time = self.publishing.lock();
        let mut inner = self.inner.lock();
        if inner.applied.index >= applied.index {
            tables.discard();
            return Ok(inner.applied);
        }
        let change = inner.tree.snapshot_change(tables, applied, state);
        inner.replacing = true;
        drop(inner);
        crash_point("snapshot installed: to be published");
        let published = store.publish(self.key, change);
        let mut inner = self.inner.lock();
        inner.replacing = false;
        let change = published?;
        crash_point("snapshot installed: published");
        self.stamp.store(machine.time().stamp.0, Ordering::Release);
        inner.tree.install(change);
        inner.tree.raise_floor(machine.history().floor.revision);
        self.closed.store(machine.time().stamp.0, Ordering::Release);
        *self.descriptor.write() = Arc::new(machine.descriptor().clone());
        inner.machine = machine;
        inner.ages = Ages::default();
        inner.applied = applied;
        inner.begun.clear();
        inner.changed = None;
        if !has_bug(Bug::ChangesKeptOverSnapshot) {
            self.recent.skip(applied.index);
        }
        Ok(applied)
    }

    /// What a snapshot's state block and tables say, if they are of this partition.
    fn machine_of(&self, state: &[u8], tables: &View) -> Result<Machine, StorageError> {
        let block = Machine::decode(state);
        let block = block.map_err(|fault| StorageError::Refused(fault.to_string()))?;
        let (own, other) = (self.key.partition, block.descriptor().id);
        if own != other {
            let what = format!("a snapshot for partition {own} holds the state of {other}");
            return Err(StorageError::Refused(what));
        }
        if has_bug(Bug::SnapshotWithoutSessions) {
            return Ok(block);
        }
        Machine::restore(state, tables)
    }
}
