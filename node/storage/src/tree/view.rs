//! Reading: views and the handle that makes them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::changes::ChangeScan;
use super::pins::{Pin, Pins};
use super::scan::{Scan, ScanRange};
use super::version::Version;
use super::{KeyClass, LevelStats, ReadError};
use crate::table::{Expiry, Slot, TimedBatch};

/// What the writer publishes and readers take.
pub(crate) struct Latest {
    pub(crate) version: RwLock<Arc<Version>>,
    pub(crate) pins: Arc<Pins>,
}

/// Makes views of a tree, from any thread.
#[derive(Clone)]
pub struct TreeReader {
    pub(crate) latest: Arc<Latest>,
}

impl TreeReader {
    /// The tree as it is now, at its newest revision.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.latest.version.read()))
    }

    /// The newest revision wholly applied.
    pub fn revision(&self) -> u64 {
        self.latest.version.read().active.newest()
    }

    /// Keeps `revision` readable until the pin is dropped. Errors if it is already
    /// below the floor or not yet applied.
    pub fn pin(&self, revision: u64) -> Result<Pin, ReadError> {
        let newest = self.revision();
        if revision > newest {
            return Err(ReadError::RevisionAhead { at: revision, newest });
        }
        self.latest
            .pins
            .pin(|| revision)
            .map_err(|(at, floor)| ReadError::RevisionGone { at, floor })
    }

    /// Pins the newest revision.
    pub fn pin_newest(&self) -> Pin {
        self.latest
            .pins
            .pin(|| self.revision())
            .expect("the floor never rises above the newest revision")
    }

    /// Contents of each level.
    pub fn level_stats(&self) -> Vec<LevelStats> {
        self.latest.version.read().levels.stats()
    }
}

impl std::fmt::Debug for TreeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeReader").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// A value with the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The revision of the write.
    pub revision: u64,
    /// The value: its own bytes, or a slice of a block, which it keeps in memory.
    /// Copy it to keep it long.
    pub value: Bytes,
    /// When the key expires, if ever.
    pub expiry: Option<Expiry>,
}

/// An immutable view of a tree. It holds its memtables and files as long as it lives,
/// whatever is flushed or compacted meanwhile; so keep it for one request.
#[derive(Clone)]
pub struct View {
    pub(crate) version: Arc<Version>,
    revision: u64,
}

impl View {
    pub(crate) fn new(version: Arc<Version>) -> Self {
        // The revision of this version's own memtable: one published since belongs to
        // a later memtable, whose writes this version would miss.
        let revision = version.active.newest();
        Self { version, revision }
    }

    /// The newest revision in the view.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The oldest revision the view can be read at.
    pub fn gc_floor(&self) -> u64 {
        self.version.gc_floor
    }

    /// The last revision of the newest batch stamped at or below `stamp`, as far as memtables and
    /// tables list batches: all that changed keys above the floor. 0 if they list none.
    ///
    /// Errors: what the lists of tables cannot be read for.
    pub fn revision_at(&self, stamp: u64) -> Result<u64, ReadError> {
        let found = self.newest_batch(|batch| batch.stamp <= stamp)?;
        Ok(found.map_or(0, |batch| batch.last))
    }

    /// The newest batch that ends at or below `revision`, as far as they are listed.
    ///
    /// Errors: what the lists of tables cannot be read for.
    pub fn batch_at(&self, revision: u64) -> Result<Option<TimedBatch>, ReadError> {
        self.newest_batch(|batch| batch.last <= revision)
    }

    /// The newest batch listed of those that `is_early` holds for; it holds for none after the
    /// first that it does not hold for.
    fn newest_batch(
        &self,
        is_early: impl Fn(&TimedBatch) -> bool,
    ) -> Result<Option<TimedBatch>, ReadError> {
        let newest = |batches: &[TimedBatch]| {
            let after = batches.partition_point(&is_early);
            after.checked_sub(1).map(|at| batches[at])
        };
        // Later batches have later stamps: the first source that lists an early one is the
        // newest of the memtables, and what is in tables is older than any memtable.
        let frozen = self.version.frozen.iter().rev().map(|frozen| &frozen.memtable);
        for memtable in std::iter::once(&self.version.active).chain(frozen) {
            if let Some(found) = newest(&memtable.batches()) {
                return Ok(Some(found));
            }
        }
        let mut found: Option<TimedBatch> = None;
        for placed in self.version.levels.all() {
            let so_far = found.map_or(0, |batch| batch.last);
            if placed.meta.max_revision > so_far
                && let Some(batch) = newest(&placed.table.batches()?)
                && batch.last > so_far
            {
                found = Some(batch);
            }
        }
        Ok(found)
    }

    /// The value of a user key at revision `at` (`None`: the view's own), if it has one.
    pub fn get(&self, key: &[u8], at: Option<u64>) -> Result<Option<Versioned>, ReadError> {
        let at = self.readable(at)?;
        self.get_in(KeyClass::User, key, at)
    }

    /// The versions of a user key up to revision `at`, the newest first: each revision with its
    /// value, or none where it was deleted. The last one is what it held at the floor; what is
    /// older is left out.
    pub fn versions(
        &self,
        key: &[u8],
        at: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, Option<Bytes>), ReadError>>, ReadError> {
        let at = self.readable(Some(at))?;
        let (tree_key, floor) = (KeyClass::User.tree_key(key), self.gc_floor());
        let mut next = Some(at);
        Ok(std::iter::from_fn(move || {
            let found = self.version.get(&tree_key, next.take()?);
            let (revision, slot) = match found.transpose()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error.into())),
            };
            next = (revision > floor).then(|| revision - 1);
            Some(Ok(match slot {
                Slot::Value { value, .. } => (revision, Some(value)),
                Slot::Tombstone { .. } => (revision, None),
            }))
        }))
    }

    /// What was written to user keys in `range` after one revision and up to another, by key.
    ///
    /// Errors: versions that young are not all here any more, or not yet.
    pub fn changes(
        &self,
        range: &ScanRange,
        after: u64,
        through: u64,
    ) -> Result<ChangeScan<'_>, ReadError> {
        // All versions above the floor are kept, so those after it are.
        self.readable(Some(after))?;
        self.readable(Some(through))?;
        Ok(ChangeScan::new(&self.version, range, after, through)?)
    }

    /// The batches after a revision that changed keys, in order.
    ///
    /// Errors: what the lists of tables cannot be read for.
    pub fn batches_after(&self, after: u64) -> Result<Vec<TimedBatch>, ReadError> {
        let mut found = Vec::new();
        let mut take = |batches: Vec<TimedBatch>| {
            found.extend(batches.into_iter().filter(|batch| batch.last > after));
        };
        for placed in self.version.levels.all().filter(|placed| placed.meta.max_revision > after) {
            take(placed.table.batches()?);
        }
        for frozen in &self.version.frozen {
            take(frozen.memtable.batches());
        }
        take(self.version.active.batches());
        found.sort_unstable_by_key(|batch| batch.last);
        // A compaction in several outputs lists a batch in each of them.
        found.dedup();
        Ok(found)
    }

    /// The value of a system key, if it has one.
    pub fn get_system(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.get_in(KeyClass::System, key, self.revision)
    }

    fn get_in(&self, class: KeyClass, key: &[u8], at: u64) -> Result<Option<Versioned>, ReadError> {
        let found = self.version.get(&class.tree_key(key), at)?;
        Ok(found.and_then(|(revision, slot)| match slot {
            Slot::Value { value, attributes } => {
                Some(Versioned { revision, value, expiry: attributes.expiry })
            }
            Slot::Tombstone { .. } => None,
        }))
    }

    /// The user keys in `range` with their values at revision `at` (`None`: the view's own).
    pub fn scan(&self, range: ScanRange, at: Option<u64>) -> Result<Scan<'_>, ReadError> {
        let at = self.readable(at)?;
        Ok(Scan::new(&self.version, KeyClass::User, range, at)?)
    }

    /// The system keys in `range` with their values.
    pub fn scan_system(&self, range: ScanRange) -> Result<Scan<'_>, ReadError> {
        Ok(Scan::new(&self.version, KeyClass::System, range, self.revision)?)
    }

    fn readable(&self, at: Option<u64>) -> Result<u64, ReadError> {
        let at = at.unwrap_or(self.revision);
        if at > self.revision {
            return Err(ReadError::RevisionAhead { at, newest: self.revision });
        }
        let floor = self.version.gc_floor;
        if at < floor {
            return Err(ReadError::RevisionGone { at, floor });
        }
        Ok(at)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("revision", &self.revision)
            .field("gc_floor", &self.gc_floor())
            .finish_non_exhaustive()
    }
}
