//! Appending, syncing, limits and failures.

mod log_support;

use bytes::Bytes;
use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::log::{Lsn, Record};
use doug_storage::{Applied, StorageError};
use log_support::*;

#[test]
fn one_write_and_one_fdatasync_cover_everything_appended() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    let before = (disk.operations(), disk.syncs());
    for i in 1..=20 {
        log.writer.append(batch(A, i, 1, 1, 30)).expect("there is room");
    }
    assert_eq!((disk.operations(), disk.syncs()), before, "appending does no I/O");
    assert_eq!(log.writer.sync().expect("the disk works"), Lsn(20));
    assert_eq!((disk.operations(), disk.syncs()), (before.0 + 2, before.1 + 1));
}

#[test]
fn positions_rise_by_one_and_the_durable_one_never_falls() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    let mut durable = Lsn(0);
    for i in 1..=50 {
        assert_eq!(log.writer.append(batch(A, i, 1, 1, 60)).expect("there is room"), Lsn(i));
        assert_eq!(log.writer.durable(), durable);
        if i % 7 == 0 {
            durable = log.writer.sync().expect("the disk works");
            assert_eq!(durable, Lsn(i));
        }
    }
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(
        open(&disk, options()).writer.append(batch(A, 50, 1, 1, 60)).expect("there is room"),
        Lsn(50)
    );
}

#[test]
fn a_failed_fsync_is_fatal_and_is_not_tried_again() {
    for operation in 1..=2 {
        for fault in [Fault::Io, Fault::NoSpace] {
            let disk = SimDisk::new(1);
            let mut log = open(&disk, roomy());
            log.writer.append(batch(A, 1, 1, 1, 30)).expect("there is room");
            disk.fail_at(disk.operations() + operation, fault);
            let error = log.writer.sync().expect_err("the disk failed");
            assert!(error.is_fatal(), "{error}");
            let operations = disk.operations();
            assert!(log.writer.sync().expect_err("for good").is_fatal());
            assert!(log.writer.append(batch(A, 2, 1, 1, 30)).expect_err("for good").is_fatal());
            assert!(log.writer.mark().expect_err("for good").is_fatal());
            assert!(log.writer.maintain().expect_err("for good").is_fatal());
            assert!(log.reader.read(A, 1, 1).expect_err("for good").is_fatal());
            assert_eq!(disk.operations(), operations, "the disk was touched again");
        }
    }
}

#[test]
fn a_spare_segment_that_finds_no_room_leaves_no_file_behind() {
    let spares = |disk: &SimDisk| {
        let names = disk.files().into_iter().map(|path| path.to_string_lossy().into_owned());
        names.filter(|name| name.contains("free-")).count()
    };
    for operation in 1..=2 {
        let disk = SimDisk::new(1);
        let mut log = open(&disk, roomy());
        assert_eq!(spares(&disk), 0);
        disk.fail_at(disk.operations() + operation, Fault::NoSpace);
        assert!(!log.writer.maintain().expect("no reason to die"), "nothing to retire");
        assert_eq!(spares(&disk), 0, "operation {operation} failed");
        log.writer.maintain().expect("there is room again");
        assert_eq!(spares(&disk), 1);
    }
}

#[test]
fn a_full_buffer_is_busy_for_batches_and_never_for_votes() {
    let disk = SimDisk::new(1);
    let mut options = roomy();
    options.buffer_bytes = 1000;
    let mut log = open(&disk, options);
    let mut next = 1;
    let error = loop {
        match log.writer.append(batch(A, next, 1, 1, 200)) {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_busy(), "{error}");
    assert_eq!(next, 4);
    log.writer.append(Record::HardState { replica: A, term: 2, vote: None }).expect("never busy");
    log.writer.sync().expect("the disk works");
    log.writer.append(batch(A, next, 1, 1, 200)).expect("there is room again");
}

#[test]
fn a_log_at_its_limit_is_busy_until_the_replica_under_pressure_is_flushed() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(&mut log.writer, [batch(B, 1, 1, 1, 20)]);
    let mut next = 1;
    let error = loop {
        match log.writer.append(batch(A, next, 1, 1, 100)) {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
        log.writer.sync().expect("the disk works");
        while log.writer.maintain().expect("the disk works") {}
    };
    assert!(error.is_busy(), "{error}");
    assert!(log.reader.room() < 200);
    log.writer
        .append(Record::HardState { replica: B, term: 9, vote: Some(1) })
        .expect("never busy");
    assert_eq!(log.writer.pressure(), Some(A));
    log.reader.set_floor(A, next - 2);
    assert_eq!(
        log.writer.pressure(),
        Some(A),
        "a floor alone frees nothing that is not in a table"
    );
    log.reader.set_flushed(A, Applied { index: next - 2, term: 1 });
    while log.writer.maintain().expect("the disk works") {}
    assert_eq!(log.writer.pressure(), None);
    log.writer.append(batch(A, next, 1, 1, 100)).expect("there is room again");
}

#[test]
fn a_batch_that_would_leave_a_gap_or_cut_another_is_refused_and_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    write_each(&mut log.writer, [batch(A, 1, 5, 1, 30)]);
    let stranger = doug_storage::ReplicaKey { partition: 9, replica: 9 };
    let empty =
        Record::Batch { replica: A, base: 6, count: 0, term: 1, commit: 0, data: Bytes::new() };
    for wrong in [
        batch(A, 7, 1, 1, 30),
        batch(A, 3, 1, 2, 30),
        batch(stranger, 1, 1, 1, 30),
        empty,
        batch(A, 6, 1, 1, 9000),
    ] {
        assert!(matches!(log.writer.append(wrong), Err(StorageError::Refused(_))));
    }
    assert_eq!(log.writer.append(batch(A, 6, 1, 1, 30)).expect("it follows"), Lsn(2));
}

#[test]
fn a_removed_replica_never_writes_again() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    log.reader.remove(A);
    for record in [batch(A, 1, 1, 1, 30), Record::HardState { replica: A, term: 1, vote: None }] {
        assert!(matches!(log.writer.append(record), Err(StorageError::Removed { replica: A })));
    }
}

#[test]
fn readers_find_batches_before_and_after_the_sync_and_say_what_is_missing() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(&mut log.writer, (1..=10).map(|i| batch(A, i * 2 - 1, 2, 1, 100)));
    log.writer.append(batch(A, 21, 2, 1, 100)).expect("there is room");
    let reader = log.reader.clone();
    let found = std::thread::spawn(move || reader.read(A, 18, 22))
        .join()
        .expect("no panic")
        .expect("all there");
    assert_eq!(found, [17, 19, 21].map(|base| Bytes::from(payload(A, base, 1, 100))));
    assert!(matches!(
        log.reader.read(A, 20, 23),
        Err(StorageError::NotInLog { replica: A, index: 23 })
    ));
    log.reader.set_flushed(A, Applied { index: 4, term: 1 });
    log.reader.set_floor(A, 4);
    assert!(matches!(
        log.reader.read(A, 4, 6),
        Err(StorageError::NotInLog { replica: A, index: 4 })
    ));
    assert_eq!(log.reader.read(A, 5, 6).expect("above the floor").len(), 1);
}
