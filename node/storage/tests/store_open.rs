//! Opening a data directory, and what it refuses.

mod store_support;

use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::disk::RealDisk;
use doug_storage::manifest::Identity;
use doug_storage::store::Store;
use doug_storage::{Applied, StorageError};
use store_support::*;

const NODE: Identity = Identity { node: 0x9f3c_21d0_7be4, database: Some(0x5d0c_9a41_f7e2) };

#[test]
fn what_was_stored_is_there_after_a_power_loss() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    let store = opened.store.clone();
    store.set_identity(NODE).expect("the disk works");
    store.change_map([map_entry("the map")]).expect("the disk works");
    store.set_creation(Bytes::from_static(b"the creation")).expect("the disk works");
    for i in 1..=9 {
        opened.log.append(record(A, i)).expect("there is room");
        apply(A, &mut a, i);
    }
    opened.log.sync().expect("the disk works");
    let change = flush(&mut a, 9, "state at 9").expect("the disk works");
    assert!(store.commit(A, &mut a, change).expect("the disk works"));
    for i in 10..=12 {
        opened.log.append(record(A, i)).expect("there is room");
    }
    opened.log.sync().expect("the disk works");
    disk.crash(Crash::LoseUnsynced);

    let mut opened = open(&disk);
    assert_eq!(opened.identity, Some(NODE));
    assert_eq!(opened.map, map_of("the map"));
    assert_eq!(opened.creation.as_deref(), Some(&b"the creation"[..]));
    let a = replica(&mut opened, A);
    assert_eq!((a.applied, a.state.as_ref()), (Applied { index: 9, term: 1 }, &b"state at 9"[..]));
    assert_eq!(a.batches.iter().map(|b| b.base).collect::<Vec<_>>(), [10, 11, 12]);
    assert_eq!(a.commit, 11);
    assert_eq!(contents(&a.tree.expect("sound").view()), expected(A, 9));
    let b = replica(&mut opened, B);
    assert_eq!((b.applied, b.state.as_ref()), (Applied::default(), &b"new"[..]));
}

#[test]
fn a_removed_replica_stays_removed_and_its_id_is_never_used_again() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, _b) = initialised(&disk);
    apply(A, &mut a, 1);
    opened.log.append(record(A, 1)).expect("there is room");
    opened.log.sync().expect("the disk works");
    let change = flush(&mut a, 1, "").expect("the disk works");
    opened.store.commit(A, &mut a, change).expect("the disk works");
    let view = a.view();
    opened.store.remove_replica(A).expect("the disk works");
    assert_eq!(contents(&view), expected(A, 1), "open views keep reading");
    drop((view, a));
    opened.store.delete_obsolete_files().expect("the disk works");
    assert!(
        disk.contents().keys().all(|p| p.extension().is_none_or(|e| e != "sst")),
        "its tables are deleted"
    );
    for _ in 0..2 {
        assert!(matches!(
            opened.store.create_replicas(&[new_replica(A)]),
            Err(StorageError::Refused(_))
        ));
        drop(opened);
        disk.crash(Crash::LoseUnsynced);
        opened = open(&disk);
        assert!(opened.removed.contains(&A));
        assert_eq!(opened.replicas.iter().map(|r| r.key).collect::<Vec<_>>(), [B]);
    }
}

#[test]
fn replicas_are_created_all_or_none() {
    let disk = SimDisk::new(1);
    let (opened, _a, _b) = initialised(&disk);
    for twice in [[C, A], [C, C]] {
        let outcome = opened.store.create_replicas(&twice.map(new_replica));
        assert!(matches!(outcome, Err(StorageError::Refused(_))));
    }
    opened.store.create_replicas(&[new_replica(C)]).expect("nothing of the refused edits stayed");
}

#[test]
fn a_volume_of_another_node_or_database_is_refused() {
    let disk = SimDisk::new(1);
    let opened = open(&disk);
    opened.store.set_identity(Identity { database: None, ..NODE }).expect("an empty volume");
    opened.store.set_identity(NODE).expect("its first database");
    for other in [
        Identity { node: 1, ..NODE },
        Identity { database: Some(1), ..NODE },
        Identity { database: None, ..NODE },
    ] {
        let error = opened.store.set_identity(other).expect_err("another");
        assert!(error.to_string().contains("9f3c21d07be4 of database 5d0c9a41f7e2"), "{error}");
    }
    assert_eq!(opened.store.identity(), Some(NODE));
}

#[test]
fn a_second_process_is_told_which_directory_is_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Store::open(Arc::new(RealDisk), dir.path(), options());
    let first = open().expect("it is free");
    let error = open().err().expect("it is taken");
    assert!(
        matches!(&error, StorageError::Locked { dir: named } if named == dir.path()),
        "{error}"
    );
    drop(first);
    open().expect("it is free again");
}

#[test]
fn a_real_directory_opens_again_with_everything_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || {
        Store::open(Arc::new(RealDisk), &dir.path().join("deep/data"), options()).expect("it opens")
    };
    let mut opened = open();
    let mut trees = opened.store.create_replicas(&[new_replica(A)]).expect("new");
    for i in 1..=60 {
        opened.log.append(record(A, i)).expect("there is room");
        opened.log.sync().expect("the disk works");
        apply(A, &mut trees[0], i);
        if i % 20 == 0 {
            let change = flush(&mut trees[0], i, "").expect("the disk works");
            opened.store.commit(A, &mut trees[0], change).expect("the disk works");
            opened.reader.set_floor(A, i);
        }
        while opened.log.maintain().expect("the disk works") {}
    }
    drop((opened, trees));
    let mut opened = open();
    let a = replica(&mut opened, A);
    assert_eq!(a.applied.index, 60);
    assert_eq!(contents(&a.tree.expect("sound").view()), expected(A, 60));
}

#[test]
fn a_lost_log_or_manifest_is_refused_and_not_made_anew() {
    let disk = SimDisk::new(1);
    let (mut opened, _a, _b) = initialised(&disk);
    opened.log.append(record(A, 1)).expect("there is room");
    opened.log.sync().expect("the disk works");
    drop(opened);
    for lost in ["/data/log", "/data/CURRENT"] {
        let disk = disk.fork();
        use doug_storage::disk::Disk;
        for path in disk.contents().into_keys().filter(|p| p.starts_with(lost)) {
            disk.remove(&path).expect("it exists");
        }
        let before = disk.contents();
        assert!(
            matches!(try_open(&disk), Err(StorageError::Corruption(c)) if c.file.starts_with(lost))
        );
        assert!(before == disk.contents());
    }
}

#[test]
fn damaged_tables_fence_their_replica_and_no_other() {
    let disk = SimDisk::new(1);
    let (mut opened, mut a, mut b) = initialised(&disk);
    for (key, tree) in [(A, &mut a), (B, &mut b)] {
        for i in 1..=5 {
            opened.log.append(record(key, i)).expect("there is room");
            apply(key, tree, i);
        }
        opened.log.sync().expect("the disk works");
        let change = flush(tree, 5, "").expect("the disk works");
        opened.store.commit(key, tree, change).expect("the disk works");
    }
    drop(opened);
    let table = disk
        .contents()
        .into_keys()
        .find(|p| p.extension().is_some_and(|e| e == "sst"))
        .expect("a table");
    for lost in [false, true] {
        let disk = disk.fork();
        use doug_storage::disk::Disk;
        if lost {
            disk.remove(&table).expect("it exists")
        } else {
            disk.tamper(&table, |bytes| {
                let at = bytes.len() - 3;
                bytes[at] ^= 1;
            })
        }
        let mut opened = open(&disk);
        let error = replica(&mut opened, A).tree.expect_err("A is fenced");
        assert!(error.to_string().contains(".sst"), "{error}");
        assert_eq!(
            contents(&replica(&mut opened, B).tree.expect("B is sound").view()),
            expected(B, 5)
        );
    }
}

#[test]
fn a_file_id_is_never_given_out_twice() {
    let disk = SimDisk::new(1);
    let (opened, mut a, _b) = initialised(&disk);
    apply(A, &mut a, 1);
    let change = flush(&mut a, 1, "").expect("the disk works");
    let published = change.edit().added[0].file;
    opened.store.commit(A, &mut a, change).expect("the disk works");
    apply(A, &mut a, 2);
    let orphan = flush(&mut a, 2, "").expect("the disk works").edit().added[0].file;
    disk.crash(Crash::Process);
    let opened = open(&disk);
    assert!(opened.store.file_ids().allocate() > published.max(orphan));
}
