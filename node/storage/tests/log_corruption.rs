//! Damage that no power loss can explain: start-up refuses, says where, and changes nothing.

mod log_support;

use std::collections::{BTreeMap, BTreeSet};

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::log::{self, KnownReplicas, Record};
use doug_storage::{Applied, StorageError};
use log_support::*;

/// Several segments, all of it proven durable by the mark that a vote brings.
fn proven_log() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(&mut log.writer, (1..=30).map(|i| batch(A, i, 1, 1, 31 + i as usize)));
    write_each(&mut log.writer, [Record::HardState { replica: B, term: 3, vote: Some(7) }]);
    assert!(!log.writer.wants_mark(), "the vote has brought one");
    disk.fork()
}

#[test]
fn a_flipped_bit_at_every_byte_below_the_mark_refuses_naming_file_and_offset_and_changes_nothing() {
    let disk = proven_log();
    let paths = segments(&disk);
    assert!(paths.len() >= 3);
    for path in &paths {
        let records = records(&disk.bytes(path));
        let mut end = records.last().map_or(HEADER, |(at, size)| at + size);
        if path == paths.last().expect("there are some") {
            // The mark itself is the last record, and nothing proves that it was synced.
            end = records.last().expect("at least the mark").0;
        }
        for offset in 0..end {
            let disk = disk.fork();
            disk.flip_bit(path, offset as u64, (offset % 8) as u8);
            let before = disk.contents();
            let found = corruption(try_open(&disk, options()));
            let start = records.iter().map(|(at, _)| *at).rfind(|at| *at <= offset).unwrap_or(0);
            assert_eq!(found.file, *path, "flipped at {offset}");
            assert!(
                (start..=offset).contains(&(found.offset as usize))
                    || offset < HEADER && found.offset < 64,
                "flipped at {offset}, which is in the record at {start}: {found}"
            );
            assert!(found.to_string().contains(&format!("offset {}", found.offset)));
            assert!(
                before == disk.contents(),
                "flipped at {offset} of {}: the disk changed",
                path.display()
            );
        }
    }
}

#[test]
fn what_the_last_sync_wrote_is_proven_only_by_the_mark_that_an_idle_log_writes() {
    for marked in [false, true] {
        let disk = SimDisk::new(1);
        let mut log = open(&disk, roomy());
        write_each(&mut log.writer, (1..=3).map(|i| batch(A, i, 1, 1, 30)));
        if marked {
            assert!(log.writer.mark().expect("the disk works"));
            assert!(!log.writer.mark().expect("the disk works"), "one mark is enough");
        }
        let disk = disk.fork();
        let path = last_segment(&disk);
        let last = records(&disk.bytes(&path))[2].0;
        disk.flip_bit(&path, last as u64 + 20, 3);
        if marked {
            assert_eq!(corruption(try_open(&disk, roomy())).offset, last as u64);
        } else {
            assert_eq!(bases(&recovered(&disk, roomy()), A), [1, 2]);
        }
    }
}

#[test]
fn a_term_or_vote_is_proven_before_anybody_is_told_of_it() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    let vote = Record::HardState { replica: B, term: 3, vote: Some(7) };
    write_each(&mut log.writer, [batch(A, 1, 1, 1, 50), vote]);
    let path = segments(&disk).remove(0);
    let records = records(&disk.bytes(&path));
    let mark = records.last().expect("it follows the vote").0;
    for offset in records[0].0..mark {
        let disk = disk.fork();
        disk.flip_bit(&path, offset as u64, (offset % 8) as u8);
        corruption(try_open(&disk, roomy()));
    }
}

#[test]
fn whole_records_behind_damage_testify_that_it_was_durable() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    write_each(&mut log.writer, (1..=4).map(|i| batch(A, i, 1, 1, 30)));
    let disk = disk.fork();
    let path = last_segment(&disk);
    let second = records(&disk.bytes(&path))[1].0;
    disk.tamper(&path, |bytes| bytes[second..second + 100].fill(0));
    assert_eq!(corruption(try_open(&disk, roomy())).offset, second as u64);
}

#[test]
fn a_missing_segment_in_the_middle_refuses() {
    let disk = proven_log();
    let contents = disk.contents();
    let paths = segments(&disk);
    let without = SimDisk::new(2);
    use doug_storage::disk::{Disk, OpenMode};
    without.create_dir_all(&dir()).expect("the disk works");
    for path in paths.iter().filter(|p| **p != paths[1]) {
        let file = without.open(path, OpenMode::Create).expect("new");
        file.write_at(&contents[path], 0).expect("the disk works");
    }
    let found = corruption(try_open(&without, options()));
    assert_eq!(found.file, paths[0]);
    assert!(found.what.contains("missing"), "{found}");
}

#[test]
fn a_truncated_sealed_segment_refuses() {
    let disk = proven_log();
    let path = &segments(&disk)[1];
    let (at, _) = *records(&disk.bytes(path)).last().expect("it holds records");
    disk.tamper(path, |bytes| bytes.truncate(at + 10));
    let found = corruption(try_open(&disk, options()));
    assert_eq!((&found.file, found.offset), (path, at as u64));
}

#[test]
fn a_newer_format_refuses_with_both_versions() {
    let disk = proven_log();
    let path = segments(&disk)[0].clone();
    disk.tamper(&path, |bytes| {
        bytes[12] = 2;
        let sum = crc32(&bytes[12..HEADER]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    });
    let before = disk.contents();
    match try_open(&disk, options()) {
        Err(StorageError::NewerFormat { file, found: 2, supported: 1 }) => assert_eq!(file, path),
        other => panic!("expected a refusal, got {:?}", other.err()),
    }
    assert!(before == disk.contents());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn a_record_of_a_replica_the_manifest_never_created_refuses() {
    let disk = proven_log();
    let only_b = KnownReplicas {
        live: BTreeMap::from([(B, Applied::default())]),
        ..KnownReplicas::default()
    };
    let outcome = log::open(std::sync::Arc::new(disk.clone()), &dir(), options(), &only_b);
    assert!(corruption(outcome).what.contains("1/11"));
}

#[test]
fn records_of_a_removed_replica_are_dead() {
    let disk = proven_log();
    let live = BTreeMap::from([(B, Applied::default())]);
    let known = KnownReplicas { live, removed: BTreeSet::from([A]) };
    let log =
        log::open(std::sync::Arc::new(disk), &dir(), options(), &known).expect("the log opens");
    assert_eq!(log.replicas.keys().collect::<Vec<_>>(), [&B]);
}

#[test]
fn a_log_whose_batches_start_above_what_the_tree_holds_refuses() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    log.reader.set_flushed(A, Applied { index: 9, term: 1 });
    write_each(&mut log.writer, [batch(A, 10, 1, 1, 30)]);
    drop(log);
    disk.crash(Crash::Process);
    let found = corruption(try_open(&disk, roomy()));
    assert!(found.what.contains("1 is missing"), "{found}");
}

#[test]
fn a_cut_that_damage_would_explain_as_well_as_a_power_loss_is_reported_with_its_place() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    assert_eq!(log.cut, None, "a new log");
    write_each(&mut log.writer, (1..=3).map(|i| batch(A, i, 1, 1, 30)));
    let disk = disk.fork();
    assert_eq!(open(&disk.fork(), roomy()).cut, None, "all of it reads");
    let path = last_segment(&disk);
    let (last, size) = records(&disk.bytes(&path))[2];
    for bit in 0..size * 8 {
        let disk = disk.fork();
        disk.flip_bit(&path, (last + bit / 8) as u64, (bit % 8) as u8);
        let log = open(&disk, roomy());
        assert_eq!(bases(&log.replicas, A), [1, 2]);
        let cut = log.cut.unwrap_or_else(|| panic!("bit {bit} of the record went unreported"));
        assert_eq!((&cut.damage.file, cut.damage.offset, cut.lsn.0), (&path, last as u64, 3));
    }
}

#[test]
fn a_tail_that_never_reached_the_disk_is_cut_without_a_report() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    write_each(&mut log.writer, (1..=3).map(|i| batch(A, i, 1, 1, 30)));
    log.writer.append(batch(A, 4, 1, 1, 30)).expect("there is room");
    drop(log);
    disk.crash(Crash::LoseUnsynced);
    let log = open(&disk, roomy());
    assert_eq!((bases(&log.replicas, A), log.cut), (vec![1, 2, 3], None));
}

#[test]
fn what_an_earlier_incarnation_left_in_a_segment_is_no_reason_for_a_report() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    for i in 1..=200 {
        write_each(&mut log.writer, [batch(A, i, 1, 1, 100)]);
        log.reader.set_flushed(A, Applied { index: i, term: 1 });
        log.reader.set_floor(A, i);
        while log.writer.maintain().expect("the disk works") {}
        let known = known(Applied { index: i, term: 1 }, Applied::default());
        let fork = disk.fork();
        let opened = log::open(std::sync::Arc::new(fork), &dir(), options(), &known);
        assert_eq!(opened.expect("it opens").cut, None, "after record {i}");
    }
}

#[test]
fn a_mark_says_what_is_committed_also_after_its_segment_is_gone() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options());
    write_each(&mut log.writer, (1..=3).map(|i| batch(A, i, 1, 1, 30)));
    write_each(&mut log.writer, [batch(B, 1, 1, 1, 30)]);
    assert!(log.writer.mark().expect("the disk works"));
    assert!(!log.writer.wants_mark());
    assert_eq!(recovered(&disk.fork(), options())[&A].commit, 2, "as the last batch says");
    log.reader.note_commit(A, 3);
    assert!(log.writer.mark().expect("the disk works"), "there is news");
    assert!(!log.writer.mark().expect("the disk works"), "one mark is enough");
    assert_eq!(recovered(&disk.fork(), options())[&A].commit, 3);
    let first = segments(&disk)[0].clone();
    for i in 2..200 {
        write_each(&mut log.writer, [batch(B, i, 1, 1, 100)]);
        log.reader.set_flushed(B, Applied { index: i, term: 1 });
        log.reader.set_floor(B, i);
        while log.writer.maintain().expect("the disk works") {}
        log.writer.mark().expect("the disk works");
        let known = known(Applied::default(), Applied { index: i, term: 1 });
        let opened = log::open(std::sync::Arc::new(disk.fork()), &dir(), options(), &known);
        assert_eq!(opened.expect("it opens").replicas[&A].commit, 3, "after batch {i} of B");
    }
    assert!(!segments(&disk).contains(&first), "the segment of the mark is gone");
}
