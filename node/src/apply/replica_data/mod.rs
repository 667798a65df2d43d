//! A partition as this node holds it: its tree and its state machine, advanced
//! together by the log and read through immutable views.

mod tables;

pub use tables::{Checkpoint, Jobs};

use super::history::{Ages, Kept, wanted};
use super::machine::{ApplyError, Machine};
use super::recent::{Change, Recent, RecentMemory};
use super::served::ServedCounts;
use crate::work::{ApplyBatch, ApplyWork, InstalledSnapshot, RequestId, encode_command};
use bytes::Bytes;
use doug_proto::ids::DatabaseId;
use doug_proto::map::{History, Partition as Descriptor};
use doug_proto::v1;
use doug_raft::{Batch, Clock, Stamp};
use doug_storage::simulation::{Bug, crash_point, has_bug};
use doug_storage::table::TimedBatch;
use doug_storage::tree::{Tree, TreeReader};
use doug_storage::{Applied, ReplicaKey};
use parking_lot::{Mutex, RwLock};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One replica's data.
#[derive(Debug)]
pub struct ReplicaData {
    key: ReplicaKey,
    database: DatabaseId,
    reader: TreeReader,
    /// Apart from the rest, so that reads never wait for what is being applied.
    descriptor: RwLock<Arc<Descriptor>>,
    /// Held from the look whether a change of the tables still fits until it is installed: so
    /// changes go into the manifest one after the other, each on top of the last. Taken before
    /// `inner`, never after it, so that nobody who holds `inner` waits for an fsync.
    publishing: Mutex<()>,
    inner: Mutex<Inner>,
    maintenance_asked: AtomicBool,
    leads: AtomicBool,
    /// Of the last batch applied, or being applied.
    stamp: AtomicU64,
    /// Of the last batch that is wholly applied.
    closed: AtomicU64,
    serves: AtomicBool,
    served: ServedCounts,
    recent: Recent,
}

#[derive(Debug)]
struct Inner {
    tree: Tree,
    machine: Machine,
    ages: Ages,
    applied: Applied,
    /// Of the commands after `applied`, those that tree and machine contain already: their batch
    /// waits for a descriptor to read a table with.
    begun: Vec<v1::Outcome>,
    /// And what they have changed, if changes were kept when the batch was begun.
    changed: Option<Vec<Change>>,
    /// A snapshot is on its way into the manifest and will replace all of this. What is applied
    /// until then could be beyond it, and would be lost without a trace.
    replacing: bool,
}

/// What became of one piece of [`ApplyWork`].
#[derive(Debug)]
pub struct AppliedWork {
    /// The outcomes, for those that wait for them, each with the stamp of its batch.
    pub outcomes: Vec<(RequestId, v1::Outcome, Stamp)>,
    /// What was changed, if somebody may want to hear of it.
    pub changes: Vec<Change>,
    /// Something may have been changed that is not among `changes`.
    pub skipped: bool,
    /// Those that wait in vain: a snapshot contained their commands.
    pub overtaken: Vec<RequestId>,
    /// The last index of the work that was applied: at most what is applied now.
    pub index: u64,
    /// Whether the memtable has grown to where it should be flushed.
    pub wants_maintenance: bool,
    /// The partition's descriptor, if the work changed it: it is committed, so
    /// the node's map takes it over.
    pub descriptor: Option<Arc<Descriptor>>,
    /// The partition's feature level now.
    pub feature_level: u32,
    /// When a key of the partition may be due next: [`Machine::next_expiry`].
    pub next_expiry: Option<Clock>,
    /// How late the keys were that the work made expire.
    pub lateness: Vec<Duration>,
    /// Work to be given again after a pause: the table it reads could not be opened for want of a
    /// descriptor, or a snapshot is on its way into the manifest.
    pub rest: Option<ApplyWork>,
}

/// Work that could not be applied to its end.
#[derive(Debug)]
pub struct Unapplied {
    /// Why.
    pub error: ApplyError,
    /// Everyone who waited for an outcome of it.
    pub waiting: Vec<RequestId>,
}

impl ReplicaData {
    /// Takes over a tree and the state that belongs to it.
    pub fn new(key: ReplicaKey, mut tree: Tree, machine: Machine, applied: Applied) -> Self {
        tree.raise_floor(machine.history().floor.revision);
        let reader = tree.reader();
        let descriptor = RwLock::new(Arc::new(machine.descriptor().clone()));
        let stamp = AtomicU64::new(machine.time().stamp.0);
        let closed = AtomicU64::new(machine.time().stamp.0);
        Self {
            key,
            database: machine.database(),
            reader,
            descriptor,
            publishing: Mutex::new(()),
            inner: Mutex::new(Inner {
                tree,
                machine,
                ages: Ages::default(),
                applied,
                begun: Vec::new(),
                changed: None,
                replacing: false,
            }),
            maintenance_asked: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            stamp,
            closed,
            serves: AtomicBool::new(false),
            served: ServedCounts::default(),
            recent: Recent::default(),
        }
    }

    /// The replica.
    pub fn key(&self) -> ReplicaKey {
        self.key
    }

    /// The database it is of.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// Makes views of the keys.
    pub fn reader(&self) -> &TreeReader {
        &self.reader
    }

    /// The descriptor as of the last applied command.
    pub fn descriptor(&self) -> Arc<Descriptor> {
        self.descriptor.read().clone()
    }

    /// The partition's feature level as of the last applied command.
    pub fn feature_level(&self) -> u32 {
        self.inner.lock().machine.feature_level()
    }

    /// What the host is told once a snapshot of everything up to `applied` stands here.
    pub fn installed(&self, applied: Applied) -> InstalledSnapshot {
        let inner = self.inner.lock();
        InstalledSnapshot {
            index: applied.index,
            term: applied.term,
            time: inner.machine.time(),
            descriptor: inner.machine.descriptor().clone(),
            feature_level: inner.machine.feature_level(),
        }
    }

    /// A stamp at or above those of all batches that a view taken before has seen.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::Acquire))
    }

    /// The greatest time that is closed here: whatever is stamped at or below it is applied, and
    /// in every view taken from now on.
    pub fn closed(&self) -> Stamp {
        if has_bug(Bug::ClosedByOthers) {
            return Stamp(u64::MAX);
        }
        Stamp(self.closed.load(Ordering::Acquire))
    }

    /// The last command applied.
    pub fn applied(&self) -> Applied {
        self.inner.lock().applied
    }

    /// Applies committed batches. Those a snapshot already contains are skipped.
    ///
    /// # Errors
    /// When a command cannot be applied; the replica must leave, or the node stop.
    pub fn apply(&self, work: ApplyWork) -> Result<AppliedWork, Unapplied> {
        let mut inner = self.inner.lock();
        let Inner { tree, machine, ages, applied, begun, changed, replacing } = &mut *inner;
        let (mut outcomes, mut overtaken) =
            (Vec::<(RequestId, v1::Outcome, Stamp)>::new(), Vec::new());
        let (mut index, mut rest) = (applied.index, None);
        let (mut changes, mut skipped) = (Vec::new(), false);
        let mut batches = work.batches.into_iter();
        while let Some(ApplyBatch { batch, waiting }) = batches.next() {
            if *replacing {
                rest = Some(self.work(ApplyBatch { batch, waiting }, batches));
                break;
            }
            if batch.last() <= applied.index {
                index = batch.last();
                overtaken.extend(waiting);
                continue;
            }
            // Batches are applied whole, so a snapshot never ends inside one.
            assert_eq!(
                batch.base,
                applied.index + 1,
                "replica {} was given the batch at {} after index {}",
                self.key,
                batch.base,
                applied.index
            );
            crash_point("apply: batch begun");
            // Before anything of it can be read: what a read has seen is never later than this.
            self.stamp.store(batch.time.stamp.0, Ordering::Release);
            if begun.is_empty() {
                *changed = self.recent.is_kept().then(Vec::new);
            }
            match machine.apply(tree, &batch, begun, changed.as_mut()) {
                Ok(()) => {}
                Err(error) if error.is_passing() => {
                    rest = Some(self.work(ApplyBatch { batch, waiting }, batches));
                    break;
                }
                Err(error) => {
                    let before = outcomes.into_iter().map(|(request, ..)| request);
                    let after = waiting.into_iter().chain(batches.flat_map(|next| next.waiting));
                    let waiting = overtaken.into_iter().chain(before).chain(after).collect();
                    return Err(Unapplied { error, waiting });
                }
            }
            crash_point("apply: batch done");
            // All of a batch at once: nobody is told half of it.
            match changed.take() {
                Some(new) => {
                    self.recent.push(batch.last(), &new);
                    changes.extend(new);
                }
                None => {
                    self.recent.skip(batch.last());
                    skipped = true;
                }
            }
            self.closed.store(batch.time.stamp.0, Ordering::Release);
            note_age(ages, machine, &batch);
            *applied = Applied { index: batch.last(), term: batch.term };
            index = applied.index;
            let outcome = |(request, outcome)| (request, outcome, batch.time.stamp);
            outcomes.extend(waiting.into_iter().zip(std::mem::take(begun)).map(outcome));
        }
        let wants_maintenance = tree.wants_rotation();
        let (feature_level, next_expiry) = (machine.feature_level(), machine.next_expiry());
        let lateness = machine.take_lateness();
        let mut descriptor = self.descriptor.write();
        let changed = descriptor.generation != machine.descriptor().generation;
        if changed {
            *descriptor = Arc::new(machine.descriptor().clone());
        }
        let descriptor = changed.then(|| descriptor.clone());
        Ok(AppliedWork {
            outcomes,
            changes,
            skipped: skipped && self.recent.is_kept(),
            overtaken,
            index,
            wants_maintenance,
            descriptor,
            feature_level,
            next_expiry,
            lateness,
            rest,
        })
    }

    fn work(&self, first: ApplyBatch, others: impl Iterator<Item = ApplyBatch>) -> ApplyWork {
        ApplyWork { replica: self.key, batches: iter::once(first).chain(others).collect() }
    }

    /// How far back it can be read, as of the last applied command.
    pub fn history(&self) -> Kept {
        *self.inner.lock().machine.history()
    }

    /// The command about its history, encoded, that its leader should propose now, given the
    /// options of its keyspace and their generation.
    pub fn wanted(&self, declared: (u64, History)) -> Option<Bytes> {
        let inner = self.inner.lock();
        wanted(inner.machine.history(), &inner.ages, declared).as_ref().map(encode_command)
    }

    /// What was changed of late, once [`Self::keep_changes`] was asked.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Keeps what is changed from now on, within the memory that all replicas share.
    pub fn keep_changes(&self, memory: &Arc<RecentMemory>) {
        if !self.recent.is_kept() {
            let inner = self.inner.lock();
            self.recent.begin(inner.applied.index, memory);
        }
    }

    /// What was served from here since the process began.
    pub fn served(&self) -> &ServedCounts {
        &self.served
    }

    /// How many client sessions there are.
    pub fn session_count(&self) -> usize {
        self.inner.lock().machine.sessions().len()
    }

    /// What the client sessions count for, in bytes; see [`doug_proto::limits::SESSION_BYTES`].
    pub fn session_bytes(&self) -> u64 {
        self.inner.lock().machine.sessions().bytes() as u64
    }

    /// Notes whether this replica leads, as its host last said.
    pub fn note_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Whether this replica leads, as its host last said.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Notes that this replica may serve what it has applied, as its host said.
    pub fn note_serves(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Whether it may serve reads that rest on nothing but what it has applied: not before
    /// it has found the state again that it served before its node's restart.
    pub fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }
}

/// Counts a batch that was applied, for the floor that is due one day.
fn note_age(ages: &mut Ages, machine: &Machine, batch: &Batch) {
    let Kept { options, floor } = *machine.history();
    let history = options.map(|(_, history)| history).unwrap_or_default();
    let (stamp, clock) = (batch.time.stamp.0, batch.time.clock.0);
    ages.note(TimedBatch { last: batch.last(), stamp, clock }, batch.size(), history);
    ages.forget(floor);
}
