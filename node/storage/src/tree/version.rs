//! A tree at one moment, shared by everyone who reads it.

use std::sync::Arc;

use bytes::Bytes;

use super::class::key_of;
use super::levels::Levels;
use super::{Applied, Interval, KeyClass};
use crate::Result;
use crate::memtable::Memtable;
use crate::table::Slot;

/// A memtable that takes no more writes, and what will be published with it.
pub(crate) struct Frozen {
    pub(crate) memtable: Arc<Memtable>,
    pub(crate) applied: Applied,
    pub(crate) state: Bytes,
}

/// Memtables and tables that together hold the tree. Immutable but for the active
/// memtable, which only grows above the revision a view reads at.
pub(crate) struct Version {
    pub(crate) active: Arc<Memtable>,
    /// Oldest first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    pub(crate) levels: Arc<Levels>,
    pub(crate) gc_floor: u64,
    pub(crate) interval: Option<Arc<dyn Interval>>,
}

impl Version {
    /// The newest version of a key in the tree at or below `at`. Sources are asked newest first;
    /// each holds only newer versions of a key than the next, so the first answer counts.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Result<Option<(u64, Slot)>> {
        if !self.owns(key) {
            return Ok(None);
        }
        let frozen = self.frozen.iter().rev().map(|frozen| &frozen.memtable);
        for memtable in std::iter::once(&self.active).chain(frozen) {
            if let Some(found) = memtable.get(key, at) {
                return Ok(Some(found));
            }
        }
        self.levels.get(key, at)
    }

    pub(crate) fn owns(&self, key: &[u8]) -> bool {
        owns(self.interval.as_deref(), key)
    }
}

/// Whether a tree of this interval owns a key that stands in it.
pub(crate) fn owns(interval: Option<&dyn Interval>, tree_key: &[u8]) -> bool {
    interval.is_none_or(|interval| {
        !KeyClass::User.holds(tree_key) || interval.contains(key_of(tree_key))
    })
}
