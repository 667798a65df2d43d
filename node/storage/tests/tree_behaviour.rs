//! What a tree promises, one behaviour a test.

mod tree_support;

use std::sync::Arc;

use bytes::Bytes;
use doug_storage::StorageError;
use doug_storage::cache::{BlockCache, TableFiles};
use doug_storage::disk::Disk;
use doug_storage::table::{Compression, ObsoleteFiles, Table, TimedBatch};
use doug_storage::tree::{
    Applied, Interval, KeyClass, Op, Pressure, Progress, ReadError, ScanRange, TreeOptions,
};
use tree_support::{Keeper, delete, finish, get, keys, put, range};

/// No history kept unpinned: every compaction collects all it may.
fn forgetful() -> TreeOptions {
    TreeOptions { history: 0, ..TreeOptions::tiny() }
}

/// Three flushed tables of the same keys, enough for level 0 to be full.
fn three_generations(keeper: &mut Keeper) {
    for generation in 0..3u64 {
        for i in 0..20 {
            let revision = generation * 20 + i + 1;
            keeper.put(revision, &format!("k{i:02}"), &format!("v{revision}"));
        }
        keeper.flush();
    }
}

#[test]
fn a_value_is_read_back_from_memtable_table_and_deeper_levels() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "one");
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.rotate();
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.flush();
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.put(2, "b", "two");
    keeper.flush();
    keeper.compact();
    assert_eq!(keeper.tree.level_stats()[0].tables, 0);
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    assert_eq!(keeper.get("c"), None);
}

#[test]
fn an_empty_value_is_not_a_missing_key() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "");
    assert_eq!(keeper.get("a").as_deref(), Some(""));
    keeper.flush();
    assert_eq!(keeper.get("a").as_deref(), Some(""));
    assert_eq!(keeper.get("b"), None);
}

#[test]
fn a_read_names_the_revision_that_wrote_the_value() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(7, "a", "x");
    keeper.put(9, "b", "y");
    let found = keeper.tree.view().get(b"a", None).unwrap().unwrap();
    assert_eq!((found.revision, &found.value[..]), (7, &b"x"[..]));
    assert_eq!(keeper.tree.view().revision(), 9);
}

#[test]
fn of_two_changes_of_a_key_in_one_command_the_later_holds() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(1, &[put("a", "first"), put("a", "second"), put("b", "x")]);
    keeper.tree.apply(2, &[put("b", "y"), delete("b")]);
    for _ in 0..2 {
        assert_eq!(keeper.get("a").as_deref(), Some("second"));
        assert_eq!(keeper.get("b"), None);
        keeper.flush();
    }
}

#[test]
fn a_command_without_changes_moves_the_revision_on() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(4, &[]);
    assert_eq!(keeper.tree.reader().revision(), 4);
}

#[test]
#[should_panic(expected = "revision 3 is applied after revision 3")]
fn a_revision_is_never_applied_twice() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(3, "a", "x");
    keeper.put(3, "a", "x");
}

#[test]
fn a_view_does_not_see_what_is_applied_after_it() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "old");
    let before = keeper.tree.view();
    keeper.tree.apply(2, &[put("a", "new"), put("b", "new")]);
    keeper.rotate();
    keeper.put(3, "c", "newer");
    assert_eq!(get(&before, "a", None).as_deref(), Some("old"));
    assert_eq!(keys(&before, ScanRange::all(), None), ["a"]);
    assert_eq!(before.revision(), 1);
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), ["a", "b", "c"]);
}

#[test]
fn a_view_reads_on_while_its_files_are_compacted_away() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    let old = keeper.tree.view();
    let expected = tree_support::scan(&old, ScanRange::all(), None);
    let files = keeper.files();

    keeper.put(1000, "k00", "later");
    keeper.flush();
    keeper.compact();
    keeper.delete_obsolete();
    assert!(files.iter().all(|file| keeper.files().contains(file)));
    assert_eq!(tree_support::scan(&old, ScanRange::all(), None), expected);

    drop(old);
    assert_eq!(keeper.delete_obsolete(), files.len());
    assert!(files.iter().all(|file| !keeper.files().contains(file)));
    assert_eq!(keeper.get("k00").as_deref(), Some("later"));
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

fn three_generations_from(keeper: &mut Keeper, first: u64) {
    for revision in first..first + 3 {
        keeper.put(revision, "a", &format!("v{revision}"));
        keeper.flush();
    }
}

#[test]
fn the_newest_revisions_stay_readable_unpinned() {
    let mut keeper = Keeper::new(TreeOptions { history: 2, ..TreeOptions::tiny() });
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
fn a_revision_not_yet_applied_can_be_neither_read_nor_pinned() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(5, "a", "x");
    let ahead = keeper.tree.view().get(b"a", Some(6));
    assert!(matches!(ahead, Err(ReadError::RevisionAhead { at: 6, newest: 5 })));
    assert!(keeper.tree.reader().pin(6).is_err());
}

#[test]
fn a_tombstone_hides_older_versions_in_every_level() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.compact();
    keeper.delete(100, "k05");
    for _ in 0..3 {
        assert_eq!(keeper.get("k05"), None);
        let view = keeper.tree.view();
        assert!(!keys(&view, ScanRange::all(), None).contains(&"k05".into()));
        assert!(!keys(&view, range("", None, true), None).contains(&"k05".into()));
        keeper.flush();
    }
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
fn scans_are_ordered_and_bounded_in_both_directions() {
    let mut keeper = Keeper::new(forgetful());
    for (revision, key) in ["d", "a", "c", "b", "e"].iter().enumerate() {
        keeper.put(revision as u64 + 1, key, "x");
        keeper.flush();
    }
    let view = keeper.tree.view();
    assert_eq!(keys(&view, range("b", Some("e"), false), None), ["b", "c", "d"]);
    assert_eq!(keys(&view, range("b", Some("e"), true), None), ["d", "c", "b"]);
    assert_eq!(keys(&view, range("bb", None, true), None), ["e", "d", "c"]);
    assert_eq!(keys(&view, range("x", Some("b"), false), None), [""; 0]);
    assert_eq!(keys(&view, range("b", Some("b"), true), None), [""; 0]);
}

#[test]
fn a_flush_publishes_position_and_state_of_the_rotation() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "x");
    let applied = Applied { index: 3, term: 2 };
    keeper.tree.rotate(applied, Bytes::from_static(b"then"), &[]);
    keeper.put(4, "a", "y");
    let mut job = keeper.tree.flush_job().expect("a frozen memtable");
    let change = finish(|| job.step(1));
    assert_eq!(change.applied(), Some((applied, Bytes::from_static(b"then"))));
    assert_eq!(change.edit().added[0].max_revision, 1);
    keeper.settle(change);
    assert_eq!(keeper.tree.frozen_count(), 0);
    assert_eq!(keeper.get("a").as_deref(), Some("y"));
}

#[test]
fn an_empty_memtable_publishes_a_position_without_a_table() {
    let mut keeper = Keeper::new(forgetful());
    let applied = Applied { index: 9, term: 1 };
    keeper.tree.rotate(applied, Bytes::new(), &[]);
    let mut job = keeper.tree.flush_job().expect("frozen");
    let change = finish(|| job.step(1));
    assert!(change.edit().is_empty());
    keeper.settle(change);
    assert_eq!((keeper.applied, keeper.files().len()), (applied, 0));
}

#[test]
fn memtables_are_flushed_oldest_first_and_one_at_a_time() {
    let mut keeper = Keeper::new(forgetful());
    for revision in 1..=3 {
        keeper.put(revision, "a", "x");
        keeper.rotate();
    }
    for revision in 1..=3 {
        let mut job = keeper.tree.flush_job().expect("frozen");
        assert!(keeper.tree.flush_job().is_none());
        assert_eq!(job.applied().index, revision);
        let change = finish(|| job.step(1));
        drop(job);
        assert!(keeper.tree.flush_job().is_none(), "not before it is installed");
        keeper.settle(change);
    }
}

#[test]
fn what_was_published_survives_power_loss() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.compact();
    keeper.put(500, "memtable only", "lost");
    keeper.lose_power();
    assert_eq!(keeper.get("k19").as_deref(), Some("v60"));
    assert_eq!(keeper.get("memtable only"), None);
    assert_eq!(keeper.tree.revision(), 60);
}

#[test]
fn after_power_loss_the_tree_is_readable_below_what_it_had_applied() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.put(500, "k00", "lost");
    keeper.compact();
    keeper.rotate();
    keeper.put(501, "k00", "lost too");
    let mut job = keeper.tree.flush_job().expect("frozen");
    finish(|| job.step(100)).discard();
    keeper.lose_power();
    assert_eq!(keeper.tree.revision(), 60);
    assert_eq!(keeper.get("k00").as_deref(), Some("v41"));
}

#[test]
fn a_compaction_collects_nothing_that_only_a_flush_under_way_will_publish() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.put(500, "k00", "lost");
    keeper.rotate();
    let flush = keeper.tree.flush_job().expect("frozen");
    keeper.compact();
    assert_eq!(keeper.tree.gc_floor(), 60);
    drop(flush);
    keeper.lose_power();
    assert_eq!(keeper.get("k00").as_deref(), Some("v41"));
}

#[test]
fn a_job_dropped_halfway_changes_nothing_and_leaves_no_file() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    let files = keeper.files();
    let mut job = keeper.tree.compaction_job().expect("level 0 is full");
    assert!(matches!(job.step(200), Ok(Progress::More)));
    assert!(keeper.files().len() > files.len(), "the job began a file");
    drop(job);
    keeper.delete_obsolete();
    assert_eq!(keeper.files(), files);
    assert!(keeper.tree.compaction_job().is_some(), "it can start again");
}

#[test]
fn a_step_works_through_no_more_than_its_budget() {
    let mut keeper = Keeper::new(forgetful());
    for i in 0..100u64 {
        keeper.put(i + 1, &format!("k{i:02}"), &"x".repeat(100));
    }
    keeper.rotate();
    let mut job = keeper.tree.flush_job().expect("frozen");
    let mut steps = 1;
    while let Progress::More = job.step(500).unwrap() {
        steps += 1;
    }
    assert!(steps > 20, "{steps} steps for 100 values of 100 bytes");
}

#[test]
fn sorted_input_sinks_without_being_rewritten() {
    let mut keeper = Keeper::new(TreeOptions { l0_compaction_max: 2, ..forgetful() });
    for i in 0..600u64 {
        keeper.put(i + 1, &format!("k{i:04}"), &"x".repeat(100));
        if i % 40 == 39 {
            keeper.flush();
        }
    }
    let mut moved = 0;
    while let Some(mut job) = keeper.tree.compaction_job() {
        let change = finish(|| job.step(1 << 20));
        let edit = change.edit();
        moved += usize::from(edit.added.iter().any(|m| edit.removed.contains(&m.file)));
        drop(job);
        keeper.settle(change);
        keeper.delete_obsolete();
    }
    assert!(moved > 0, "every compaction rewrote its input");
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None).len(), 600);
}

#[test]
fn pressure_and_debt_tell_when_writers_run_ahead() {
    let mut keeper = Keeper::new(forgetful());
    assert_eq!((keeper.tree.pressure(), keeper.tree.debt()), (Pressure::None, 0));
    let mut seen = Vec::new();
    for revision in 1..=10 {
        keeper.put(revision, "a", "x");
        keeper.flush();
        if seen.last() != Some(&keeper.tree.pressure()) {
            seen.push(keeper.tree.pressure());
        }
    }
    assert_eq!(seen, [Pressure::None, Pressure::Slow, Pressure::Stop]);
    assert!(keeper.tree.debt() > 0);
    keeper.compact();
    assert_eq!((keeper.tree.pressure(), keeper.tree.debt()), (Pressure::None, 0));
}

#[test]
fn frozen_memtables_press_too() {
    let mut keeper = Keeper::new(forgetful());
    for revision in 1..=4 {
        keeper.put(revision, "a", "x");
        keeper.rotate();
    }
    assert_eq!(keeper.tree.pressure(), Pressure::Stop);
}

#[test]
fn the_greatest_keys_and_values_pass_through_every_level() {
    let mut keeper = Keeper::new(forgetful());
    let keys: Vec<Bytes> = (0..4u8).map(|i| vec![i; 4096].into()).collect();
    let value = Bytes::from(vec![7; 1 << 20]);
    for (i, key) in keys.iter().enumerate() {
        let op = Op::put(KeyClass::User, key.clone(), value.clone());
        keeper.tree.apply(i as u64 + 1, &[op]);
        keeper.flush();
    }
    keeper.compact();
    for key in &keys {
        let found = keeper.tree.view().get(key, None).unwrap().unwrap();
        assert_eq!(found.value, value);
    }
}

fn system(key: &str, value: &str) -> Op {
    Op::put(KeyClass::System, key.to_owned(), value.to_owned())
}

fn system_keys(keeper: &Keeper) -> Vec<(String, String)> {
    let view = keeper.tree.view();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let scan = view.scan_system(ScanRange::all()).unwrap().map(Result::unwrap);
    scan.map(|entry| (text(entry.key), text(entry.value))).collect()
}

#[test]
fn system_keys_and_user_keys_never_meet() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(1, &[system("a", "ours"), put("a", "theirs"), system("z", "last")]);
    for _ in 0..2 {
        let view = keeper.tree.view();
        assert_eq!(keeper.get("a").as_deref(), Some("theirs"));
        assert_eq!(keeper.get("z"), None);
        assert_eq!(view.get_system(b"a").unwrap().unwrap().value, "ours");
        for reverse in [false, true] {
            assert_eq!(keys(&view, range("", None, reverse), None), ["a"]);
        }
        let all = [("a", "ours"), ("z", "last")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(system_keys(&keeper), all);
        keeper.flush();
    }
}

#[test]
fn of_a_system_key_only_the_newest_version_is_kept_whatever_the_floor() {
    let mut keeper = Keeper::new(TreeOptions { history: 1_000, ..TreeOptions::tiny() });
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
    let mut keeper = Keeper::new(TreeOptions { history: 100, ..TreeOptions::tiny() });
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
    let mut keeper = Keeper::new(TreeOptions { history: 10, ..TreeOptions::tiny() });
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
fn a_snapshot_replaces_everything_and_voids_jobs_under_way() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.put(61, "in memory", "x");
    let mut job = keeper.tree.compaction_job().expect("full");
    assert!(matches!(job.step(100), Ok(Progress::More)));

    let applied = Applied { index: 100, term: 3 };
    let tables = keeper.arrived(&[(b"only", 90, b"this")], applied);
    let change = keeper.tree.snapshot_change(tables, applied, Bytes::new());
    keeper.settle(change);

    let late = finish(|| job.step(1 << 20));
    drop(job);
    assert!(!keeper.tree.accepts(&late));
    keeper.settle(late);
    keeper.delete_obsolete();
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), ["only"]);
    assert_eq!((keeper.tree.revision(), keeper.tree.gc_floor()), (100, 100));
    assert_eq!(keeper.files().len(), 1);
    keeper.lose_power();
    assert_eq!(keeper.get("only").as_deref(), Some("this"));
}

#[test]
fn a_snapshot_whose_stream_ends_before_it_is_installed_leaves_no_file() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    let files = keeper.files();
    let tables = keeper.arrived(&[(b"only", 90, b"this")], Applied { index: 100, term: 3 });
    assert_eq!(keeper.files().len(), files.len() + 1);
    drop(tables);
    keeper.delete_obsolete();
    assert_eq!(keeper.files(), files);
}

#[test]
fn a_table_that_is_not_the_one_listed_is_corruption() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    let files = keeper.files();
    let path = |name: &String| tree_support::dir().join("sst").join(name);
    keeper.disk.rename(&path(&files[0]), &path(&files[1])).unwrap();
    keeper.disk.hard_link(&path(&files[1]), &path(&files[0])).unwrap();
    let context = tree_support::context(&keeper.disk, &keeper.ids, &TreeOptions::tiny());
    let error = doug_storage::tree::Tree::open(context, &keeper.image, 60).unwrap_err();
    assert!(matches!(&error, StorageError::Corruption(c) if c.file == path(&files[1])));
}
