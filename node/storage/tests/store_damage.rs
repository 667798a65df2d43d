//! Damage that appears while a node runs: flipped bits, and writes that went to the wrong
//! place. It is noticed, named, and costs one replica.

mod damage_support;
mod store_support;

use damage_support::{FLUSHES, disk_with_log, filled, named, opened, read_all, table_of};
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::StorageError;
use doug_storage::store::Opened;
use store_support::*;

#[test]
fn damage_met_by_a_reader_fences_its_replica_for_ever_and_no_other() {
    let disk = filled();
    let (opened, a, b) = opened(&disk);
    let table = table_of(&a);
    disk.flip_bit(&table, 40, 2);
    let error = opened.store.fence_if_damaged(A, read_all(&a).expect_err("damaged"));
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
    let disk = filled();
    let (opened, mut a, _b) = opened(&disk);
    let before = a.image();
    let table = table_of(&a);
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
    let disk = filled();
    let (opened, _a, _b) = opened(&disk);
    let log = doug_storage::Corruption::new("/data/log/00000000000000000001.log", 64, "torn");
    for error in [StorageError::Refused("no".to_owned()), log.into()] {
        let before = error.to_string();
        assert_eq!(opened.store.fence_if_damaged(A, error).to_string(), before);
    }
    assert!(opened.store.replicas().values().all(Option::is_none));
}

#[test]
fn a_sector_written_into_the_table_of_another_replica_is_noticed() {
    let disk = filled();
    let (_opened, a, b) = opened(&disk);
    let stray = disk.bytes(&table_of(&b));
    disk.tamper(&table_of(&a), |bytes| bytes[..512].copy_from_slice(&stray[..512]));
    let error = read_all(&a).expect_err("bytes of B");
    assert!(
        matches!(&error, StorageError::Corruption(damage) if damage.file == table_of(&a)),
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
    let disk = disk_with_log();
    let segments = named(&disk, "/log/0");
    let stray = disk.bytes(&segments[0]);
    disk.tamper(&segments[1], |bytes| bytes[64..576].copy_from_slice(&stray[64..576]));
    let error = try_open(&disk).err().expect("records of another segment");
    assert!(
        matches!(&error, StorageError::Corruption(damage) if damage.file == segments[1]),
        "{error}"
    );
}
