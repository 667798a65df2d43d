//! More tables than open files: few descriptors make a store slower, and never stop it.

mod store_support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::store::{Opened, Store, StoreOptions};
use doug_storage::tree::{KeyClass, Op, Tree};
use doug_storage::{Applied, ReplicaKey, StorageError};
use store_support::*;

/// What a process may have open, all in all.
const DESCRIPTORS: usize = 64;
/// What its tables may.
const BUDGET: usize = 8;

fn few() -> StoreOptions {
    let mut options = options();
    options.open_tables = BUDGET;
    options.tree.table_bytes = 512;
    options
}

fn open_few(disk: &SimDisk) -> Opened {
    Store::open(Arc::new(disk.clone()), &dir(), few()).expect("the store opens")
}

fn put(key: ReplicaKey, tree: &mut Tree, index: u64, held: &mut BTreeMap<String, String>) {
    let ops = (0..40).map(|n| {
        let name = format!("k{:05}", (index * 7919 + n * 104_729) % 6_000);
        let value = format!("{key} at {index}, {n}").repeat(4);
        held.insert(name.clone(), value.clone());
        Op::put(KeyClass::User, name, value)
    });
    tree.apply(index, &ops.collect::<Vec<_>>());
}

/// Flushes, and compacts as long as a level is full.
fn settle(opened: &Opened, key: ReplicaKey, tree: &mut Tree, index: u64) {
    let change = flush(tree, index, "").expect("a flush gets through");
    opened.store.commit(key, tree, change).expect("the disk works");
    while let Some(change) = compaction(tree) {
        let change = change.expect("a compaction gets through");
        opened.store.commit(key, tree, change).expect("the disk works");
    }
    opened.store.delete_obsolete_files().expect("the disk works");
}

fn tables(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with("/data/sst")).collect()
}

/// One replica with far more tables than descriptors.
fn filled(disk: &SimDisk) -> (Opened, Tree, BTreeMap<String, String>) {
    let opened = open_few(disk);
    let mut tree = opened.store.create_replica(&new_replica(A)).expect("new");
    let mut held = BTreeMap::new();
    for index in 1..=120 {
        put(A, &mut tree, index, &mut held);
        settle(&opened, A, &mut tree, index);
    }
    assert!(tables(disk).len() > 2 * DESCRIPTORS, "{} tables", tables(disk).len());
    (opened, tree, held)
}

#[test]
fn a_store_of_many_tables_opens_serves_and_compacts_with_few_descriptors() {
    let disk = SimDisk::new(1);
    disk.limit_descriptors(Some(DESCRIPTORS));
    let (opened, tree, mut held) = filled(&disk);
    assert!(opened.store.table_files().open_count() <= BUDGET);
    drop((opened, tree));
    disk.crash(Crash::LoseUnsynced);
    let mut opened = open_few(&disk);
    let mut tree = replica(&mut opened, A).tree.expect("sound");
    assert_eq!(contents(&tree.view()), held);
    for index in 121..=130 {
        put(A, &mut tree, index, &mut held);
        settle(&opened, A, &mut tree, index);
    }
    assert_eq!(contents(&tree.view()), held);
    let files = opened.store.table_files();
    assert!(files.open_count() <= BUDGET);
    assert!(files.opened_count() > tables(&disk).len() as u64, "tables were opened again");
    assert!(disk.descriptors() <= DESCRIPTORS);
}

#[test]
fn when_others_have_taken_all_descriptors_tables_give_theirs_to_whoever_needs_one() {
    let disk = SimDisk::new(1);
    let (mut opened, mut tree, mut held) = filled(&disk);
    assert_eq!(contents(&tree.view()), held);
    assert_eq!(opened.store.table_files().open_count(), BUDGET);
    // Nearly all that was free is gone, and the log is about to want more than that.
    disk.limit_descriptors(Some(disk.descriptors() + 2));
    for index in 121..=160 {
        put(A, &mut tree, index, &mut held);
        opened.log.append(record(A, index)).expect("there is room");
        opened.log.sync().expect("the log gets its segments");
        let change = map_entry(vec![7; 300]);
        opened.store.change_map([change]).expect("the manifest is rewritten");
        settle(&opened, A, &mut tree, index);
        while opened.log.maintain().expect("segments are retired") {}
    }
    assert!(opened.store.table_files().open_count() < BUDGET, "tables gave some up");
    assert_eq!(contents(&tree.view()), held);
}

#[test]
fn a_job_that_finds_no_descriptor_at_all_changes_nothing_and_succeeds_later() {
    let disk = SimDisk::new(1);
    let (opened, mut tree, mut held) = filled(&disk);
    let before = tree.image();
    put(A, &mut tree, 121, &mut held);
    tree.rotate(Applied { index: 121, term: 1 }, Bytes::new(), &[]);
    disk.limit_descriptors(Some(0));
    let mut job = tree.flush_job().expect("something is frozen");
    let error = job.step(usize::MAX).expect_err("no descriptor");
    assert!(error.is_out_of_descriptors() && !error.is_fatal(), "{error}");
    drop(job);
    assert!(matches!(&error, StorageError::Io { .. }));
    assert!(matches!(opened.store.fence_if_damaged(A, error), StorageError::Io { .. }));
    assert_eq!(tree.image(), before);
    disk.limit_descriptors(None);
    assert_eq!(contents(&tree.view()), held, "what is frozen is read from memory");
    let mut job = tree.flush_job().expect("it is still frozen");
    let doug_storage::tree::Progress::Done(change) = job.step(usize::MAX).expect("works") else {
        panic!("all of it was asked for");
    };
    drop(job);
    assert!(opened.store.commit(A, &mut tree, change).expect("the disk works"));
    assert_eq!(contents(&tree.view()), held);
}

#[test]
fn log_and_manifest_go_on_with_kept_back_descriptors_when_no_table_is_open_and_none_is_left() {
    let disk = SimDisk::new(1);
    let mut opened = open_few(&disk);
    let mut tree = opened.store.create_replica(&new_replica(A)).expect("new");
    assert_eq!(opened.store.table_files().open_count(), 0);
    disk.limit_descriptors(Some(disk.descriptors()));
    for index in 1..=40 {
        opened.log.append(record(A, index)).expect("there is room");
        opened.log.sync().expect("the log gets its segments");
        opened.store.change_map([map_entry(vec![7; 300])]).expect("the manifest is rewritten");
    }
    put(A, &mut tree, 41, &mut BTreeMap::new());
    disk.limit_descriptors(Some(disk.descriptors()));
    let error = flush(&mut tree, 41, "").expect_err("a job gets none of them");
    assert!(error.is_out_of_descriptors(), "{error}");
}

#[test]
fn a_removed_replica_is_read_to_the_end_by_those_who_hold_it_and_its_files_go_then() {
    let disk = SimDisk::new(1);
    let (opened, tree, held) = filled(&disk);
    let view = tree.view();
    opened.store.remove_replica(A).expect("the disk works");
    assert_eq!(contents(&view), held, "closed tables are opened again");
    drop(tree);
    opened.store.delete_obsolete_files().expect("the disk works");
    assert_eq!(contents(&view), held);
    drop(view);
    opened.store.delete_obsolete_files().expect("the disk works");
    assert_eq!(tables(&disk), Vec::<PathBuf>::new());
}

#[test]
fn a_snapshot_of_closed_tables_outlives_them() {
    let disk = SimDisk::new(1);
    let (opened, mut tree, mut held) = filled(&disk);
    let checkpoint = opened.store.checkpoint(A, &tree).expect("it lives");
    let snapshot = opened.store.keep_snapshot(A, &checkpoint).expect("the disk works");
    drop(checkpoint);
    for index in 121..=200 {
        put(A, &mut tree, index, &mut held);
        settle(&opened, A, &mut tree, index);
    }
    snapshot.verify().expect("every table is the one it was");
    assert!(opened.store.table_files().open_count() <= BUDGET);
}
