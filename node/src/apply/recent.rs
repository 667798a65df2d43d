//! What commands have changed of late: kept in memory while somebody watches, so that many watches
//! cost one copy of each change, and no look into tables.

use bytes::Bytes;
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::table::Slot;
use doug_storage::tree::Op;
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one command did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The command's revision.
    pub revision: u64,
    /// The stamp of its batch.
    pub stamp: u64,
    /// The key.
    pub key: Bytes,
    /// What it holds from then on; none if it was deleted.
    pub value: Option<Bytes>,
}

impl Change {
    /// What `op` does. It owns its bytes: those of the batch would keep all of it in memory.
    pub fn of(op: &Op, revision: u64, stamp: u64) -> Self {
        let value = match &op.slot {
            Slot::Value { value, .. } => Some(Bytes::copy_from_slice(value)),
            Slot::Tombstone { .. } => None,
        };
        Self { revision, stamp, key: Bytes::copy_from_slice(&op.key), value }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        OVERHEAD + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// What a change takes beside its key and value: its place in a queue that may be half empty, and
/// what two allocations cost.
const OVERHEAD: usize = 2 * size_of::<Change>() + 64;

/// Most bytes of changes kept of one replica.
const MOST: u64 = 4 << 20;

/// The memory that the changes kept of all replicas of a node share.
#[derive(Debug)]
pub struct RecentMemory {
    used: AtomicU64,
    limit: u64,
}

impl RecentMemory {
    /// So many bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Which changes of one replica are kept: all after `start` and up to `through`. Both are ends of
/// batches, so that what is told of a batch is all of it.
#[derive(Debug)]
struct Ring {
    memory: Arc<RecentMemory>,
    start: u64,
    through: u64,
    changes: VecDeque<Change>,
    bytes: u64,
}

impl Ring {
    fn begin_again(&mut self, at: u64) {
        self.changes.clear();
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
        (self.start, self.through) = (at, at);
    }

    /// Lets the oldest revision go, all of it.
    fn evict(&mut self) {
        let Some(oldest) = self.changes.front().map(|change| change.revision) else { return };
        let after = self.changes.partition_point(|change| change.revision <= oldest);
        let gone: u64 = self.changes.drain(..after).map(|change| change.bytes() as u64).sum();
        self.bytes -= gone;
        self.memory.used.fetch_sub(gone, Ordering::Relaxed);
        if !has_bug(Bug::EvictedChangeForgotten) {
            self.start = oldest;
        }
    }

    fn is_beyond(&self) -> bool {
        self.bytes > MOST || self.memory.used() > self.memory.limit
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The recent changes of one replica, once somebody has asked for them.
#[derive(Debug, Default)]
pub struct Recent(RwLock<Option<Ring>>);

/// How far somebody was told what has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Everything below this revision.
    pub revision: u64,
    /// Of this revision what was done to keys up to this one; none: all of it.
    pub key: Option<Bytes>,
}

impl Place {
    /// All of a revision.
    pub fn at(revision: u64) -> Self {
        Self { revision, key: None }
    }

    /// The last revision that was told whole.
    pub fn whole(&self) -> u64 {
        if self.key.is_some() { self.revision.saturating_sub(1) } else { self.revision }
    }

    /// Whether a change comes later.
    pub fn is_before(&self, revision: u64, key: &[u8]) -> bool {
        let rest = self.key.as_ref().is_some_and(|told| revision == self.revision && key > told);
        revision > self.revision || rest
    }
}

/// Changes in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// By revision, and of one revision by key.
    pub changes: Vec<Change>,
    /// Nothing else has changed in the range up to here.
    pub through: Place,
}

impl Recent {
    /// Keeps what changes after `at`, the end of the batch applied last, unless it does already.
    pub(super) fn begin(&self, at: u64, memory: &Arc<RecentMemory>) {
        let mut ring = self.0.write();
        if ring.is_none() {
            let (memory, changes) = (memory.clone(), VecDeque::new());
            *ring = Some(Ring { memory, start: at, through: at, changes, bytes: 0 });
        }
    }

    /// Keeps nothing any more.
    pub fn end(&self) {
        *self.0.write() = None;
    }

    /// Whether changes are kept.
    pub fn is_kept(&self) -> bool {
        self.0.read().is_some()
    }

    /// A batch that ends at `last` has made these changes.
    pub(super) fn push(&self, last: u64, changes: &[Change]) {
        let mut ring = self.0.write();
        let Some(ring) = ring.as_mut() else { return };
        let bytes: u64 = changes.iter().map(|change| change.bytes() as u64).sum();
        ring.changes.extend(changes.iter().cloned());
        ring.bytes += bytes;
        ring.memory.used.fetch_add(bytes, Ordering::Relaxed);
        ring.through = last;
        while ring.is_beyond() && !ring.changes.is_empty() {
            ring.evict();
        }
    }

    /// What has changed up to `at` is not known: a batch that was begun before changes were kept,
    /// or a snapshot.
    pub(super) fn skip(&self, at: u64) {
        if let Some(ring) = self.0.write().as_mut() {
            ring.begin_again(at);
        }
    }

    /// Which revisions it knows: all after the first and up to the second. None while it keeps
    /// nothing.
    pub fn span(&self) -> Option<(u64, u64)> {
        self.0.read().as_ref().map(|ring| (ring.start, ring.through))
    }

    /// What has changed in a range after a place, up to the change that reaches so many bytes. None
    /// if it does not know all of that any more.
    pub fn after(&self, after: &Place, range: &impl Holds, most: usize) -> Option<Told> {
        let ring = self.0.read();
        let ring = ring.as_ref().filter(|ring| after.whole() >= ring.start)?;
        let first = ring.changes.partition_point(|change| change.revision <= after.whole());
        let later = ring.changes.range(first..);
        let later = later.filter(|change| after.is_before(change.revision, &change.key));
        let (mut changes, mut bytes) = (Vec::<Change>::new(), 0);
        for change in later.filter(|change| range.holds(&change.key)) {
            if let Some(last) = changes.last().filter(|_| bytes >= most) {
                let key = (last.revision == change.revision).then(|| last.key.clone());
                let through = if has_bug(Bug::ProgressOvertakes) {
                    Place::at(ring.through)
                } else {
                    Place { revision: last.revision, key }
                };
                return Some(Told { changes, through });
            }
            bytes += change.bytes();
            changes.push(change.clone());
        }
        // A replica that is behind knows nothing of the rest of a command.
        let through =
            if ring.through >= after.revision { Place::at(ring.through) } else { after.clone() };
        Some(Told { changes, through })
    }
}

/// A set of keys.
pub trait Holds {
    /// Whether it holds this one.
    fn holds(&self, key: &[u8]) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All;

    impl Holds for All {
        fn holds(&self, _: &[u8]) -> bool {
            true
        }
    }

    fn change(revision: u64, key: &'static str) -> Change {
        let value = Some(Bytes::from(vec![0; 100]));
        Change { revision, stamp: revision, key: key.into(), value }
    }

    fn kept(limit: u64) -> (Recent, Arc<RecentMemory>) {
        let (recent, memory) = (Recent::default(), Arc::new(RecentMemory::new(limit)));
        recent.begin(10, &memory);
        (recent, memory)
    }

    fn revisions(told: &Told) -> Vec<u64> {
        told.changes.iter().map(|change| change.revision).collect()
    }

    #[test]
    fn what_it_does_not_know_all_of_it_does_not_tell_in_part() {
        let (recent, _) = kept(1 << 20);
        let after = |revision| recent.after(&Place::at(revision), &All, 1 << 20);
        recent.push(12, &[change(11, "a"), change(12, "b")]);
        assert_eq!(after(9), None);
        let told = after(11).unwrap();
        assert_eq!((revisions(&told), told.through), (vec![12], Place::at(12)));
        recent.skip(20);
        assert_eq!(after(12), None);
        assert_eq!(after(20).unwrap().through, Place::at(20));
    }

    #[test]
    fn an_answer_that_ends_within_a_command_says_where_and_the_next_goes_on_there() {
        let (recent, _) = kept(1 << 20);
        recent.push(11, &[change(11, "a"), change(11, "b"), change(11, "c")]);
        recent.push(13, &[change(13, "a")]);
        let (mut place, mut told) = (Place::at(10), Vec::new());
        for _ in 0..4 {
            let one = recent.after(&place, &All, 1).unwrap();
            told.extend(one.changes.iter().map(|change| (change.revision, change.key.clone())));
            place = one.through;
        }
        let expected = [(11, "a"), (11, "b"), (11, "c"), (13, "a")];
        assert!(
            told.iter()
                .map(|(at, key)| (*at, &key[..]))
                .eq(expected.map(|(at, key)| (at, key.as_bytes())))
        );
        assert_eq!(place, Place::at(13));
        assert_eq!(
            recent.after(&Place { revision: 11, key: None }, &All, 1 << 20).unwrap().changes.len(),
            1
        );
    }

    #[test]
    fn a_replica_that_is_behind_does_not_say_that_the_rest_of_a_command_is_told() {
        let (recent, _) = kept(1 << 20);
        let within = Place { revision: 12, key: Some("a".into()) };
        assert_eq!(recent.after(&within, &All, 1 << 20).unwrap().through, within);
    }

    #[test]
    fn beyond_the_memory_of_the_node_the_oldest_goes_and_nothing_is_kept_of_what_ended() {
        let (recent, memory) = kept(3 * change(1, "a").bytes() as u64);
        for revision in 11..=20 {
            recent.push(revision, &[change(revision, "a")]);
        }
        assert_eq!(recent.span(), Some((17, 20)));
        assert_eq!(recent.after(&Place::at(16), &All, 1 << 20), None);
        let told = recent.after(&Place::at(17), &All, 1 << 20).unwrap();
        assert_eq!(revisions(&told), [18, 19, 20]);
        recent.end();
        assert_eq!(memory.used(), 0);
    }
}
