//! Flushes, compactions and snapshots of a tree: what they publish, what a crash leaves of it, and
//! how a tree presses when they fall behind. One behaviour a test.

mod tree_support;

use bytes::Bytes;
use doug_storage::StorageError;
use doug_storage::disk::Disk;
use doug_storage::tree::{Applied, Pressure, Progress, ScanRange, TreeOptions};
use tree_support::{Keeper, finish, forgetful, keys, three_generations};

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
fn keys_are_estimated_from_counts_and_known_once_versions_are_merged() {
    let mut keeper = Keeper::new(forgetful());
    assert_eq!(keeper.tree.estimated_keys(), 0);
    for (revision, key) in (1..).zip(["a", "b", "c", "d"]) {
        keeper.put(revision, key, "x");
    }
    assert_eq!(keeper.tree.estimated_keys(), 4, "all of them in the memtable");
    keeper.rotate();
    keeper.delete(5, "a");
    assert_eq!(keeper.tree.estimated_keys(), 3, "one that is frozen is hidden");
    keeper.put(6, "b", "y");
    assert_eq!(keeper.tree.estimated_keys(), 4, "a key that was written again counts twice");
    keeper.flush();
    assert_eq!(keeper.tree.estimated_keys(), 4, "in tables as in memtables");
    for revision in 7..=12 {
        keeper.put(revision, "b", "z");
        keeper.flush();
    }
    keeper.compact();
    assert_eq!(keeper.tree.estimated_keys(), 3, "b, c and d");
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
