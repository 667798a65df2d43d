//! Where every living record is: per replica, and per segment.
//!
//! The same rules run when a record is appended and when it is replayed, so a
//! restart cannot end up with another log than the one that was acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::HardState;
use crate::{Applied, ReplicaKey};

/// Place of a record on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    pub segment: u64,
    pub offset: u64,
    pub size: u32,
}

/// A living batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub base: u64,
    pub count: u32,
    pub term: u64,
    /// Position at which it was first appended; relocation keeps it.
    pub original: u64,
    pub at: Location,
}

impl Entry {
    pub fn last(&self) -> u64 {
        self.base + u64::from(self.count) - 1
    }
}

/// The last term and vote, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HardEntry {
    pub state: HardState,
    pub original: u64,
    pub at: Location,
}

/// What the log holds of one replica.
#[derive(Debug, Default)]
pub(super) struct ReplicaLog {
    /// Ascending by index. Contiguous, except in the middle of a replay.
    pub entries: VecDeque<Entry>,
    pub hard: Option<HardEntry>,
    /// The greatest commit index known.
    pub commit: u64,
    /// The greatest that a record says which is still there, and the segment of that record.
    recorded: (u64, u64),
    /// Up to where the tree holds everything durably.
    pub flushed: Applied,
    /// Up to where the host has no more use for the log.
    pub wanted: u64,
}

impl ReplicaLog {
    /// Batches that end at or below this are dead. A host may ask for more than
    /// is flushed; what is not in the tree must stay all the same.
    pub fn floor(&self) -> u64 {
        self.wanted.min(self.flushed.index)
    }

    pub fn last(&self) -> u64 {
        self.entries.back().map_or(self.flushed.index, Entry::last)
    }

    /// Position of the batch that holds `index`, or of the first one behind it.
    pub fn position(&self, index: u64) -> usize {
        self.entries.partition_point(|e| e.last() < index)
    }

    /// The batch that holds `index`.
    pub fn covering(&self, index: u64) -> Option<&Entry> {
        self.entries.get(self.position(index)).filter(|e| e.base <= index)
    }

    /// Batches that are not known committed. No flush frees them: what they hold is in no
    /// memtable, and may be in none for as long as a majority is away.
    pub fn uncommitted(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.position(self.known_committed() + 1)..)
    }

    /// Whether a flush, or a floor that rises, frees a batch: the oldest is committed.
    pub fn can_be_freed(&self) -> bool {
        self.entries.front().is_some_and(|oldest| oldest.last() <= self.known_committed())
    }

    /// What is in the tree was committed, whoever said so.
    fn known_committed(&self) -> u64 {
        self.commit.max(self.flushed.index)
    }

    /// Whether a snapshot up to `(index, term)` contradicts what is logged.
    pub fn disagrees(&self, index: u64, term: u64) -> bool {
        self.covering(index).is_some_and(|e| e.term != term)
    }
}

/// Bytes of living records in one segment, of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Living {
    pub batches: u64,
    pub hard: u64,
}

/// The index of the whole log.
#[derive(Debug, Default)]
pub(super) struct Index {
    replicas: BTreeMap<ReplicaKey, ReplicaLog>,
    removed: BTreeSet<ReplicaKey>,
    living: BTreeMap<u64, BTreeMap<ReplicaKey, Living>>,
    /// Replicas whose commit index stands in no record: a start-up would not know of it.
    unrecorded: BTreeSet<ReplicaKey>,
}

impl Index {
    /// Adds a replica that wants everything still logged, until told otherwise.
    pub fn create(&mut self, key: ReplicaKey, flushed: Applied) {
        let log = ReplicaLog { flushed, ..ReplicaLog::default() };
        let before = self.replicas.insert(key, log);
        assert!(
            before.is_none() && !self.removed.contains(&key),
            "replica id {key} was used twice"
        );
    }

    pub fn forget(&mut self, key: ReplicaKey) {
        self.replicas.remove(&key);
        self.removed.insert(key);
        self.unrecorded.remove(&key);
        self.living.retain(|_, replicas| {
            replicas.remove(&key);
            !replicas.is_empty()
        });
    }

    pub fn is_removed(&self, key: ReplicaKey) -> bool {
        self.removed.contains(&key)
    }

    pub fn get(&self, key: ReplicaKey) -> Option<&ReplicaLog> {
        self.replicas.get(&key)
    }

    pub fn replicas(&self) -> impl Iterator<Item = (ReplicaKey, &ReplicaLog)> {
        self.replicas.iter().map(|(key, log)| (*key, log))
    }

    /// What lives in a segment, by replica.
    pub fn living(&self, segment: u64) -> impl Iterator<Item = (ReplicaKey, Living)> {
        self.living.get(&segment).into_iter().flatten().map(|(key, living)| (*key, *living))
    }

    /// Bytes of all living records in a segment.
    pub fn living_bytes(&self, segment: u64) -> u64 {
        self.living(segment).map(|(_, l)| l.batches + l.hard).sum()
    }

    /// Bytes that live in a segment and that no flush frees: terms and votes, and batches that
    /// are not known committed.
    pub fn unfreeable_bytes(&self, segment: u64) -> u64 {
        let of_replica = |(key, living): (ReplicaKey, Living)| {
            let uncommitted = self.replicas.get(&key).into_iter().flat_map(ReplicaLog::uncommitted);
            let here = uncommitted.filter(|entry| entry.at.segment == segment);
            living.hard + here.map(|entry| u64::from(entry.at.size)).sum::<u64>()
        };
        self.living(segment).map(of_replica).sum()
    }

    /// Bytes of all batches that are not known committed.
    pub fn uncommitted_bytes(&self) -> u64 {
        let uncommitted = self.replicas.values().flat_map(ReplicaLog::uncommitted);
        uncommitted.map(|entry| u64::from(entry.at.size)).sum()
    }

    /// Why a batch cannot follow what is logged, if so.
    pub fn objection(&self, key: ReplicaKey, base: u64, count: u32) -> Option<String> {
        let Some(log) = self.replicas.get(&key) else {
            return Some(format!("replica {key} does not exist on this node"));
        };
        if base == 0 || count == 0 {
            return Some(format!("replica {key} appends an empty batch, or one at index 0"));
        }
        if base > log.last() + 1 && base > log.flushed.index + 1 {
            return Some(format!(
                "replica {key} appends at {base}, its log ends at {}",
                log.last()
            ));
        }
        self.cuts_a_batch(key, base)
    }

    /// Conflicts fall on batch boundaries, because a batch is never cut.
    pub fn cuts_a_batch(&self, key: ReplicaKey, base: u64) -> Option<String> {
        let entry = self.replicas.get(&key)?.covering(base)?;
        (entry.base < base).then(|| {
            format!(
                "replica {key} appends at {base}, inside its batch of {} to {}",
                entry.base,
                entry.last()
            )
        })
    }

    /// Adds a batch; what stood at its base and above is dead.
    pub fn batch(&mut self, key: ReplicaKey, entry: Entry, commit: u64) {
        self.record_commit(key, commit, entry.at.segment);
        let Some(log) = self.replicas.get_mut(&key) else { return };
        while log.entries.back().is_some_and(|e| e.last() >= entry.base) {
            if let Some(dead) = log.entries.pop_back() {
                bury(&mut self.living, key, dead.at, |l| &mut l.batches);
            }
        }
        log.entries.push_back(entry);
        self.live(key, entry.at).batches += u64::from(entry.at.size);
        self.drop_dead(key);
    }

    /// Takes a newer term and vote.
    pub fn hard_state(&mut self, key: ReplicaKey, hard: HardEntry, commit: u64) {
        self.record_commit(key, commit, hard.at.segment);
        let Some(log) = self.replicas.get_mut(&key) else { return };
        if let Some(old) = log.hard.replace(hard) {
            bury(&mut self.living, key, old.at, |l| &mut l.hard);
        }
        self.live(key, hard.at).hard += u64::from(hard.at.size);
    }

    /// Everything up to `commit` is committed, as whoever applies it has been told. Never falls.
    pub fn note_commit(&mut self, key: ReplicaKey, commit: u64) {
        let Some(log) = self.replicas.get_mut(&key) else { return };
        log.commit = log.commit.max(commit);
        if log.commit > log.recorded.0 {
            self.unrecorded.insert(key);
        }
    }

    /// A record in `segment` says so.
    pub fn record_commit(&mut self, key: ReplicaKey, commit: u64, segment: u64) {
        let Some(log) = self.replicas.get_mut(&key) else { return };
        log.commit = log.commit.max(commit);
        log.recorded = log.recorded.max((commit, segment));
        if log.recorded.0 >= log.commit {
            self.unrecorded.remove(&key);
        }
    }

    /// A segment goes, and with it what its records said of commit indexes. What is in the tree
    /// needs no record.
    pub fn forget_recorded(&mut self, segment: u64) {
        for (key, log) in &mut self.replicas {
            if log.recorded.1 <= segment && log.recorded.0 > 0 {
                log.recorded = (0, 0);
                if log.commit > log.flushed.index {
                    self.unrecorded.insert(*key);
                }
            }
        }
    }

    /// Replicas whose commit index stands in no record, and that index.
    pub fn unrecorded(&self) -> Vec<(ReplicaKey, u64)> {
        let commit = |key: &ReplicaKey| Some((*key, self.replicas.get(key)?.commit));
        self.unrecorded.iter().filter_map(commit).collect()
    }

    pub fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Discards all batches of a replica.
    pub fn discard(&mut self, key: ReplicaKey) {
        let Some(log) = self.replicas.get_mut(&key) else { return };
        for dead in log.entries.drain(..) {
            bury(&mut self.living, key, dead.at, |l| &mut l.batches);
        }
    }

    /// The host needs nothing at or below `index` any more. Never falls.
    pub fn set_wanted(&mut self, key: ReplicaKey, index: u64) {
        if let Some(log) = self.replicas.get_mut(&key) {
            log.wanted = log.wanted.max(index);
            self.drop_dead(key);
        }
    }

    /// The tree holds everything up to `applied`, durably. Never falls.
    pub fn set_flushed(&mut self, key: ReplicaKey, applied: Applied) {
        if let Some(log) = self.replicas.get_mut(&key) {
            assert!(applied.index >= log.flushed.index, "the applied index of {key} fell");
            log.flushed = applied;
            self.drop_dead(key);
        }
    }

    fn drop_dead(&mut self, key: ReplicaKey) {
        let Some(log) = self.replicas.get_mut(&key) else { return };
        let floor = log.floor();
        while log.entries.front().is_some_and(|e| e.last() <= floor) {
            if let Some(dead) = log.entries.pop_front() {
                bury(&mut self.living, key, dead.at, |l| &mut l.batches);
            }
        }
    }

    /// A batch has a new place; nothing happens if it died meanwhile.
    pub fn move_batch(&mut self, key: ReplicaKey, base: u64, original: u64, to: Location) {
        let Some(log) = self.replicas.get_mut(&key) else { return };
        let position = log.position(base);
        let Some(entry) =
            log.entries.get_mut(position).filter(|e| e.base == base && e.original == original)
        else {
            return;
        };
        let from = std::mem::replace(&mut entry.at, to);
        bury(&mut self.living, key, from, |l| &mut l.batches);
        self.live(key, to).batches += u64::from(to.size);
    }

    fn live(&mut self, key: ReplicaKey, at: Location) -> &mut Living {
        self.living.entry(at.segment).or_default().entry(key).or_default()
    }
}

/// Takes a record out of the living of its segment.
fn bury(
    living: &mut BTreeMap<u64, BTreeMap<ReplicaKey, Living>>,
    key: ReplicaKey,
    at: Location,
    field: fn(&mut Living) -> &mut u64,
) {
    let Some(replicas) = living.get_mut(&at.segment) else { return };
    let Some(entry) = replicas.get_mut(&key) else { return };
    let bytes = field(entry);
    *bytes = bytes.checked_sub(u64::from(at.size)).expect("a record dies once");
    if entry.batches == 0 && entry.hard == 0 {
        replicas.remove(&key);
        if replicas.is_empty() {
            living.remove(&at.segment);
        }
    }
}
