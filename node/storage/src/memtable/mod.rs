//! The memtable: what was applied but is not yet in a table.
//!
//! A skip list that one writer fills while readers walk it. A command becomes visible
//! at once: readers read at [`Memtable::newest`], which the writer raises only after the
//! whole command is inserted; so no view ever sees half of a revision.

mod key;

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;

use crate::Result;
use crate::table::Slot;
use crate::table::entry::{Cursor, Direction, Place};
use crate::tree::KeyClass;
use key::{InternalKey, Placed};

/// Memory of a version beside its key and value: list node, tower, handles, counters.
const OVERHEAD: usize = 160;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Whose key it is.
    pub class: KeyClass,
    /// The key, without its class.
    pub key: Bytes,
    /// What the key holds from now on.
    pub slot: Slot,
}

impl Op {
    /// The key holds this value from now on.
    pub fn put(class: KeyClass, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { class, key: key.into(), slot: Slot::value(value) }
    }

    /// The key holds nothing from now on.
    pub fn delete(class: KeyClass, key: impl Into<Bytes>) -> Self {
        Self { class, key: key.into(), slot: Slot::tombstone() }
    }
}

/// Versions in memory, in internal order.
pub(crate) struct Memtable {
    map: SkipMap<InternalKey, Slot>,
    bytes: AtomicUsize,
    newest: AtomicU64,
}

impl Memtable {
    /// An empty memtable that continues after revision `newest`.
    pub(crate) fn new(newest: u64) -> Self {
        Self { map: SkipMap::new(), bytes: AtomicUsize::new(0), newest: AtomicU64::new(newest) }
    }

    /// Applies a command; only the tree's single writer may call it. Of two changes of
    /// one key in a command the later holds.
    pub(crate) fn apply(&self, revision: u64, ops: &[Op]) {
        let mut bytes = 0;
        for op in ops {
            let key = op.class.tree_key(&op.key);
            bytes += key.len() + op.slot.len() + OVERHEAD;
            self.map.insert(InternalKey { key, revision }, op.slot.clone());
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Publishes the inserts above: see `newest`.
        self.newest.store(revision, Ordering::Release);
    }

    /// The newest revision wholly applied.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Approximate bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The newest version of `key` at or below revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<(u64, Slot)> {
        let entry = self.lower_bound((key, at))?;
        (entry.key().key == key).then(|| (entry.key().revision, entry.value().clone()))
    }

    fn lower_bound(&self, place: Place<'_>) -> Option<Entry<'_, InternalKey, Slot>> {
        self.map.lower_bound::<dyn Placed>(Bound::Included(&place as &dyn Placed))
    }

    /// A cursor at the first version at or after `start`; `None` is the very first.
    pub(crate) fn forward(&self, start: Option<Place<'_>>) -> MemtableCursor<'_> {
        MemtableCursor {
            entry: match start {
                Some(start) => self.lower_bound(start),
                None => self.map.front(),
            },
            direction: Direction::Forward,
        }
    }

    /// A cursor at the last version before `end`; `None` is the very last.
    pub(crate) fn reverse(&self, end: Option<Place<'_>>) -> MemtableCursor<'_> {
        MemtableCursor {
            entry: match end {
                Some(end) => {
                    self.map.upper_bound::<dyn Placed>(Bound::Excluded(&end as &dyn Placed))
                }
                None => self.map.back(),
            },
            direction: Direction::Reverse,
        }
    }
}

/// Walks over a memtable; versions inserted meanwhile may or may not be met.
pub(crate) struct MemtableCursor<'a> {
    entry: Option<Entry<'a, InternalKey, Slot>>,
    direction: Direction,
}

impl MemtableCursor<'_> {
    fn entry(&self) -> &Entry<'_, InternalKey, Slot> {
        self.entry.as_ref().expect("a cursor is asked only while it is valid")
    }
}

impl Cursor for MemtableCursor<'_> {
    fn valid(&self) -> bool {
        self.entry.is_some()
    }

    fn key(&self) -> &[u8] {
        &self.entry().key().key
    }

    fn revision(&self) -> u64 {
        self.entry().key().revision
    }

    fn slot(&self) -> Slot {
        self.entry().value().clone()
    }

    fn advance(&mut self) -> Result<()> {
        self.entry = self.entry.as_ref().and_then(|entry| match self.direction {
            Direction::Forward => entry.next(),
            Direction::Reverse => entry.prev(),
        });
        Ok(())
    }
}
