//! The memtable: what was applied but is not yet in a table.
//!
//! A skip list that one writer fills while readers walk it without a lock. Keys and values
//! are copied into chunks of the memtable's own ([`arena`]), so that a small entry holds no
//! batch and no message in memory, and [`Memtable::bytes`] is what is really held.
//!
//! A command becomes visible at once: readers read at [`Memtable::newest`], which the writer
//! raises only after the whole command is inserted; so no view ever sees half of a revision.

mod arena;
mod entry;

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipSet;
use crossbeam_skiplist::set;
use parking_lot::Mutex;

use crate::Result;
use crate::table::entry::{Cursor, Direction, Place};
use crate::table::{Slot, TimedBatch};
use crate::tree::KeyClass;
use arena::Arena;
use entry::{Entry, Placed, Sought};

/// Memory of a node of the skip list: an entry, a counter, and a tower of two pointers in
/// the mean; with what the allocator adds.
const NODE: usize = size_of::<Entry>() + 8 + 2 * 8 + 16;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Whose key it is.
    pub class: KeyClass,
    /// The key, without its class. The tree copies it, and the value too.
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
    entries: SkipSet<Entry>,
    /// The writer's alone: readers hold entries by their handles.
    arena: Mutex<Arena>,
    /// The batches applied, in order.
    batches: Mutex<Vec<TimedBatch>>,
    bytes: AtomicUsize,
    tombstones: AtomicUsize,
    newest: AtomicU64,
}

impl Memtable {
    /// An empty memtable that continues after revision `newest`.
    pub(crate) fn new(newest: u64) -> Self {
        Self {
            entries: SkipSet::new(),
            arena: Mutex::new(Arena::new()),
            batches: Mutex::new(Vec::new()),
            bytes: AtomicUsize::new(0),
            tombstones: AtomicUsize::new(0),
            newest: AtomicU64::new(newest),
        }
    }

    /// Applies a command; only the tree's single writer may call it. Of two changes of
    /// one key in a command the later holds.
    pub(crate) fn apply(&self, revision: u64, ops: &[Op]) {
        if !ops.is_empty() {
            self.insert(revision, ops);
        }
        // Publishes the inserts above: see `newest`.
        self.newest.store(revision, Ordering::Release);
    }

    /// Notes the batch whose last command was applied just before.
    pub(crate) fn end_batch(&self, batch: TimedBatch) {
        let mut batches = self.batches.lock();
        let in_order = batches.last().is_none_or(|before| {
            before.last < batch.last && before.stamp < batch.stamp && before.clock <= batch.clock
        });
        assert!(in_order, "{batch:?} is applied after {:?}", batches.last());
        let before = batches.capacity();
        batches.push(batch);
        let grown = (batches.capacity() - before) * size_of::<TimedBatch>();
        self.bytes.fetch_add(grown, Ordering::Relaxed);
    }

    /// The batches applied, in order.
    pub(crate) fn batches(&self) -> Vec<TimedBatch> {
        self.batches.lock().clone()
    }

    fn insert(&self, revision: u64, ops: &[Op]) {
        let mut arena = self.arena.lock();
        let before = arena.allocated();
        let mut head = Vec::new();
        for Op { class, key, slot } in ops {
            head.clear();
            slot.encode_head(&mut head);
            let bytes = arena.store(&[&[class.byte()], key, &head, slot.bytes()]);
            let key_len = u32::try_from(1 + key.len()).expect("a key has at most 4 KiB");
            self.entries.insert(Entry::new(bytes, key_len, revision));
        }
        let grown = arena.allocated() - before + ops.len() * NODE;
        self.bytes.fetch_add(grown, Ordering::Relaxed);
        let tombstones = ops.iter().filter(|op| op.slot.is_tombstone()).count();
        self.tombstones.fetch_add(tombstones, Ordering::Relaxed);
    }

    /// The newest revision wholly applied.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Bytes of memory: all chunks, used or not, the nodes of the skip list, and the list of
    /// batches.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Versions, and the tombstones among them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.tombstones.load(Ordering::Relaxed) as u64)
    }

    /// The newest version of `key` at or below revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<(u64, Slot)> {
        let entry = self.lower_bound((key, at))?;
        (entry.key() == key).then(|| (entry.revision, entry.slot()))
    }

    fn lower_bound(&self, place: Place<'_>) -> Option<set::Entry<'_, Entry>> {
        let sought = Sought::new(place);
        self.entries.lower_bound::<dyn Placed>(Bound::Included(&sought as &dyn Placed))
    }

    /// A cursor at the first version at or after `start`; `None` is the very first.
    pub(crate) fn forward(&self, start: Option<Place<'_>>) -> MemtableCursor<'_> {
        MemtableCursor {
            entry: match start {
                Some(start) => self.lower_bound(start),
                None => self.entries.front(),
            },
            direction: Direction::Forward,
        }
    }

    /// A cursor at the last version before `end`; `None` is the very last.
    pub(crate) fn reverse(&self, end: Option<Place<'_>>) -> MemtableCursor<'_> {
        MemtableCursor {
            entry: match end {
                Some(end) => {
                    let sought = Sought::new(end);
                    self.entries.upper_bound::<dyn Placed>(Bound::Excluded(&sought as &dyn Placed))
                }
                None => self.entries.back(),
            },
            direction: Direction::Reverse,
        }
    }
}

/// Walks over a memtable; versions inserted meanwhile may or may not be met.
pub(crate) struct MemtableCursor<'a> {
    entry: Option<set::Entry<'a, Entry>>,
    direction: Direction,
}

impl MemtableCursor<'_> {
    fn entry(&self) -> &Entry {
        self.entry.as_ref().expect("a cursor is asked only while it is valid")
    }
}

impl Cursor for MemtableCursor<'_> {
    fn valid(&self) -> bool {
        self.entry.is_some()
    }

    fn key(&self) -> &[u8] {
        self.entry().key()
    }

    fn revision(&self) -> u64 {
        self.entry().revision
    }

    fn slot(&self) -> Slot {
        self.entry().slot()
    }

    fn advance(&mut self) -> Result<()> {
        self.entry = self.entry.as_ref().and_then(|entry| match self.direction {
            Direction::Forward => entry.next(),
            Direction::Reverse => entry.prev(),
        });
        Ok(())
    }
}
