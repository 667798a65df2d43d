//! Sectors that do not read. One of a table is damage: it costs its replica, for ever, and no
//! other. One of the log or the manifest keeps the node from starting, in words that name it.

mod damage_support;
mod store_support;

use damage_support::{disk_with_log, filled, named, opened, read_all, table_of};
use doug_sim_disk::{Crash, Loss, SECTOR, SimDisk};
use doug_storage::snapshot::{CHUNK_BYTES, Sending};
use doug_storage::tree::{ReadError, Tree};
use doug_storage::{Corruption, StorageError};
use store_support::*;

fn damage(error: &StorageError) -> &Corruption {
    match error {
        StorageError::Corruption(damage) => damage,
        other => panic!("not damage: {other}"),
    }
}

/// A is fenced in every later process too, and B serves.
fn a_is_fenced_for_ever(disk: &SimDisk) {
    for crash in [Crash::Process, Crash::LoseUnsynced] {
        disk.crash(crash);
        let mut opened = open(disk);
        let a = replica(&mut opened, A).tree;
        assert!(matches!(a, Err(StorageError::Fenced { .. } | StorageError::Corruption(_))));
        let why = opened.store.replicas().remove(&A).flatten().expect("A is fenced");
        assert!(why.contains("Input/output error"), "{why}");
        read_all(&replica(&mut opened, B).tree.expect("B is sound")).expect("B is sound");
    }
}

#[test]
fn a_sector_that_a_reader_or_a_compaction_meets_fences_its_replica_once_lost_or_for_good() {
    type Meet = fn(&mut Tree) -> Option<StorageError>;
    let by_scan: Meet = |tree| read_all(tree).err();
    let by_get: Meet = |tree| match tree.view().get(b"k001", None) {
        Err(ReadError::Storage(error)) => Some(error),
        _ => None,
    };
    let by_compaction: Meet = |tree| compaction(tree).expect("level 0 is full").err();
    for loss in [Loss::Once, Loss::ForGood] {
        for meet in [by_scan, by_get, by_compaction] {
            let disk = filled();
            let (opened, mut a, b) = opened(&disk);
            let (table, before) = (table_of(&a), a.image());
            disk.lose_sector(&table, 0, loss);
            let error = meet(&mut a).expect("the sector does not read");
            assert_eq!((&damage(&error).file, damage(&error).offset), (&table, 0));
            let fenced = opened.store.fence_if_damaged(A, error);
            assert!(matches!(fenced, StorageError::Fenced { .. }), "{fenced}");
            assert_eq!(a.image(), before, "nothing was published");
            read_all(&b).expect("B is sound");
            drop((opened, a, b));
            a_is_fenced_for_ever(&disk);
        }
    }
}

#[test]
fn a_sector_that_opening_a_table_meets_fences_its_replica() {
    for loss in [Loss::Once, Loss::ForGood] {
        let disk = filled();
        let (opened, a, b) = opened(&disk);
        let table = table_of(&a);
        drop((opened, a, b));
        disk.crash(Crash::Process);
        disk.lose_sector(&table, disk.bytes(&table).len() as u64 - 1, loss);
        a_is_fenced_for_ever(&disk);
    }
}

#[test]
fn a_sector_that_sending_a_snapshot_meets_fences_the_sender() {
    let disk = filled();
    let (opened, a, _b) = opened(&disk);
    let checkpoint = opened.store.checkpoint(A, &a).expect("it lives");
    let snapshot = opened.store.keep_snapshot(A, &checkpoint).expect("the disk works");
    disk.lose_sector(&table_of(&a), SECTOR, Loss::ForGood);
    let lacking = (0..snapshot.info().tables.len() as u32).map(|table| (table, 0));
    let mut sending = Sending::new(snapshot.clone(), lacking, CHUNK_BYTES).expect("known");
    let error = loop {
        match sending.next_chunk() {
            Ok(chunk) => drop(chunk.expect("the lost sector is met first")),
            Err(error) => break error,
        }
    };
    assert!(damage(&error).file.starts_with("/data/outgoing"), "{error}");
    let own = opened.store.look_for_damage(&snapshot).expect_err("the table is the same file");
    assert!(matches!(opened.store.fence_if_damaged(A, own), StorageError::Fenced { .. }));
}

#[test]
fn a_received_table_that_does_not_read_any_more_is_received_again() {
    let applied = doug_storage::Applied { index: 950, term: 3 };
    let snapshot = snapshot_source(applied);
    let disk = SimDisk::new(2);
    let opened = open(&disk);
    opened.store.create_replica(&new_replica(B)).expect("new");
    let receive = || {
        let mut incoming =
            opened.store.receive_snapshot(B, snapshot.info().clone()).expect("sound");
        let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), 100).expect("known");
        // A part of it at first, then the rest.
        for _ in 0..2 {
            if let Some(chunk) = sending.next_chunk().expect("the source is sound") {
                incoming.accept(&chunk).expect("sound");
            }
        }
        incoming
    };
    drop(receive());
    disk.lose_sector(&named(&disk, ".part")[0], 0, Loss::ForGood);
    disk.lose_sector(&named(&disk, ".sums")[0], 0, Loss::ForGood);
    let mut incoming = receive();
    while incoming.remaining() > 0 {
        drop(incoming);
        incoming = receive();
    }
    let whole = named(&disk, "/data/incoming")[0].clone();
    disk.lose_sector(&whole, disk.bytes(&whole).len() as u64 - 1, Loss::ForGood);
    let refused = opened.store.adopt_snapshot(&incoming).err().expect("it does not read");
    assert!(refused.to_string().contains("received again"), "{refused}");
    drop(incoming);
    let mut incoming = receive();
    while incoming.remaining() > 0 {
        drop(incoming);
        incoming = receive();
    }
    opened.store.adopt_snapshot(&incoming).expect("it is whole again").discard();
}

#[test]
fn a_sector_of_log_or_manifest_keeps_the_node_from_starting_and_is_named() {
    let disk = disk_with_log();
    let segments = named(&disk, "/data/log/0");
    let files = [segments[0].clone(), segments[1].clone(), named(&disk, "MANIFEST-")[0].clone()];
    for file in files {
        for sector in 0..disk.bytes(&file).len() as u64 / SECTOR {
            let disk = disk.fork();
            disk.lose_sector(&file, sector * SECTOR + 7, Loss::ForGood);
            let before = disk.contents();
            let error = try_open(&disk).err().expect("it does not read");
            let found = (damage(&error).file.clone(), damage(&error).offset);
            assert_eq!(found, (file.clone(), sector * SECTOR), "{error}");
            assert_eq!(disk.contents(), before, "nothing was changed");
        }
    }
}
