//! Damage of a snapshot at its source, on its way or where it arrives is noticed, and never
//! installed.

mod snapshot_support;
mod store_support;

use bytes::Bytes;
use doug_sim_disk::Crash;
use doug_storage::StorageError;
use doug_storage::snapshot::{Chunk, Sending};
use snapshot_support::*;

#[test]
fn bytes_whose_sync_failed_are_written_anew_before_they_count_as_durable() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    let follower = Follower::new();
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    follower.disk.fail_next_sync();
    let failed = std::iter::from_fn(|| sending.next_chunk().expect("the disk works"))
        .find_map(|chunk| incoming.accept(&chunk).err())
        .expect("a whole table is synced");
    assert!(failed.is_fatal(), "{failed}");
    drop(incoming);
    // The process ends, and its successor reads from memory what the disk never got.
    let mut follower = follower.crash(Crash::Process);
    let mut incoming = follower.receive(&snapshot);
    send(&snapshot, &mut incoming, usize::MAX);
    follower.install(incoming);
    let follower = follower.crash(Crash::LoseUnsynced);
    same(&leader.tree, &follower.tree);
}

#[test]
fn a_damaged_chunk_is_refused_and_asked_for_again() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot, incoming.lacking(), CHUNK).expect("known");
    let first = sending.next_chunk().expect("the disk works").expect("a chunk");
    let second = sending.next_chunk().expect("the disk works").expect("a chunk");
    incoming.accept(&first).expect("sound");
    let mut data = second.data.to_vec();
    data[17] ^= 1;
    let wrong = [
        Chunk { data: Bytes::from(data), ..second.clone() },
        Chunk { offset: second.offset + 1, ..second.clone() },
        Chunk { table: 1, ..second.clone() },
        Chunk { table: 1_000, ..second.clone() },
        Chunk { data: Bytes::new(), ..second.clone() },
        first.clone(),
    ];
    let before = incoming.lacking();
    for wrong in wrong {
        let error = incoming.accept(&wrong).expect_err("it must not be stored");
        assert!(error.to_string().ends_with("send it again"), "{error}");
        assert_eq!(incoming.lacking(), before);
    }
    incoming.accept(&second).expect("sound");
}

#[test]
fn a_table_that_was_damaged_at_its_source_is_never_installed() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let link = files(&leader.disk, "/data/outgoing")
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "sst"));
    leader.disk.flip_bit(&link.expect("a table"), 100, 3);
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    let error = loop {
        let chunk = sending.next_chunk().expect("the disk works").expect("damage is met first");
        if let Err(error) = incoming.accept(&chunk) {
            break error;
        }
    };
    assert!(error.to_string().contains("arrived damaged"), "{error}");
    assert!(follower.opened.store.adopt_snapshot(&incoming).is_err());
    // The sender finds that it is its own copy.
    let found = leader.opened.store.look_for_damage(&snapshot);
    assert!(matches!(found, Err(StorageError::Corruption(_))), "its tree shares the table");
    // What is damaged is not sent again.
    assert!(leader.opened.store.find_snapshot(snapshot.replica(), 0).is_none());
}

#[test]
fn a_snapshot_that_was_damaged_on_its_way_is_sent_again() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    leader.opened.store.look_for_damage(&snapshot).expect("nothing is wrong here");
    assert!(leader.opened.store.find_snapshot(snapshot.replica(), 0).is_some());
}

#[test]
fn own_tables_that_are_damaged_are_sent_and_not_linked() {
    let leader = Leader::new();
    let mut follower = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = follower.receive(&snapshot);
    send(&snapshot, &mut incoming, usize::MAX);
    follower.install(incoming);
    assert_eq!(follower.receive(&snapshot).remaining(), 0, "it has every table");
    let table = files(&follower.disk, "/data/sst").remove(0);
    drop(follower.receive(&snapshot).delete());
    follower.disk.flip_bit(&table, 50, 1);
    assert!(follower.receive(&snapshot).remaining() > 0);
}
