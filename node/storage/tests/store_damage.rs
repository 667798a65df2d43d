//! Damage that appears while a node runs: flipped bits, and writes that went to the wrong
//! place. It is noticed, named, and costs one replica.

mod store_support;

use std::path::PathBuf;

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::store::Opened;
use doug_storage::tree::{KeyClass, Op, ReadError, ScanRange, Tree};
use doug_storage::{ReplicaKey, Result, StorageError};
use store_support::*;

/// Commands of each replica; a table each, in different levels.
const FLUSHES: u64 = 3;

fn fill(opened: &Opened, key: ReplicaKey, tree: &mut Tree) {
    for i in 1..=FLUSHES {
        let op = |n: u64| {
            let value = format!("{key} at {i}, {n}").repeat(9);
            Op::put(KeyClass::User, format!("k{n:03}"), value)
        };
        tree.apply(i, &(i..i + 40).map(op).collect::<Vec<_>>());
        let change = flush(tree, i, "").expect("the disk works");
        opened.store.commit(key, tree, change).expect("the disk works");
    }
}

fn named(disk: &SimDisk, part: &str) -> Vec<PathBuf> {
    disk.contents().into_keys().filter(|path| path.to_string_lossy().contains(part)).collect()
}

fn read_all(tree: &Tree) -> Result<usize, ReadError> {
    let mut count = 0;
    for entry in tree.view().scan(ScanRange::all(), None)? {
        entry?;
        count += 1;
    }
    Ok(count)
}

fn storage(error: ReadError) -> StorageError {
    match error {
        ReadError::Storage(error) => error,
        other => panic!("not an error of the storage: {other}"),
    }
}

/// Two replicas, opened again so that nothing of their tables is cached.
fn reopened(disk: &SimDisk) -> (Opened, Tree, Tree) {
    let (opened, mut a, mut b) = initialised(disk);
    fill(&opened, A, &mut a);
    fill(&opened, B, &mut b);
    drop((opened, a, b));
    disk.crash(Crash::Process);
    let mut opened = open(disk);
    let [a, b] = [A, B].map(|key| replica(&mut opened, key).tree.expect("sound"));
    (opened, a, b)
}

#[test]
fn damage_met_by_a_reader_fences_its_replica_for_ever_and_no_other() {
    let disk = SimDisk::new(1);
    let (opened, a, b) = reopened(&disk);
    let table = a.table_path(*a.image().tables.keys().next().expect("a table"));
    disk.flip_bit(&table, 40, 2);
    let error = opened.store.fence_if_damaged(A, storage(read_all(&a).expect_err("damaged")));
    let told = error.to_string();
    for part in
        ["replica 1/11 is fenced", ".sst is damaged at offset 0", "replace it from its peers"]
    {
        assert!(told.contains(part), "{told}");
    }
    read_all(&b).expect("B is sound");
    drop((opened, a, b));
    disk.crash(Crash::LoseUnsynced);
    let mut opened = open(&disk);
    assert!(matches!(replica(&mut opened, A).tree, Err(StorageError::Fenced { .. })));
    read_all(&replica(&mut opened, B).tree.expect("B is sound")).expect("B is sound");
}

#[test]
fn damage_met_by_a_compaction_is_named_and_nothing_is_published() {
    let disk = SimDisk::new(1);
    let (opened, mut a, _b) = reopened(&disk);
    let before = a.image();
    let table = a.table_path(*before.tables.keys().next().expect("a table"));
    disk.flip_bit(&table, 40, 2);
    let error = compaction(&mut a).expect("level 0 is full").expect_err("damaged");
    assert!(matches!(&error, StorageError::Corruption(damage) if damage.file == table), "{error}");
    assert!(matches!(opened.store.fence_if_damaged(A, error), StorageError::Fenced { .. }));
    opened.store.delete_obsolete_files().expect("the disk works");
    assert_eq!(a.image(), before);
    assert_eq!(named(&disk, "/sst/").len(), 2 * FLUSHES as usize, "its output is gone");
}

#[test]
fn an_error_that_is_no_damage_of_tables_fences_nobody() {
    let disk = SimDisk::new(1);
    let (opened, _a, _b) = reopened(&disk);
    let log = doug_storage::Corruption::new("/data/log/00000000000000000001.log", 64, "torn");
    for error in [StorageError::Refused("no".to_owned()), log.into()] {
        let before = error.to_string();
        assert_eq!(opened.store.fence_if_damaged(A, error).to_string(), before);
    }
    assert!(opened.store.replicas().values().all(Option::is_none));
}

#[test]
fn a_sector_written_into_the_table_of_another_replica_is_noticed() {
    let disk = SimDisk::new(1);
    let (_opened, a, b) = reopened(&disk);
    let path = |tree: &Tree| tree.table_path(*tree.image().tables.keys().next().expect("a table"));
    let stray = disk.bytes(&path(&b));
    disk.tamper(&path(&a), |bytes| bytes[..512].copy_from_slice(&stray[..512]));
    let error = storage(read_all(&a).expect_err("bytes of B"));
    assert!(
        matches!(&error, StorageError::Corruption(damage) if damage.file == path(&a)),
        "{error}"
    );
    read_all(&b).expect("B is sound");
}

#[test]
fn an_edit_written_into_another_manifest_is_noticed() {
    let disk = SimDisk::new(1);
    let maps = |opened: &Opened, fill: u8| {
        opened.store.change_map([map_entry(vec![fill; 200])]).expect("the disk works");
    };
    let opened = open(&disk);
    maps(&opened, 1);
    let first = disk.bytes(&named(&disk, "MANIFEST-").remove(0));
    drop(opened);
    disk.crash(Crash::Process);
    let opened = open(&disk);
    maps(&opened, 2);
    drop(opened);
    disk.crash(Crash::Process);
    let second = named(&disk, "MANIFEST-").remove(0);
    // Everything behind the header, whole frames in their very places.
    disk.tamper(&second, |bytes| {
        let end = bytes.len().min(first.len());
        bytes[64..end].copy_from_slice(&first[64..end]);
    });
    let error = try_open(&disk).err().expect("these are the edits of another manifest");
    assert!(matches!(&error, StorageError::Corruption(damage) if damage.file == second), "{error}");
}

#[test]
fn a_record_written_into_another_segment_is_noticed() {
    let disk = SimDisk::new(1);
    let (mut opened, _a, _b) = initialised(&disk);
    for i in 1..=60 {
        opened.log.append(record(A, i)).expect("there is room");
        opened.log.sync().expect("the disk works");
    }
    drop(opened);
    disk.crash(Crash::Process);
    let segments = named(&disk, "/log/0");
    let stray = disk.bytes(&segments[0]);
    disk.tamper(&segments[1], |bytes| bytes[64..576].copy_from_slice(&stray[64..576]));
    let error = try_open(&disk).err().expect("records of another segment");
    assert!(
        matches!(&error, StorageError::Corruption(damage) if damage.file == segments[1]),
        "{error}"
    );
}
