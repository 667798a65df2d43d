//! What an installed snapshot does to a replica's log.

mod log_support;

use std::sync::Arc;

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::Applied;
use doug_storage::log::{self, OpenedLog, Record};
use log_support::*;

const SNAPSHOT: Applied = Applied { index: 8, term: 3 };

fn reset() -> Record {
    Record::Reset { replica: A, index: SNAPSHOT.index, term: SNAPSHOT.term }
}

/// A logged 1 to 10, the entries from 6 on in `term`.
fn log_before(disk: &SimDisk, term: u64) -> OpenedLog {
    let mut log = open(disk, roomy());
    let early = (1..=5).map(|i| batch(A, i, 1, 1, 30));
    write_each(&mut log.writer, early.chain((6..=10).map(|i| batch(A, i, 1, term, 30))));
    log
}

fn reopen(disk: &SimDisk, applied: Applied) -> Vec<(u64, u64)> {
    let known = known(applied, Applied::default());
    let log = log::open(Arc::new(disk.clone()), &dir(), roomy(), &known).expect("the log opens");
    log.replicas[&A].batches.iter().map(|b| (b.base, b.term)).collect()
}

#[test]
fn a_log_that_agrees_with_the_snapshot_keeps_what_follows() {
    let disk = SimDisk::new(1);
    let mut log = log_before(&disk, 3);
    log.reader.set_flushed(A, SNAPSHOT);
    write_each(&mut log.writer, [reset()]);
    assert_eq!(log.reader.read(A, 9, 10).expect("kept").len(), 2);
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(reopen(&disk, SNAPSHOT), [(9, 3), (10, 3)]);
}

#[test]
fn a_log_that_contradicts_the_snapshot_is_discarded() {
    let disk = SimDisk::new(1);
    let mut log = log_before(&disk, 4);
    log.reader.set_flushed(A, SNAPSHOT);
    write_each(&mut log.writer, [reset()]);
    assert!(log.reader.read(A, 9, 10).is_err());
    write_each(&mut log.writer, [batch(A, 9, 1, 5, 30)]);
    drop(log);
    for _ in 0..2 {
        disk.crash(Crash::LoseUnsynced);
        assert_eq!(reopen(&disk, SNAPSHOT), [(9, 5)]);
    }
}

#[test]
fn a_crash_between_snapshot_and_reset_discards_at_start_up_and_only_what_was_there_before() {
    let disk = SimDisk::new(1);
    drop(log_before(&disk, 4));
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(reopen(&disk, SNAPSHOT), []);
    disk.crash(Crash::LoseUnsynced);
    let known = known(SNAPSHOT, Applied::default());
    let mut log =
        log::open(Arc::new(disk.clone()), &dir(), roomy(), &known).expect("the log opens");
    write_each(&mut log.writer, [batch(A, 9, 2, 5, 30)]);
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(reopen(&disk, SNAPSHOT), [(9, 5)]);
}

#[test]
fn a_snapshot_beyond_the_log_leaves_a_gap_that_is_no_damage() {
    let disk = SimDisk::new(1);
    let mut log = log_before(&disk, 1);
    let snapshot = Applied { index: 20, term: 3 };
    log.reader.set_flushed(A, snapshot);
    write_each(
        &mut log.writer,
        [Record::Reset { replica: A, index: 20, term: 3 }, batch(A, 21, 1, 3, 30)],
    );
    assert!(log.reader.read(A, 10, 10).is_err(), "what is behind the gap is gone");
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(reopen(&disk, snapshot), [(21, 3)]);
}
