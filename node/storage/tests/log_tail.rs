//! What a power loss may do to the log's tail, and what start-up makes of it.

mod log_support;

use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::log::Record;
use log_support::*;

/// Six batches, each synced by itself, then six in one sync: nothing proves that those were
/// durable.
fn log_with_an_unproven_tail() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, roomy());
    write_each(&mut log.writer, (1..=6).map(|i| batch(A, i, 1, 1, 20 + i as usize)));
    write_together(&mut log.writer, (7..=12).map(|i| batch(A, i, 1, 1, 200 + i as usize)));
    disk.fork()
}

fn upto(n: usize) -> Vec<u64> {
    (1..=n as u64).collect()
}

/// Opens the log as it is, appends to it and opens it again and again: after each
/// time it must hold the first `whole` batches and what was appended since, no more.
fn nothing_comes_back(disk: &SimDisk, whole: usize, context: &str) {
    let mut expected = upto(whole);
    for round in 0..3 {
        let mut log = open(disk, roomy());
        assert_eq!(bases(&log.replicas, A), expected, "{context}, round {round}");
        let next = expected.len() as u64 + 1;
        write_together(&mut log.writer, [batch(A, next, 1, 2 + round, 40)]);
        expected.push(next);
        drop(log);
        disk.crash(Crash::LoseUnsynced);
    }
    assert_eq!(bases(&recovered(disk, roomy()), A), expected, "{context}, at the end");
}

#[test]
fn a_tail_cut_at_every_byte_loses_only_what_lies_behind_the_cut() {
    let disk = log_with_an_unproven_tail();
    let path = last_segment(&disk);
    let bytes = disk.bytes(&path);
    let records = records(&bytes);
    assert_eq!(records.len(), 12);
    let end = records[11].0 + records[11].1;
    for cut in HEADER..=end {
        let whole = records.iter().filter(|(at, size)| at + size <= cut).count();
        let torn = disk.fork();
        torn.tamper(&path, |bytes| bytes.truncate(cut));
        nothing_comes_back(&torn, whole, &format!("cut at {cut}"));
    }
}

#[test]
fn a_hole_at_every_byte_above_the_mark_loses_what_lies_behind_it_for_good() {
    let disk = log_with_an_unproven_tail();
    let path = last_segment(&disk);
    let records = records(&disk.bytes(&path));
    let (first, end) = (records[6].0, records[11].0 + records[11].1);
    for hole in first..end {
        let whole = records.iter().filter(|(at, size)| at + size <= hole).count();
        let holed = disk.fork();
        holed.tamper(&path, |bytes| bytes[hole] ^= 0xff);
        nothing_comes_back(&holed, whole, &format!("hole at {hole}"));
    }
}

#[test]
fn lost_sectors_above_the_mark_lose_only_what_lies_in_and_behind_the_first() {
    let disk = log_with_an_unproven_tail();
    let path = last_segment(&disk);
    let records = records(&disk.bytes(&path));
    let (first, end) = (records[6].0, records[11].0 + records[11].1);
    let sectors: Vec<usize> = (first.next_multiple_of(512)..end).step_by(512).collect();
    assert!(sectors.len() >= 3);
    for pattern in 1..1u32 << sectors.len() {
        let holed = disk.fork();
        let lost = |i: &usize| pattern >> i & 1 == 1;
        let first_lost = (0..sectors.len()).find(lost).expect("at least one is lost");
        holed.tamper(&path, |bytes| {
            for i in (0..sectors.len()).filter(lost) {
                bytes[sectors[i]..(sectors[i] + 512).min(end)].fill(0);
            }
        });
        let whole = records.iter().filter(|(at, size)| at + size <= sectors[first_lost]).count();
        nothing_comes_back(&holed, whole, &format!("sectors {pattern:b}"));
    }
}

#[test]
fn nothing_beyond_a_hole_comes_back_whatever_interrupts_the_start_ups() {
    let disk = log_with_an_unproven_tail();
    let path = last_segment(&disk);
    let records = records(&disk.bytes(&path));
    disk.tamper(&path, |bytes| bytes[records[8].0 + 100] ^= 1);
    let before = disk.operations();
    open(&disk.fork(), roomy());
    let counted = disk.fork();
    open(&counted, roomy());
    let steps = counted.operations() - before;
    assert!(steps >= 5, "a start-up that seals a tail takes {steps} operations");
    for first in 1..=steps {
        for second in 1..=steps {
            for crash in [Crash::Process, Crash::LoseUnsynced, Crash::KeepSome] {
                let disk = disk.fork();
                disk.reseed(first * 31 + second);
                for step in [first, second] {
                    disk.fail_at(disk.operations() + step, Fault::PowerLoss);
                    let _ = try_open(&disk, roomy());
                    disk.crash(crash);
                }
                nothing_comes_back(&disk, 8, &format!("{crash:?} at {first}, then at {second}"));
            }
        }
    }
}

#[test]
fn acknowledged_records_survive_losing_all_unsynced_bytes() {
    let disk = SimDisk::new(3);
    let mut log = open(&disk, options());
    // As many as fit, each vote with its mark.
    for i in 1..=40 {
        log.writer.append(batch(A, i, 1, 1, 50)).expect("there is room");
        log.writer
            .append(Record::HardState { replica: B, term: i, vote: Some(i + 1) })
            .expect("there is room");
        log.writer.sync().expect("the disk works");
        let dead = disk.fork();
        dead.crash(Crash::LoseUnsynced);
        let replicas = recovered(&dead, options());
        assert_eq!(bases(&replicas, A), upto(i as usize));
        assert_eq!(replicas[&B].hard_state.map(|h| (h.term, h.vote)), Some((i, Some(i + 1))));
    }
}

#[test]
fn what_a_start_up_recovers_from_the_page_cache_survives_the_next_power_loss() {
    let disk = SimDisk::new(4);
    let mut log = open(&disk, roomy());
    write_together(&mut log.writer, [batch(A, 1, 1, 1, 50)]);
    log.writer.append(batch(A, 2, 1, 1, 50)).expect("there is room");
    // The write goes through, its sync fails, and the kernel takes the pages for clean.
    disk.fail_at(disk.operations() + 2, Fault::Io);
    assert!(log.writer.sync().is_err());
    drop(log);
    disk.crash(Crash::Process);
    let found = bases(&recovered(&disk, roomy()), A);
    assert_eq!(found, [1, 2]);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(bases(&recovered(&disk, roomy()), A), found);
}
