//! The writer's side of a tree.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::change::{ChangeKind, JobTicket, TreeChange};
use super::context::{TreeContext, Workshop};
use super::flush::FlushJob;
use super::levels::{Levels, Placed};
use super::pins::Pins;
use super::snapshot::{Checkpoint, SnapshotTables};
use super::version::{Frozen, Version};
use super::view::{Latest, TreeReader, View};
use super::{Applied, Interval, KeyClass, LevelStats, Pressure, TreeEdit, TreeImage, TreeOptions};
use crate::compaction::reclaim::{Looked, Subject, choose};
use crate::compaction::{CompactionJob, Survey, bytes, pick};
use crate::memtable::{Memtable, Op};
use crate::table::{FileId, ObsoleteFiles, TimedBatch};
use crate::{Corruption, Result, StorageError};

/// A tree, owned by the one who writes it.
pub struct Tree {
    workshop: Arc<Workshop>,
    latest: Arc<Latest>,
    /// What readers see now; the writer alone replaces it.
    version: Arc<Version>,
    applied: u64,
    /// The least revision that stays readable though nobody pins it.
    floor: u64,
    /// The revision a start-up would find published.
    published: u64,
    /// Raised when a snapshot replaces everything: jobs begun before are void.
    incarnation: u64,
    flushing: Weak<()>,
    compacting: Weak<()>,
    /// Tables that surveys looked at.
    looked: Arc<Mutex<Looked>>,
}

impl Tree {
    /// Opens a tree with the tables the manifest lists, all of which are opened and
    /// checked; `applied` is the last revision published with them. The directory of
    /// the tables is created if need be.
    ///
    /// Errors: I/O; corruption, naming file and offset; a newer table format.
    pub fn open(context: TreeContext, image: &TreeImage, applied: u64) -> Result<Self> {
        context.options.check();
        if image.gc_floor > applied {
            return Err(StorageError::Refused(format!(
                "the manifest says that revisions below {} are gone but only {applied} is \
                 applied: they contradict each other, so replace this replica",
                image.gc_floor
            )));
        }
        let dir = context.tables_dir();
        context.disk.create_dir_all(&dir).map_err(StorageError::io("create", &dir))?;
        let workshop = Arc::new(Workshop { context });
        let levels = open_levels(&workshop, image)?;
        let version = Arc::new(Version {
            active: Arc::new(Memtable::new(applied)),
            frozen: Vec::new(),
            levels: Arc::new(levels),
            gc_floor: image.gc_floor,
            interval: None,
        });
        Ok(Self {
            latest: Arc::new(Latest {
                version: RwLock::new(Arc::clone(&version)),
                pins: Pins::starting_at(image.gc_floor),
            }),
            workshop,
            version,
            applied,
            floor: image.gc_floor,
            published: applied,
            incarnation: 0,
            flushing: Weak::new(),
            compacting: Weak::new(),
            looked: Arc::default(),
        })
    }

    fn publish(&mut self, version: Version) {
        self.version = Arc::new(version);
        *self.latest.version.write() = Arc::clone(&self.version);
    }

    /// Applies a command: all of it becomes visible at once. A command that changes
    /// nothing is applied with no ops, so that the revision passes it.
    ///
    /// Panics unless `revision` is above every revision applied: a command applied
    /// twice or out of order would corrupt the history.
    pub fn apply(&mut self, revision: u64, ops: &[Op]) {
        assert!(
            revision > self.applied,
            "revision {revision} is applied after revision {}",
            self.applied
        );
        self.version.active.apply(revision, ops);
        self.applied = revision;
    }

    /// Notes that the last command applied ended a batch; so tables list it.
    ///
    /// Panics if the batch does not end there, or not after the one before.
    pub fn end_batch(&mut self, batch: TimedBatch) {
        assert_eq!(batch.last, self.applied, "a batch ends with the last command applied");
        self.version.active.end_batch(batch);
    }

    /// Versions that only revisions below `floor` can see may go from now on. Jobs that begin
    /// later collect them. What is pinned stays, whatever the floor.
    ///
    /// Panics if the floor is above what is applied: that must stay readable.
    pub fn raise_floor(&mut self, floor: u64) {
        assert!(
            floor <= self.applied,
            "the floor is raised to {floor}, and only {} is applied",
            self.applied
        );
        self.floor = self.floor.max(floor);
    }

    /// The last revision applied.
    pub fn revision(&self) -> u64 {
        self.applied
    }

    /// A handle for readers; clones are cheap.
    pub fn reader(&self) -> TreeReader {
        TreeReader { latest: Arc::clone(&self.latest) }
    }

    /// The tree as it is now.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.version))
    }

    /// Restricts the tree to the keys of `interval`; `None` owns every key.
    pub fn set_interval(&mut self, interval: Option<Arc<dyn Interval>>) {
        let version = Version { interval, ..self.copy() };
        self.publish(version);
    }

    fn copy(&self) -> Version {
        Version {
            active: Arc::clone(&self.version.active),
            frozen: self.version.frozen.clone(),
            levels: Arc::clone(&self.version.levels),
            gc_floor: self.version.gc_floor,
            interval: self.version.interval.clone(),
        }
    }

    /// Freezes the memtable, to be flushed and published with `applied`, the last
    /// command in it, the partition's `state` block as of that command, and the changes of
    /// `system` keys that belong to that state. An empty memtable may be frozen too: it
    /// publishes a newer position and state.
    ///
    /// Panics if `applied` is not the last revision applied or beyond it, or if one of the
    /// changes is of a user key: readers have seen that revision already.
    pub fn rotate(&mut self, applied: Applied, state: Bytes, system: &[Op]) {
        let all_system = system.iter().all(|op| op.class == KeyClass::System);
        assert!(all_system, "a rotation changes a key of a user");
        assert!(
            applied.index >= self.applied,
            "a memtable with revision {} cannot be published as applied to {}",
            self.applied,
            applied.index
        );
        self.applied = applied.index;
        if !system.is_empty() {
            self.version.active.apply(applied.index, system);
        }
        let mut version = self.copy();
        version.frozen.push(Arc::new(Frozen {
            memtable: std::mem::replace(
                &mut version.active,
                Arc::new(Memtable::new(applied.index)),
            ),
            applied,
            state,
        }));
        self.publish(version);
    }

    /// A job for the oldest frozen memtable, if there is one and no flush is under way.
    pub fn flush_job(&mut self) -> Option<FlushJob> {
        let frozen = Arc::clone(self.version.frozen.first()?);
        let ticket = ticket(&mut self.flushing, self.incarnation)?;
        let horizon = self.horizon(frozen.applied.index);
        Some(FlushJob::new(
            Arc::clone(&self.workshop),
            ticket,
            frozen,
            self.version.levels.beneath(0),
            horizon,
        ))
    }

    /// The most useful compaction, if a level is full or a table mostly deletes, and none is
    /// under way.
    pub fn compaction_job(&mut self) -> Option<CompactionJob> {
        if self.compacting.strong_count() > 0 {
            return None;
        }
        let horizon = self.horizon_in_reach();
        let picked = pick(self.version.levels.each(), self.options(), horizon)?;
        let ticket = ticket(&mut self.compacting, self.incarnation)?;
        Some(CompactionJob::new(
            Arc::clone(&self.workshop),
            ticket,
            picked,
            &self.version.levels,
            self.version.interval.clone(),
            self.horizon(self.published),
        ))
    }

    /// For a full volume: a look at the table that most is hidden of, as far as is known, to
    /// write it anew without that; none while a compaction is under way. Tables that did not fit
    /// into `room` bytes are left out. Revisions that nobody has pinned are given up: room goes
    /// before history.
    pub fn survey(&mut self, room: u64) -> Option<Box<Survey>> {
        if self.compacting.strong_count() > 0 {
            return None;
        }
        let levels = Arc::clone(&self.version.levels);
        let (within, oldest) = (self.published, self.oldest_pin().unwrap_or(u64::MAX));
        let placed = choose(&levels, &self.looked.lock(), (within.min(oldest), room))?;
        let ticket = ticket(&mut self.compacting, self.incarnation)?;
        let horizon = self.latest.pins.raise_floor(within).min(within);
        let interval = self.version.interval.clone();
        let (workshop, looked) = (Arc::clone(&self.workshop), Arc::clone(&self.looked));
        let of = Subject { workshop, ticket, levels, placed, interval, horizon, looked };
        Some(Box::new(Survey::new(of)))
    }

    /// What [`Self::horizon`] would say now to a compaction.
    fn horizon_in_reach(&self) -> u64 {
        self.floor.min(self.published).min(self.oldest_pin().unwrap_or(u64::MAX))
    }

    /// The oldest revision a job that begins now keeps readable. Never above what is
    /// `published` with it: after a power loss the tree begins there, below what it had
    /// applied, and must be readable at once.
    fn horizon(&self, published: u64) -> u64 {
        let wanted = self.floor.min(published);
        // A flush under way may have raised the floor to what only it will publish.
        self.latest.pins.raise_floor(wanted).min(published)
    }

    /// The tree's tables as they are, which `applied` and `state` were published with.
    pub(crate) fn checkpoint(&self, applied: Applied, state: Bytes) -> Checkpoint {
        let (levels, gc_floor) = (Arc::clone(&self.version.levels), self.version.gc_floor);
        Checkpoint { levels, gc_floor, applied, state }
    }

    /// The change that replaces the whole tree by a snapshot taken at `applied`.
    /// Publish and install it before anything else is installed.
    pub fn snapshot_change(
        &self,
        mut snapshot: SnapshotTables,
        applied: Applied,
        state: Bytes,
    ) -> TreeChange {
        let (added, gc_floor) = (std::mem::take(&mut snapshot.tables), snapshot.gc_floor);
        let edit = TreeEdit {
            added: added.iter().map(|placed| placed.meta.clone()).collect(),
            removed: self.version.levels.all().map(|placed| placed.meta.file).collect(),
            gc_floor,
        };
        let ticket = JobTicket { incarnation: self.incarnation, _running: Arc::new(()) };
        let kind = ChangeKind::Snapshot { applied, state };
        TreeChange::new(edit, added, ticket, kind)
    }

    /// Whether a job's change still fits this tree. After a snapshot was installed,
    /// changes of jobs begun before do not: discard them, never publish them.
    pub fn accepts(&self, change: &TreeChange) -> bool {
        change.ticket.incarnation == self.incarnation
            && match &change.kind {
                ChangeKind::Flush(frozen) => {
                    self.version.frozen.first().is_some_and(|oldest| Arc::ptr_eq(oldest, frozen))
                }
                ChangeKind::Snapshot { .. } => {
                    let live = self.version.levels.all().map(|placed| placed.meta.file);
                    live.eq(change.edit().removed.iter().copied())
                }
                ChangeKind::Compaction => true,
            }
    }

    /// Makes a published change visible. Call it only once its manifest edit is
    /// durable: files that left are deleted as soon as the last view lets go of them.
    ///
    /// Panics if the tree does not accept the change: it was published nevertheless,
    /// so manifest and tree disagree.
    pub fn install(&mut self, change: TreeChange) {
        assert!(
            self.accepts(&change),
            "a change was published that does not fit its tree: {change:?}"
        );
        let mut version = self.copy();
        let mut levels = Levels::clone(&version.levels);
        let left = levels.apply(change.edit(), &change.added);
        self.looked.lock().installed(&levels);
        version.levels = Arc::new(levels);
        version.gc_floor = version.gc_floor.max(change.edit().gc_floor);
        match &change.kind {
            ChangeKind::Flush(frozen) => {
                version.frozen.remove(0);
                self.published = frozen.applied.index;
            }
            ChangeKind::Compaction => {}
            ChangeKind::Snapshot { applied, .. } => {
                version.frozen.clear();
                version.active = Arc::new(Memtable::new(applied.index));
                self.applied = applied.index;
                self.published = applied.index;
                self.incarnation += 1;
                self.flushing = Weak::new();
                self.compacting = Weak::new();
                self.latest.pins.force_floor(change.edit().gc_floor);
            }
        }
        self.publish(version);
        for table in left {
            table.mark_obsolete();
        }
    }

    /// The tree's geometry.
    pub fn options(&self) -> &TreeOptions {
        self.workshop.options()
    }

    /// Files nobody needs any more, for the Store to delete; see [`Self::table_path`].
    pub fn obsolete_files(&self) -> ObsoleteFiles {
        self.workshop.context.obsolete.clone()
    }

    /// Where a table of this tree is.
    pub fn table_path(&self, file: FileId) -> PathBuf {
        self.workshop.context.table_path(file)
    }

    /// What the manifest must hold of the tree now.
    pub fn image(&self) -> TreeImage {
        let metas = self.version.levels.all().map(|placed| &placed.meta);
        TreeImage {
            tables: metas.map(|meta| (meta.file, meta.clone())).collect(),
            gc_floor: self.version.gc_floor,
        }
    }

    /// Whether the memtable reached the size at which it should be frozen.
    pub fn wants_rotation(&self) -> bool {
        self.memtable_bytes() >= self.options().memtable_bytes
    }

    /// Bytes that the active memtable holds: copies of keys and values, and its index.
    pub fn memtable_bytes(&self) -> usize {
        self.version.active.bytes()
    }

    /// Whether nothing was applied since the last rotation.
    pub fn memtable_is_empty(&self) -> bool {
        self.version.active.is_empty()
    }

    /// Bytes that the frozen memtables hold.
    pub fn frozen_bytes(&self) -> usize {
        let frozen = self.version.frozen.iter();
        frozen.map(|frozen| frozen.memtable.bytes()).sum()
    }

    /// Memtables waiting to be flushed.
    pub fn frozen_count(&self) -> usize {
        self.version.frozen.len()
    }

    /// Bytes of all live tables.
    pub fn table_bytes(&self) -> u64 {
        self.level_stats().iter().map(|level| level.bytes).sum()
    }

    /// How many keys the tree holds: every version of a value counts as one, and a tombstone
    /// takes away itself and a version that it hides. Too many where keys were written again
    /// and their versions are not merged yet.
    pub fn estimated_keys(&self) -> u64 {
        let frozen = self.version.frozen.iter().map(|frozen| &frozen.memtable);
        let memtables = frozen.chain([&self.version.active]).map(|memtable| memtable.counts());
        let stats = self.level_stats();
        let tables = stats.iter().map(|level| (level.entries, level.tombstones));
        let (entries, tombstones) =
            memtables.chain(tables).fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        entries.saturating_sub(2 * tombstones)
    }

    /// Contents of each level.
    pub fn level_stats(&self) -> Vec<LevelStats> {
        self.version.levels.stats()
    }

    /// Versions below this revision may be gone.
    pub fn gc_floor(&self) -> u64 {
        self.version.gc_floor
    }

    /// The oldest revision pinned.
    pub fn oldest_pin(&self) -> Option<u64> {
        self.latest.pins.oldest()
    }

    /// Bytes by which levels exceed what they should hold: what compaction owes. All of
    /// level 0 counts once it is full.
    pub fn debt(&self) -> u64 {
        let options = self.options();
        let excess = |(level, tables): (usize, &Vec<Placed>)| match level {
            0 if tables.len() < options.l0_compaction => 0,
            0 => bytes(tables),
            _ => bytes(tables).saturating_sub(options.level_target(level)),
        };
        let levels = self.version.levels.each().iter().enumerate();
        levels.map(excess).sum()
    }

    /// Whether writers should slow down or stop.
    pub fn pressure(&self) -> Pressure {
        let options = self.options();
        let level_0 = self.version.levels.each()[0].len();
        let of_level_0 = if level_0 >= options.l0_stop {
            Pressure::Stop
        } else if level_0 >= options.l0_slow {
            Pressure::Slow
        } else {
            Pressure::None
        };
        of_level_0.max(self.flush_pressure())
    }

    /// The same of flushes alone: all that can be waited for while no compaction finds
    /// room on the volume.
    pub fn flush_pressure(&self) -> Pressure {
        let (frozen, stop) = (self.frozen_count(), self.options().frozen_stop);
        if frozen >= stop {
            Pressure::Stop
        } else if frozen + 1 >= stop {
            Pressure::Slow
        } else {
            Pressure::None
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("dir", &self.workshop.context.dir)
            .field("applied", &self.applied)
            .field("levels", &self.level_stats())
            .finish_non_exhaustive()
    }
}

/// A ticket for a job unless one of its kind is under way.
fn ticket(running: &mut Weak<()>, incarnation: u64) -> Option<JobTicket> {
    if running.strong_count() > 0 {
        return None;
    }
    let token = Arc::new(());
    *running = Arc::downgrade(&token);
    Some(JobTicket { incarnation, _running: token })
}

fn open_levels(workshop: &Workshop, image: &TreeImage) -> Result<Levels> {
    let mut levels = Levels::empty(workshop.options().levels);
    for meta in image.tables.values() {
        let table = workshop.open_listed(meta)?;
        workshop.context.ids.observe(meta.file);
        let placed = Placed::new(table, usize::from(meta.level));
        levels
            .try_insert(placed)
            .map_err(|what| Corruption::new(workshop.context.table_path(meta.file), 0, what))?;
    }
    Ok(levels)
}
