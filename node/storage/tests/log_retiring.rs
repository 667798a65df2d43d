//! Retiring segments: the living move, keep their order, and the stale never return.

mod log_support;

use std::collections::BTreeMap;

use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::log::{self, HardState, OpenedLog, Record};
use doug_storage::{Applied, ReplicaKey};
use log_support::*;

fn flush(log: &OpenedLog, key: ReplicaKey, index: u64) {
    log.reader.set_flushed(key, Applied { index, term: 1 });
    log.reader.set_floor(key, index);
}

/// Appends batches of B, each flushed at once, until the log has moved on by some segments.
fn pass_time(log: &mut OpenedLog, from: u64, batches: u64) {
    for i in from..from + batches {
        write_each(&mut log.writer, [batch(B, i, 1, 1, 150)]);
        flush(log, B, i);
        while log.writer.maintain().expect("the disk works") {}
    }
}

fn reopen(disk: &SimDisk, b: u64) -> OpenedLog {
    let known = known(Applied::default(), Applied { index: b, term: 1 });
    log::open(std::sync::Arc::new(disk.clone()), &dir(), options(), &known).expect("the log opens")
}

#[test]
fn segments_without_life_are_recycled_so_the_directory_stays_small() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    pass_time(&mut log, 1, 300);
    let bytes: usize = disk.contents().values().map(Vec::len).sum();
    assert!(bytes <= 12 << 10, "{bytes} bytes");
}

#[test]
fn stale_records_of_a_recycled_segment_never_replay() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    pass_time(&mut log, 1, 100);
    let path = last_segment(&disk);
    let end = *records(&disk.bytes(&path)).last().expect("it holds records");
    // The length fields run on into the stale records of the incarnation before.
    assert!(end.0 + end.1 > 1500, "the segment was recycled");
    drop(log);
    for crash in [Crash::Process, Crash::LoseUnsynced] {
        disk.crash(crash);
        let log = reopen(&disk, 100);
        assert!(bases(&log.replicas, B).is_empty());
        assert!(bases(&log.replicas, A).is_empty());
    }
    assert_eq!(bases(&reopen(&disk.fork(), 98).replicas, B), [99, 100]);
}

#[test]
fn relocation_keeps_the_last_vote_and_unflushed_batches() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    let first = segments(&disk);
    write_each(
        &mut log.writer,
        [
            Record::HardState { replica: A, term: 4, vote: Some(2) },
            batch(A, 1, 3, 4, 40),
            Record::HardState { replica: A, term: 5, vote: Some(3) },
            batch(A, 4, 1, 5, 40),
        ],
    );
    pass_time(&mut log, 1, 120);
    assert!(!segments(&disk).contains(&first[0]), "the first segment was retired");
    assert_eq!(log.reader.read(A, 1, 4).expect("still there").len(), 2);
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let log = reopen(&disk, 120);
    let found = &log.replicas[&A];
    assert_eq!(found.hard_state, Some(HardState { term: 5, vote: Some(3) }));
    assert_eq!(
        found.batches.iter().map(|b| (b.base, b.count, b.term)).collect::<Vec<_>>(),
        [(1, 3, 4), (4, 1, 5)]
    );
    assert_eq!(log.reader.read(A, 1, 3).expect("it is there"), [payload(A, 1, 4, 40)]);
}

#[test]
fn a_relocated_batch_does_not_overrule_what_replaced_it() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(
        &mut log.writer,
        [batch(A, 1, 1, 1, 40), batch(A, 2, 1, 1, 40), batch(A, 3, 1, 1, 40)],
    );
    pass_time(&mut log, 1, 60);
    // Replaces the relocated batches 2 and 3; then time moves the survivors once more.
    write_each(&mut log.writer, [batch(A, 2, 1, 7, 40)]);
    pass_time(&mut log, 61, 60);
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let found = reopen(&disk, 120);
    let batches = found.replicas[&A].batches.iter();
    assert_eq!(batches.map(|b| (b.base, b.term)).collect::<Vec<_>>(), [(1, 1), (2, 7)]);
}

#[test]
fn a_segment_is_not_retired_on_the_strength_of_a_record_that_is_not_yet_durable() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(&mut log.writer, [Record::HardState { replica: A, term: 1, vote: Some(1) }]);
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let mut log = reopen(&disk, 0);
    // In memory the first vote is superseded, and its segment without life.
    log.writer
        .append(Record::HardState { replica: A, term: 2, vote: Some(2) })
        .expect("there is room");
    log.writer.maintain().expect("the disk works");
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let found = reopen(&disk, 0).replicas[&A].hard_state;
    assert!(found.is_some(), "the vote is forgotten");
}

#[test]
fn many_restarts_do_not_fill_the_disk() {
    let disk = SimDisk::new(1);
    let mut b = 0;
    for _ in 0..100 {
        let mut log = reopen(&disk, b);
        b += 1;
        write_each(
            &mut log.writer,
            [batch(B, b, 1, 1, 20), Record::HardState { replica: A, term: b, vote: None }],
        );
        flush(&log, B, b);
        while log.writer.maintain().expect("the disk works") {}
        drop(log);
        disk.crash(Crash::LoseUnsynced);
    }
    assert!(segments(&disk).len() <= 8, "{} segments", segments(&disk).len());
    assert_eq!(reopen(&disk, b).replicas[&A].hard_state, Some(HardState { term: 100, vote: None }));
}

/// Batches of A that nobody has committed, so many that they fill more than one segment.
fn append_without_majority(log: &mut OpenedLog, batches: u64) {
    for base in 1..=batches {
        let Record::Batch { replica, count, term, data, .. } = batch(A, base, 1, 1, 400) else {
            unreachable!("a batch is a batch")
        };
        write_each(
            &mut log.writer,
            [Record::Batch { replica, base, count, term, commit: 0, data }],
        );
    }
}

#[test]
fn a_partition_without_majority_that_fills_whole_segments_stops_the_log_for_nobody() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    // A batch and its envelope are 488 bytes: four fill a segment of 2,048 bytes.
    append_without_majority(&mut log, 12);
    assert!(12 * 488 < options().uncommitted_bytes(), "the hosts would have taken so much");
    for i in 1..=400 {
        write_each(&mut log.writer, [batch(B, i, 1, 1, 150)]);
        flush(&log, B, i);
        while log.writer.maintain().expect("the disk works") {}
        assert!(!log.writer.is_wedged());
        assert_ne!(log.reader.pressure(), Some(A), "no flush frees what is not committed");
    }
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let found = reopen(&disk, 400);
    assert_eq!(bases(&found.replicas, A), (1..=12).collect::<Vec<_>>());
    assert_eq!(found.reader.read(A, 12, 12).expect("it is there"), [payload(A, 12, 1, 400)]);
}

#[test]
fn while_the_log_is_full_of_what_cannot_be_freed_the_volume_keeps_what_moving_it_takes() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    append_without_majority(&mut log, 12);
    let most = files(&disk) + log.reader.growth();
    for i in 1..=400 {
        write_each(&mut log.writer, [batch(B, i, 1, 1, 150)]);
        flush(&log, B, i);
        while log.writer.maintain().expect("the disk works") {
            assert!(files(&disk) <= most, "{} bytes of {most}", files(&disk));
        }
    }
}

/// Bytes of all files of the log.
fn files(disk: &SimDisk) -> u64 {
    disk.contents().values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn pressure_names_whom_a_flush_helps_though_another_holds_the_oldest_segment() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    append_without_majority(&mut log, 12);
    let mut index = 0;
    while log.reader.pressure().is_none() {
        index += 1;
        assert!(index < 40, "nobody is asked to flush");
        write_each(&mut log.writer, [batch(B, index, 1, 1, 150)]);
        log.reader.note_commit(B, index);
    }
    assert_eq!(log.reader.pressure(), Some(B));
}

/// Votes, batches that stay, batches that are replaced, flushes and retirement, until the power
/// fails. Returns what was issued, how much of it was acknowledged, and up to where B was flushed.
fn eventful_life(disk: &SimDisk) -> (Vec<Record>, usize, u64) {
    let mut issued = Vec::new();
    let (mut acknowledged, mut flushed, mut last) = (0, 0, 0);
    let Ok(mut log) = try_open(disk, options()) else { return (issued, 0, 0) };
    for i in 1..=80u64 {
        let mut records = vec![batch(B, i, 1, 1, 120)];
        match i % 10 {
            3 => records.push(Record::HardState { replica: A, term: i, vote: Some(i % 5) }),
            5 => records.push(batch(A, last + 1, 1, i, 40)),
            // Replaces the batch before.
            7 => records.push(batch(A, last, 2, i, 60)),
            _ => {}
        }
        for record in records {
            let Ok(_) = log.writer.append(record.clone()) else {
                return (issued, acknowledged, flushed);
            };
            if let Record::Batch { replica: A, base, count, .. } = record {
                last = base + u64::from(count) - 1;
            }
            issued.push(record);
        }
        if i % 3 == 0 {
            continue;
        }
        let Ok(_) = log.writer.sync() else { return (issued, acknowledged, flushed) };
        acknowledged = issued.len();
        flushed = i;
        flush(&log, B, i);
        while let Ok(done) = log.writer.maintain() {
            if !done {
                break;
            }
        }
    }
    (issued, acknowledged, flushed)
}

/// Whether the recovered log is what some prefix of the issued records makes, with all acknowledged
/// ones in it.
fn is_between(log: &OpenedLog, issued: &[Record], acknowledged: usize, flushed: u64) -> bool {
    let applied = BTreeMap::from([(B, Applied { index: flushed, term: 1 })]);
    let mut model = Model::default();
    (0..=issued.len()).any(|n| {
        if n > 0 {
            model.apply(&issued[n - 1]);
        }
        n >= acknowledged && model.agrees(log, &applied)
    })
}

#[test]
fn a_crash_at_every_disk_operation_of_append_and_maintain_keeps_what_was_acknowledged() {
    let whole = SimDisk::new(0);
    eventful_life(&whole);
    let operations = whole.operations();
    assert!(operations > 150, "{operations} operations");
    for at in 1..=operations {
        for (seed, crash) in [
            (1, Crash::LoseUnsynced),
            (2, Crash::KeepSome),
            (3, Crash::KeepSome),
            (4, Crash::Process),
        ] {
            let disk = SimDisk::new(at * 10 + seed);
            disk.fail_at(at, Fault::PowerLoss);
            let (issued, acknowledged, flushed) = eventful_life(&disk);
            disk.crash(crash);
            for round in 0..2 {
                let log = reopen(&disk, flushed);
                assert!(
                    is_between(&log, &issued, acknowledged, flushed),
                    "{crash:?} at operation {at}, start {round}"
                );
                drop(log);
                disk.crash(Crash::LoseUnsynced);
            }
        }
    }
}

#[test]
fn a_power_loss_in_the_start_up_that_follows_a_dead_process_keeps_what_was_acknowledged() {
    let whole = SimDisk::new(0);
    eventful_life(&whole);
    for at in 1..=whole.operations() {
        let dead = SimDisk::new(at);
        dead.fail_at(at, Fault::PowerLoss);
        let (issued, acknowledged, flushed) = eventful_life(&dead);
        // Renames that were never synced are still there for the next process to see.
        dead.crash(Crash::Process);
        for step in 1..=8 {
            let disk = dead.fork();
            disk.fail_at(disk.operations() + step, Fault::PowerLoss);
            let known = known(Applied::default(), Applied { index: flushed, term: 1 });
            let _ = log::open(std::sync::Arc::new(disk.clone()), &dir(), options(), &known);
            disk.crash(Crash::LoseUnsynced);
            let log = reopen(&disk, flushed);
            let context = format!("dead at operation {at}, no power at {step} of the start-up");
            assert!(is_between(&log, &issued, acknowledged, flushed), "{context}");
        }
    }
}
