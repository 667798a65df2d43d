//! Which versions, tombstones and lists of batches a compaction keeps, one behaviour a test: what
//! somebody may still read stays, everything else goes.

mod tree_support;

use std::sync::Arc;

use doug_storage::cache::{BlockCache, TableFiles};
use doug_storage::table::{Compression, ObsoleteFiles, Table, TimedBatch};
use doug_storage::tree::{Interval, KeyClass, Op, ReadError, ScanRange, TreeOptions};
use tree_support::{
    Keeper, forgetful, get, keys, put, range, system, system_keys, three_generations,
};

fn three_generations_from(keeper: &mut Keeper, first: u64) {
    for revision in first..first + 3 {
        keeper.put(revision, "a", &format!("v{revision}"));
        keeper.flush();
    }
}

#[test]
fn compaction_drops_versions_nobody_can_read() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    assert_eq!(keeper.entries(), 60);
    keeper.compact();
    assert_eq!(keeper.entries(), 20);
    assert_eq!(keeper.get("k07").as_deref(), Some("v48"));
}

#[test]
fn a_pinned_revision_survives_compaction_until_unpinned() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "old");
    let pin = keeper.tree.reader().pin_newest();
    assert_eq!(pin.revision(), 1);
    three_generations_from(&mut keeper, 2);
    keeper.compact();
    assert_eq!(get(&keeper.tree.view(), "a", Some(1)).as_deref(), Some("old"));
    drop(pin);
    three_generations_from(&mut keeper, 200);
    keeper.compact();
    let gone = keeper.tree.view().get(b"a", Some(1));
    assert!(matches!(gone, Err(ReadError::RevisionGone { at: 1, floor }) if floor > 1));
}

#[test]
fn revisions_from_the_floor_on_stay_readable_unpinned() {
    let mut keeper = Keeper::keeping(2, TreeOptions::tiny());
    three_generations_from(&mut keeper, 10);
    keeper.compact();
    let view = keeper.tree.view();
    assert_eq!(get(&view, "a", Some(10)).as_deref(), Some("v10"));
    assert_eq!(view.gc_floor(), 10);
    let gone = view.get(b"a", Some(9));
    assert!(matches!(gone, Err(ReadError::RevisionGone { at: 9, floor: 10 })));
}

#[test]
fn a_revision_below_the_floor_cannot_be_pinned() {
    let mut keeper = Keeper::new(forgetful());
    three_generations_from(&mut keeper, 10);
    keeper.compact();
    let refused = keeper.tree.reader().pin(10);
    assert!(matches!(refused, Err(ReadError::RevisionGone { at: 10, .. })));
}

#[test]
fn a_tombstone_stays_while_an_older_version_lies_beneath() {
    let mut options = forgetful();
    options.table.compression = Compression::None;
    let mut keeper = Keeper::new(options);
    // The old value sinks two levels deep, then is deleted above it.
    for i in 0..400u64 {
        keeper.put(i + 1, &format!("k{:03}", i % 200), &"x".repeat(100));
        if i % 40 == 39 {
            keeper.flush();
            keeper.compact();
        }
    }
    assert!(keeper.tree.level_stats()[2].tables > 0, "nothing sank");
    for i in 0..200u64 {
        keeper.delete(1000 + i, &format!("k{i:03}"));
        if i % 40 == 39 {
            keeper.flush();
            keeper.compact();
            let left = keys(&keeper.tree.view(), ScanRange::all(), None);
            assert_eq!(left.len() as u64, 199 - i);
        }
    }
}

#[test]
fn tombstones_vanish_once_nothing_lies_beneath() {
    let mut keeper = Keeper::new(forgetful());
    for i in 0..20 {
        keeper.put(i + 1, &format!("k{i:02}"), "x");
    }
    keeper.flush();
    for i in 0..20 {
        keeper.delete(i + 100, &format!("k{i:02}"));
    }
    keeper.flush();
    keeper.compact();
    assert_eq!(keeper.entries(), 0);
    assert_eq!(keeper.tree.table_bytes(), 0);
}

#[test]
fn of_a_system_key_only_the_newest_version_is_kept_whatever_the_floor() {
    let mut keeper = Keeper::keeping(1_000, TreeOptions::tiny());
    for revision in 1..=6 {
        keeper.tree.apply(revision, &[system("a", &format!("v{revision}")), put("a", "kept")]);
        keeper.flush();
    }
    keeper.tree.apply(7, &[system("b", "gone"), Op::delete(KeyClass::System, "a")]);
    keeper.tree.apply(8, &[Op::delete(KeyClass::System, "b")]);
    keeper.flush();
    keeper.compact();
    assert_eq!(keeper.tree.gc_floor(), 0, "all user versions are readable");
    // Six versions of the user key, one system key, and two tombstones in level 0 over it.
    assert_eq!(keeper.entries(), 9, "{:?}", keeper.tree.level_stats());
    assert_eq!(system_keys(&keeper), []);
}

/// Owns the keys below "k10".
#[derive(Debug)]
struct LowHalf;

impl Interval for LowHalf {
    fn contains(&self, key: &[u8]) -> bool {
        key < b"k10".as_ref()
    }
}

#[test]
fn keys_outside_the_interval_are_neither_read_nor_kept() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.tree.set_interval(Some(Arc::new(LowHalf)));
    assert_eq!(keeper.get("k10"), None);
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None).len(), 10);
    assert_eq!(keys(&keeper.tree.view(), range("", None, true), None).len(), 10);
    keeper.compact();
    assert_eq!(keeper.entries(), 10);
}

#[test]
fn the_interval_is_over_user_keys_alone() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.set_interval(Some(Arc::new(LowHalf)));
    for revision in 1..=3 {
        keeper.tree.apply(revision, &[system("k99", "ours"), put("k99", "theirs")]);
        keeper.flush();
    }
    keeper.compact();
    assert_eq!(keeper.get("k99"), None);
    assert_eq!(system_keys(&keeper), [("k99".to_owned(), "ours".to_owned())]);
}

fn batch(last: u64) -> TimedBatch {
    TimedBatch { last, stamp: last << 16, clock: last }
}

/// The batches that the tree's tables list, each once.
fn listed(keeper: &Keeper) -> Vec<TimedBatch> {
    let mut batches = Vec::new();
    for file in keeper.image.tables.keys() {
        let path = keeper.tree.table_path(*file);
        let (cache, obsolete) = (BlockCache::new(0, 0), ObsoleteFiles::default());
        let files = TableFiles::new(Arc::new(keeper.disk.clone()), 1);
        let table = Table::open(&files, &path, *file, cache, obsolete).unwrap();
        batches.extend(table.batches().unwrap());
    }
    batches.sort_by_key(|batch| batch.last);
    batches.dedup();
    batches
}

#[test]
fn a_table_lists_the_batches_it_holds_versions_of() {
    let mut keeper = Keeper::keeping(100, TreeOptions::tiny());
    for revision in 1..=10 {
        // From 5 to 6 nothing changes: nobody could tell that batch from the one before.
        let ops = if (5..=6).contains(&revision) { vec![] } else { vec![put("k", "x")] };
        keeper.tree.apply(revision, &ops);
        if revision % 2 == 0 {
            keeper.tree.end_batch(batch(revision));
        }
    }
    keeper.flush();
    assert_eq!(listed(&keeper), [2, 4, 8, 10].map(batch));
}

#[test]
fn compaction_merges_lists_of_batches_and_trims_them_below_the_floor() {
    let mut keeper = Keeper::keeping(10, TreeOptions::tiny());
    for revision in 1..=30 {
        keeper.put(revision, &format!("k{revision:02}"), "x");
        if revision % 3 == 0 {
            keeper.tree.end_batch(batch(revision));
        }
        if revision % 10 == 0 {
            keeper.flush();
        }
    }
    keeper.compact();
    assert_eq!(keeper.tree.gc_floor(), 20);
    // 18 is the last at or below the floor: from its stamp on the floor can be read.
    assert_eq!(listed(&keeper), [18, 21, 24, 27, 30].map(batch));
}
