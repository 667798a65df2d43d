//! A node's data directory as a whole: manifest, log and trees, opened and changed together.
//!
//! ```text
//! LOCK                held by the running process
//! CURRENT             names the manifest in force
//! MANIFEST-<number>   what is where
//! log/                the node's log
//! sst/                the tables of all trees
//! outgoing/           snapshots that are sent
//! incoming/           snapshots that are received
//! ```

mod files;
mod open;
mod snapshots;

pub use files::StoreFiles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{BlockCache, TableFiles};
use crate::disk::{DirLock, Disk, Space};
use crate::log::{HardState, LogOptions, LogReader, LogWriter, LoggedBatch, TailCut};
use crate::manifest::{Change, Identity, Manifest, ManifestOptions, MapChange, MapEntries};
use crate::simulation::{Bug, crash_point, has_bug};
use crate::snapshot::{IncomingFiles, Outgoing};
use crate::table::{FileId, FileIds};
use crate::tree::TreeEdit;
use crate::tree::{Tree, TreeChange, TreeContext, TreeImage, TreeOptions};
use crate::{Applied, ReplicaKey, Result, StorageError};

/// Sizes of everything in a data directory.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The log.
    pub log: LogOptions,
    /// The manifest.
    pub manifest: ManifestOptions,
    /// Every tree.
    pub tree: TreeOptions,
    /// Bytes of the node's block cache (default 64 MiB).
    pub cache_bytes: u64,
    /// Bytes of filters and indexes of tables (default 32 MiB).
    pub lookup_bytes: u64,
    /// Most tables whose files are open at a time; at least 1 (default 256). A process needs
    /// about 64 descriptors more for log, manifest and snapshots.
    pub open_tables: usize,
    /// Random bits of this process, from which its tables get their identities.
    pub salt: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            log: LogOptions::default(),
            manifest: ManifestOptions::default(),
            tree: TreeOptions::default(),
            cache_bytes: 64 << 20,
            lookup_bytes: 32 << 20,
            open_tables: 256,
            salt: 0,
        }
    }
}

impl StoreOptions {
    /// Sets the random bits of this process: they keep clients from forging records inside
    /// values, and make the identities of its tables unique.
    pub fn salted(mut self, salt: u64) -> Self {
        self.salt = salt;
        self.log.salt = salt;
        self.manifest.salt = salt;
        self
    }
}

/// A replica to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReplica {
    /// Its key; the id must never have been used on this node.
    pub key: ReplicaKey,
    /// Where its log starts: (0, 0) for a new partition.
    pub applied: Applied,
    /// Its first state block, opaque.
    pub state: Bytes,
}

/// A replica as it was found on disk.
pub struct Recovered {
    /// Which one.
    pub key: ReplicaKey,
    /// The last command its tables hold.
    pub applied: Applied,
    /// The state block after that command.
    pub state: Bytes,
    /// The last term and vote, if any was ever written.
    pub hard_state: Option<HardState>,
    /// The greatest commit index known; it may exceed the last batch.
    pub commit: u64,
    /// The batches above `applied`, contiguous.
    pub batches: Vec<LoggedBatch>,
    /// Batches that it acknowledged in its term may be missing at the end: the node's log was cut,
    /// [now](Store::log_cut) or earlier, and the replica [holds](Store::tail_repaired) them not
    /// again yet. Terms and votes are never missing.
    pub ambiguous_tail: bool,
    /// Its tree; or why the replica must be fenced: it may neither vote nor acknowledge.
    pub tree: Result<Tree, StorageError>,
}

/// An opened data directory.
pub struct Opened {
    /// Publishes changes, from any thread.
    pub store: Arc<Store>,
    /// The single writer of the log.
    pub log: LogWriter,
    /// Reads the log, from any thread.
    pub reader: LogReader,
    /// Whose volume this is; `None` on an empty one.
    pub identity: Option<Identity>,
    /// The partition map last stored; empty before there is one.
    pub map: MapEntries,
    /// The creation document.
    pub creation: Option<Bytes>,
    /// Living replicas, by key.
    pub replicas: Vec<Recovered>,
    /// Replicas that were removed for ever.
    pub removed: BTreeSet<ReplicaKey>,
}

/// A node's data directory. Its methods may be called from any thread; those that
/// write return once the change is durable, and share syncs with each other.
pub struct Store {
    manifest: Manifest,
    log: LogReader,
    /// What all trees share.
    context: TreeContext,
    outgoing: Outgoing,
    incoming: IncomingFiles,
    log_cut: Option<TailCut>,
    _lock: Box<dyn DirLock>,
}

impl Store {
    /// Opens the data directory, creating what is missing.
    ///
    /// Errors: [`Locked`](StorageError::Locked) if another process has it;
    /// [`Corruption`](StorageError::Corruption) of log or manifest,
    /// [`NewerFormat`](StorageError::NewerFormat) and I/O errors. Nothing on disk is changed before
    /// log, manifest and tables were read. Damaged tables fence their replica only.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: StoreOptions) -> Result<Opened> {
        open::open(disk, dir, options)
    }

    /// Whose volume this is.
    pub fn identity(&self) -> Option<Identity> {
        self.manifest.with_state(|state| state.identity)
    }

    /// Stores whose volume this is. Refused if it belongs to another node or database already.
    pub fn set_identity(&self, identity: Identity) -> Result<()> {
        self.check_identity(identity)?;
        self.manifest.commit(&[Change::Identity(identity)])
    }

    fn check_identity(&self, identity: Identity) -> Result<()> {
        if let Some(found) = self.identity() {
            let other = found.node != identity.node
                || found.database.is_some_and(|d| Some(d) != identity.database);
            if other {
                return Err(StorageError::Refused(format!(
                    "{} belongs to {found}, not to {identity}: give each node its own directory",
                    self.context.dir.display()
                )));
            }
        }
        Ok(())
    }

    /// The partition map last stored; empty before there is one.
    pub fn map(&self) -> MapEntries {
        self.manifest.with_state(|state| state.map.clone())
    }

    /// Changes entries of the partition map, all or none.
    pub fn change_map(&self, changes: impl IntoIterator<Item: Into<MapChange>>) -> Result<()> {
        crash_point("map stored: begun");
        let changes: Vec<_> = changes.into_iter().map(|c| Change::Map(c.into())).collect();
        self.manifest.commit(&changes)?;
        crash_point("map stored: durable");
        Ok(())
    }

    /// The creation document.
    pub fn creation(&self) -> Option<Bytes> {
        self.manifest.with_state(|state| state.creation.clone())
    }

    /// Stores the creation document.
    pub fn set_creation(&self, creation: Bytes) -> Result<()> {
        self.manifest.commit(&[Change::Creation(creation)])
    }

    /// Makes an empty volume a member of a database: identity, creation document, map and
    /// replicas in one edit, so that no crash leaves half a membership. Returns the replicas'
    /// empty trees in the same order.
    ///
    /// Refused if the volume belongs to another node or to any database already.
    pub fn join_database(
        &self,
        identity: Identity,
        creation: Bytes,
        map: MapEntries,
        replicas: &[NewReplica],
    ) -> Result<Vec<Tree>> {
        if let Some(found) = self.identity().filter(|found| found.database.is_some()) {
            return Err(StorageError::Refused(format!(
                "{} belongs to {found} already: a database is created on empty volumes only",
                self.context.dir.display()
            )));
        }
        self.check_identity(identity)?;
        let mut changes = vec![Change::Identity(identity), Change::Creation(creation)];
        changes.extend(self.replaced_map(map));
        changes.extend(replicas.iter().map(creation_of));
        crash_point("joining: begun");
        self.manifest.commit(&changes)?;
        crash_point("joining: durable");
        self.open_created(replicas)
    }

    /// Makes an empty volume a member of a database that exists: identity and map in one
    /// edit, and no replica yet. Again is a success, and stores the map given.
    ///
    /// Refused if the volume belongs to another node or database already.
    pub fn join(&self, identity: Identity, map: MapEntries) -> Result<()> {
        self.check_identity(identity)?;
        let mut changes = vec![Change::Identity(identity)];
        changes.extend(self.replaced_map(map));
        crash_point("node joining: begun");
        self.manifest.commit(&changes)?;
        crash_point("node joining: durable");
        Ok(())
    }

    /// The changes after which the map stored is `map`.
    fn replaced_map(&self, map: MapEntries) -> Vec<Change> {
        let known = self.map();
        let gone = known.into_keys().filter(|key| !map.contains_key(key)).map(MapChange::remove);
        let mut changes: Vec<_> = gone.collect();
        changes.extend(map.into_iter().map(|(key, content)| MapChange::set(key, content)));
        changes.into_iter().map(Change::Map).collect()
    }

    /// Creates replicas, all or none, and returns their empty trees in the same order.
    ///
    /// Refused if one of the ids was ever used or removed on this node, or if its partition
    /// has a replica here, be it a fenced one.
    pub fn create_replicas(&self, replicas: &[NewReplica]) -> Result<Vec<Tree>> {
        self.manifest.commit(&replicas.iter().map(creation_of).collect::<Vec<_>>())?;
        self.open_created(replicas)
    }

    /// Creates one replica and returns its empty tree; see [`Self::create_replicas`].
    pub fn create_replica(&self, replica: &NewReplica) -> Result<Tree> {
        crash_point("replica made: begun");
        self.manifest.commit(&[creation_of(replica)])?;
        crash_point("replica made: durable");
        self.open_one(replica)
    }

    fn open_created(&self, replicas: &[NewReplica]) -> Result<Vec<Tree>> {
        replicas.iter().map(|replica| self.open_one(replica)).collect()
    }

    fn open_one(&self, replica: &NewReplica) -> Result<Tree> {
        self.log.create(replica.key, replica.applied);
        Tree::open(self.context.clone(), &TreeImage::default(), replica.applied.index)
    }

    /// Removes a replica for ever, sound or fenced: a durable tombstone keeps its id from being
    /// created again, its records are dead, its tables are deleted. One that was never here
    /// leaves a tombstone too; again is a success.
    ///
    /// Readers that hold a view keep reading: its tables go with the last of them. A change of its
    /// tree that a job is still making will be refused as [`Removed`](StorageError::Removed).
    pub fn remove_replica(&self, replica: ReplicaKey) -> Result<()> {
        crash_point("replica removed: begun");
        let record = self.manifest.remove(replica)?;
        crash_point("replica removed: tombstone durable");
        self.log.remove(replica);
        self.outgoing.give_up(replica);
        self.incoming.give_up(replica);
        let files = record.iter().flat_map(|record| record.image.tables.keys());
        files.for_each(|file| self.context.obsolete.condemn(*file));
        self.delete_obsolete_files()?;
        crash_point("replica removed: tables deleted");
        Ok(())
    }

    /// Fences a replica durably, because its files are damaged: it may have forgotten what it
    /// acknowledged, so it must never vote, acknowledge or answer again, whatever the next
    /// start-up reads. Its records stop keeping the log long. The files stay until it is removed.
    ///
    /// Refused if there is no such replica; again is a success, and keeps the first reason.
    pub fn fence_replica(&self, replica: ReplicaKey, why: &str) -> Result<()> {
        crash_point("replica fenced: begun");
        self.manifest.commit(&[Change::Fence { replica, why: why.to_owned() }])?;
        crash_point("replica fenced: durable");
        self.log.remove(replica);
        self.outgoing.give_up(replica);
        self.incoming.give_up(replica);
        Ok(())
    }

    /// Fences a replica if `error`, met while reading, flushing or compacting its tree, says that
    /// its tables are damaged. Returns what to tell: then [`Fenced`](StorageError::Fenced), which
    /// names replica, file and offset, and what to do; any other error as it is.
    pub fn fence_if_damaged(&self, replica: ReplicaKey, error: StorageError) -> StorageError {
        let StorageError::Corruption(damage) = &error else { return error };
        // Damage of log or manifest is the whole node's.
        if !damage.file.starts_with(self.context.tables_dir()) {
            return error;
        }
        let why = damage.to_string();
        match self.fence_replica(replica, &why) {
            Ok(()) => StorageError::Fenced { replica, why },
            Err(error) => error,
        }
    }

    /// A replica holds again all that it acknowledged before the log was cut.
    ///
    /// Errors: [`Removed`](StorageError::Removed), or those of the manifest.
    pub fn tail_repaired(&self, replica: ReplicaKey) -> Result<()> {
        self.manifest.commit(&[Change::AmbiguousTail { replica, ambiguous: false }])?;
        crash_point("log tail repaired: durable");
        Ok(())
    }

    /// Every replica on this node, and why it is fenced, if it is.
    pub fn replicas(&self) -> BTreeMap<ReplicaKey, Option<String>> {
        self.manifest.with_state(|state| {
            state.live.iter().map(|(key, record)| (*key, record.fenced.clone())).collect()
        })
    }

    /// Replicas that were removed from this node for ever.
    pub fn removed(&self) -> BTreeSet<ReplicaKey> {
        self.manifest.with_state(|state| state.removed.clone())
    }

    /// Publishes a change of a tree in one durable manifest edit; [`Tree::install`] it afterwards.
    ///
    /// The caller has asked [`Tree::accepts`], and lets nothing else of this replica come between.
    /// Of a replica that was [`Removed`](StorageError::Removed) or [`Fenced`](StorageError::Fenced)
    /// meanwhile nothing is published, and the change is discarded. After a snapshot, the replica's
    /// log also needs a [`Reset`](crate::log::Record::Reset).
    pub fn publish(&self, replica: ReplicaKey, change: TreeChange) -> Result<TreeChange> {
        match self.write_change(replica, &change) {
            Ok(()) => Ok(change),
            Err(error) => {
                // After any other error the edit may have reached the disk, and names the files.
                if matches!(error, StorageError::Removed { .. } | StorageError::Fenced { .. }) {
                    change.discard();
                }
                Err(error)
            }
        }
    }

    fn write_change(&self, replica: ReplicaKey, change: &TreeChange) -> Result<()> {
        let tree = change.edit().clone();
        let next_file = tree.added.iter().map(|meta| meta.file.0 + 1).max();
        let applied = change.applied();
        let mut changes = vec![match applied.clone() {
            Some((applied, state)) => Change::Publish { replica, applied, state, tree },
            None => Change::Compact { replica, tree },
        }];
        changes.extend(next_file.map(Change::NextFile));
        if has_bug(Bug::AppliedNotAtomic)
            && let Change::Publish { replica, applied, state, tree } = &changes[0]
        {
            let (replica, applied, state) = (*replica, *applied, state.clone());
            let alone = TreeEdit { gc_floor: tree.gc_floor, ..TreeEdit::default() };
            self.manifest.commit(&[Change::Publish { replica, applied, state, tree: alone }])?;
        }
        if has_bug(Bug::TableDeletedEarly) && changes.len() > 1 {
            change.edit().removed.iter().try_for_each(|file| self.delete_table(*file))?;
        }
        crash_point(match applied {
            Some(_) => "flush: to be published",
            None => "compaction: to be published",
        });
        self.manifest.commit(&changes)?;
        crash_point(match applied {
            Some(_) => "flush: published",
            None => "compaction: published",
        });
        if let Some((applied, _)) = applied {
            // Only now may the log forget: the edit is durable, and so is the mark behind it.
            self.log.set_flushed(replica, applied);
        }
        Ok(())
    }

    /// Publishes and installs a change, or discards it if the tree has moved on or its replica
    /// was removed or fenced. Returns whether it was installed.
    pub fn commit(&self, replica: ReplicaKey, tree: &mut Tree, change: TreeChange) -> Result<bool> {
        if !tree.accepts(&change) {
            change.discard();
            return Ok(false);
        }
        match self.publish(replica, change) {
            Ok(change) => tree.install(change),
            Err(StorageError::Removed { .. } | StorageError::Fenced { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Publishes and installs a snapshot, then discards what the replica logged if it contradicts
    /// it: the log needs a [`Reset`](crate::log::Record::Reset) at `(index, term)` before its next
    /// batch.
    pub fn install_snapshot(
        &self,
        replica: ReplicaKey,
        tree: &mut Tree,
        change: TreeChange,
    ) -> Result<bool> {
        self.commit(replica, tree, change)
    }

    /// Where the log's tail was cut when this was opened, if a record had been begun there: what
    /// it held may have been acknowledged.
    pub fn log_cut(&self) -> Option<&TailCut> {
        self.log_cut.as_ref()
    }

    /// The node's source of file ids.
    pub fn file_ids(&self) -> FileIds {
        self.context.ids.clone()
    }

    /// The open files of the node's tables.
    pub fn table_files(&self) -> &TableFiles {
        &self.context.files
    }

    /// The node's block cache.
    pub fn cache(&self) -> BlockCache {
        self.context.cache.clone()
    }

    /// Room on the volume of the data directory.
    pub fn space(&self) -> Result<Space> {
        let dir = &self.context.dir;
        self.context.disk.space(dir).map_err(StorageError::io("measure the volume of", dir))
    }

    /// Deletes the tables nobody needs any more; returns how many. For a timer, or after each
    /// change.
    pub fn delete_obsolete_files(&self) -> Result<usize> {
        let files = self.context.obsolete.drain();
        if has_bug(Bug::TableForgotten) {
            return Ok(0);
        }
        files.iter().try_for_each(|file| self.delete_table(*file))?;
        Ok(files.len())
    }

    fn delete_table(&self, file: FileId) -> Result<()> {
        let path = self.context.table_path(file);
        match self.context.disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::io("delete", path)(error))
            }
            _ => {
                crash_point("table: deleted");
                Ok(())
            }
        }
    }
}

fn creation_of(replica: &NewReplica) -> Change {
    Change::Create { replica: replica.key, applied: replica.applied, state: replica.state.clone() }
}
