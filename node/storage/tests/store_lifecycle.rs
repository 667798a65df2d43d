//! Replicas come and go while a node runs: created once, removed for ever, fenced when damaged.

mod store_support;

use std::collections::BTreeSet;

use bytes::Bytes;
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::manifest::Identity;
use doug_storage::store::Opened;
use doug_storage::tree::Tree;
use doug_storage::{ReplicaKey, StorageError};
use store_support::*;

const NODE: Identity = Identity { node: 0x9f3c_21d0_7be4, database: Some(0x5d0c_9a41_f7e2) };
/// A's successor on this node.
const AGAIN: ReplicaKey = ReplicaKey { partition: A.partition, replica: 12 };

/// A replica with five commands in a table and two more in the log.
fn filled(opened: &mut Opened, key: ReplicaKey, tree: &mut Tree) {
    for i in 1..=7 {
        opened.log.append(record(key, i)).expect("there is room");
        apply(key, tree, i);
        if i == 5 {
            let change = flush(tree, 5, "").expect("the disk works");
            opened.store.commit(key, tree, change).expect("the disk works");
        }
    }
    opened.log.sync().expect("the disk works");
}

fn tables(disk: &SimDisk) -> usize {
    disk.contents().keys().filter(|path| path.extension().is_some_and(|e| e == "sst")).count()
}

fn damage_a_table(disk: &SimDisk) {
    let contents = disk.contents();
    let table = contents.keys().find(|path| path.extension().is_some_and(|e| e == "sst"));
    disk.tamper(table.expect("a table"), |bytes| {
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
    });
}

#[test]
fn a_node_joins_without_replicas_and_gets_them_later() {
    let disk = SimDisk::new(1);
    let opened = open(&disk);
    opened.store.join(NODE, map_of("the map")).expect("an empty volume");
    opened.store.join(NODE, map_of("the map")).expect("again");
    disk.crash(Crash::LoseUnsynced);
    let mut opened = open(&disk);
    assert_eq!(
        (opened.identity, opened.map.clone(), opened.creation.clone()),
        (Some(NODE), map_of("the map"), None)
    );
    let mut tree = opened.store.create_replica(&new_replica(A)).expect("new");
    filled(&mut opened, A, &mut tree);
    disk.crash(Crash::LoseUnsynced);
    let found = replica(&mut open(&disk), A);
    assert_eq!(found.applied.index, 5);
    assert_eq!(found.batches.len(), 2);
}

#[test]
fn a_node_that_joined_refuses_to_be_created_again() {
    let disk = SimDisk::new(1);
    let opened = open(&disk);
    opened.store.join(NODE, map_of("the map")).expect("an empty volume");
    let creation =
        opened.store.join_database(NODE, Bytes::new(), map_of("a map"), &[new_replica(A)]);
    let error = creation.expect_err("it belongs to a database");
    assert!(error.to_string().contains("empty volumes only"), "{error}");
    let other = Identity { database: Some(1), ..NODE };
    assert!(matches!(opened.store.join(other, map_of("the map")), Err(StorageError::Refused(_))));
}

#[test]
fn a_partition_has_one_replica_on_a_node() {
    let disk = SimDisk::new(1);
    let (opened, _a, _b) = initialised(&disk);
    let error = opened.store.create_replica(&new_replica(AGAIN)).expect_err("A is there");
    assert!(error.to_string().contains("remove that one first"), "{error}");
    opened.store.remove_replica(A).expect("the disk works");
    opened.store.create_replica(&new_replica(AGAIN)).expect("A is gone");
}

#[test]
fn removing_is_idempotent_and_reaches_replicas_that_were_never_created() {
    let disk = SimDisk::new(1);
    let opened = open(&disk);
    for _ in 0..2 {
        opened.store.remove_replica(C).expect("the disk works");
    }
    assert_eq!(opened.store.removed(), BTreeSet::from([C]));
    // Its creation was overtaken by its removal.
    assert!(matches!(opened.store.create_replica(&new_replica(C)), Err(StorageError::Refused(_))));
}

#[test]
fn tombstones_survive_every_switch_of_the_manifest() {
    let disk = SimDisk::new(1);
    let (opened, _a, _b) = initialised(&disk);
    opened.store.remove_replica(A).expect("the disk works");
    for i in 0..100 {
        opened.store.change_map([map_entry(vec![i; 100])]).expect("the disk works");
    }
    let mut manifests =
        disk.contents().into_keys().filter(|p| p.to_string_lossy().contains("MANIFEST-"));
    let name = manifests.next_back().expect("a manifest").to_string_lossy().into_owned();
    assert!(!name.ends_with("01"), "it was switched: {name}");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(open(&disk).removed, BTreeSet::from([A]));
}

#[test]
fn a_job_that_outlives_its_replica_leaves_nothing_behind() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    filled(&mut opened, A, &mut a);
    let change = flush(&mut a, 7, "").expect("the disk works");
    opened.store.remove_replica(A).expect("the disk works");
    assert!(!opened.store.commit(A, &mut a, change).expect("no failure"), "nothing is installed");
    drop(a);
    opened.store.delete_obsolete_files().expect("the disk works");
    assert_eq!(tables(&disk), 0);
}

#[test]
fn a_removed_replica_no_longer_keeps_the_log_long() {
    let disk = SimDisk::new(1);
    let (mut opened, _a, _b) = initialised(&disk);
    let mut index = 0;
    while opened.log.pressure() != Some(A) {
        index += 1;
        opened.log.append(record(A, index)).expect("there is room");
        opened.log.sync().expect("the disk works");
        while opened.log.maintain().expect("the disk works") {}
    }
    let segments = || {
        let named = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/log/0");
        disk.contents().keys().filter(named).count()
    };
    let before = segments();
    opened.store.remove_replica(A).expect("the disk works");
    assert!(matches!(opened.log.append(record(A, index + 1)), Err(StorageError::Removed { .. })));
    while opened.log.maintain().expect("the disk works") {}
    assert_eq!(opened.log.pressure(), None);
    assert!(before > 3 && segments() == 1, "{} segments, of {before} before", segments());
}

#[test]
fn a_damaged_replica_stays_fenced_whatever_later_starts_read() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    filled(&mut opened, A, &mut a);
    drop((opened, a));
    let sound = disk.contents();
    damage_a_table(&disk);
    let error = replica(&mut open(&disk), A).tree.expect_err("A is fenced");
    assert!(matches!(error, StorageError::Corruption(_)), "{error}");
    // The bytes are back, as after a bad read: what was acknowledged since is not.
    for (path, bytes) in
        sound.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "sst"))
    {
        disk.tamper(path, |found| *found = bytes.clone());
    }
    disk.crash(Crash::LoseUnsynced);
    let mut opened = open(&disk);
    let a = replica(&mut opened, A);
    let error = a.tree.expect_err("A is still fenced");
    assert!(error.to_string().contains(".sst is damaged at offset"), "{error}");
    assert!(a.batches.is_empty() && a.hard_state.is_none(), "it keeps the log no longer");
    assert!(matches!(opened.log.append(record(A, 8)), Err(StorageError::Removed { .. })));
}

#[test]
fn a_replica_found_damaged_while_it_runs_takes_no_more_changes() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    filled(&mut opened, A, &mut a);
    let change = flush(&mut a, 7, "").expect("the disk works");
    opened.store.fence_replica(A, "block 3 does not read").expect("the disk works");
    assert!(!opened.store.commit(A, &mut a, change).expect("no failure"));
    assert_eq!(opened.store.replicas()[&A].as_deref(), Some("block 3 does not read"));
    assert_eq!(opened.store.replicas()[&B], None);
}

#[test]
fn a_damaged_replica_is_removed_like_a_sound_one_and_followed_by_another() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    filled(&mut opened, A, &mut a);
    drop((opened, a));
    damage_a_table(&disk);
    let opened = open(&disk);
    assert!(opened.store.create_replica(&new_replica(AGAIN)).is_err(), "A is still there");
    opened.store.remove_replica(A).expect("the disk works");
    assert_eq!(tables(&disk), 0);
    opened.store.create_replica(&new_replica(AGAIN)).expect("A is gone");
    disk.crash(Crash::LoseUnsynced);
    let opened = open(&disk);
    assert_eq!(opened.removed, BTreeSet::from([A]));
    assert_eq!(opened.replicas.iter().map(|r| r.key).collect::<Vec<_>>(), [AGAIN, B]);
}
