//! A cut that may have taken what was acknowledged is remembered until the replicas say otherwise.

mod store_support;

use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::StorageError;
use std::path::PathBuf;
use store_support::*;

/// A store whose log ends in a batch of A that no longer reads.
fn damaged() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut opened, _a, _b) = initialised(&disk);
    for index in 1..=2 {
        opened.log.append(record(A, index)).expect("there is room");
        opened.log.sync().expect("the disk works");
    }
    disk.crash(Crash::LoseUnsynced);
    let segment = PathBuf::from("/data/log/00000000000000000001.log");
    let segment = disk.files().into_iter().filter(|file| file.parent() == segment.parent()).max();
    let segment = segment.expect("the log has one");
    let bytes = disk.bytes(&segment);
    let text = b"1/11 logs 2";
    let at = bytes.windows(text.len()).position(|bytes| bytes == text).expect("it was written");
    disk.flip_bit(&segment, at as u64, 3);
    disk
}

/// Of A and B, whether their tails are ambiguous.
fn ambiguous(disk: &SimDisk) -> (bool, bool) {
    let mut opened = open(disk);
    let found = [A, B].map(|key| replica(&mut opened, key).ambiguous_tail);
    drop(opened);
    disk.crash(Crash::LoseUnsynced);
    (found[0], found[1])
}

#[test]
fn every_replica_of_the_node_is_in_doubt_over_restarts_until_it_is_repaired() {
    let disk = damaged();
    assert_eq!(ambiguous(&disk), (true, true), "whose record it was is unreadable, too");
    assert_eq!(ambiguous(&disk), (true, true), "the second start finds a sealed log");
    open(&disk).store.tail_repaired(A).expect("the disk works");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(ambiguous(&disk), (false, true));
}

#[test]
fn a_replica_made_after_the_cut_has_nothing_to_doubt() {
    let disk = damaged();
    open(&disk).store.create_replica(&new_replica(C)).expect("new");
    disk.crash(Crash::LoseUnsynced);
    assert!(!replica(&mut open(&disk), C).ambiguous_tail);
}

#[test]
fn the_repair_of_a_replica_that_was_removed_meanwhile_is_no_failure_of_the_node() {
    let disk = damaged();
    let opened = open(&disk);
    opened.store.remove_replica(A).expect("the disk works");
    let error = opened.store.tail_repaired(A).expect_err("there is none");
    assert!(matches!(error, StorageError::Removed { replica: A }), "{error}");
}

#[test]
fn no_crash_during_the_start_seals_the_cut_without_the_note() {
    let (source, counted) = (damaged(), damaged());
    let before = counted.operations();
    drop(open(&counted));
    for at in 1..=counted.operations() - before {
        for crash in [Crash::LoseUnsynced, Crash::KeepSome] {
            let disk = source.fork();
            disk.reseed(at);
            disk.fail_at(disk.operations() + at, Fault::PowerLoss);
            drop(try_open(&disk));
            disk.crash(crash);
            assert_eq!(ambiguous(&disk), (true, true), "{crash:?} at operation {at}");
        }
    }
}
