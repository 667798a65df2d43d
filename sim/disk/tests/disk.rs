//! The simulated disk keeps what was synced, and nothing else for sure.

use std::io::ErrorKind;
use std::path::Path;

use doug_sim_disk::{Crash, Fault, Loss, SECTOR, SimDisk};
use doug_storage::disk::{Disk, OpenMode};

fn path(name: &str) -> std::path::PathBuf {
    Path::new("/d").join(name)
}

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/d")).expect("it works");
    disk
}

/// A file whose name and first bytes are durable.
fn with_file(seed: u64) -> SimDisk {
    let disk = disk(seed);
    let file = disk.open(&path("f"), OpenMode::Create).expect("new");
    file.write_at(b"old", 0).expect("it works");
    file.sync_data().expect("it works");
    disk.sync_dir(Path::new("/d")).expect("it works");
    disk
}

#[test]
fn unsynced_bytes_are_lost_with_the_power_and_kept_when_only_the_process_dies() {
    for (crash, expected) in [(Crash::LoseUnsynced, "old"), (Crash::Process, "new")] {
        let disk = with_file(1);
        let file = disk.open(&path("f"), OpenMode::ReadWrite).expect("it exists");
        file.write_at(b"new", 0).expect("it works");
        disk.crash(crash);
        assert_eq!(disk.bytes(&path("f")), expected.as_bytes());
        assert!(file.write_at(b"x", 0).is_err(), "the file was opened before the crash");
    }
}

#[test]
fn names_are_lost_until_their_directory_is_synced() {
    let disk = with_file(1);
    disk.rename(&path("f"), &path("g")).expect("it works");
    disk.open(&path("h"), OpenMode::Create).expect("new").sync_data().expect("it works");
    let unsynced = disk.fork();
    unsynced.crash(Crash::LoseUnsynced);
    assert_eq!(unsynced.list(Path::new("/d")).expect("it exists"), ["f"]);
    disk.sync_dir(Path::new("/d")).expect("it works");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(disk.list(Path::new("/d")).expect("it exists"), ["g", "h"]);
}

#[test]
fn writes_tear_at_sectors_and_the_seed_decides_where() {
    let torn = |seed| {
        let disk = with_file(seed);
        let file = disk.open(&path("f"), OpenMode::ReadWrite).expect("it exists");
        file.write_at(&[7; 8 * SECTOR as usize], 0).expect("it works");
        disk.crash(Crash::KeepSome);
        let bytes = disk.bytes(&path("f"));
        bytes.chunks(SECTOR as usize).map(|s| s.iter().all(|b| *b == 7)).collect::<Vec<_>>()
    };
    assert_eq!(torn(3), torn(3));
    let outcomes: std::collections::BTreeSet<_> = (0..20).map(torn).collect();
    assert!(outcomes.len() > 10, "{outcomes:?}");
}

#[test]
fn a_failed_sync_leaves_pages_that_look_clean_and_are_not() {
    let disk = with_file(1);
    let file = disk.open(&path("f"), OpenMode::ReadWrite).expect("it exists");
    file.write_at(b"new", 0).expect("it works");
    disk.fail_at(disk.operations() + 1, Fault::Io);
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the lie");
    assert_eq!(disk.bytes(&path("f")), b"new");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(disk.bytes(&path("f")), b"old");
}

#[test]
fn a_directory_has_one_owner_until_it_lets_go_or_dies() {
    let disk = disk(1);
    let lock = disk.lock_exclusive(Path::new("/d")).expect("free");
    let refused = disk.lock_exclusive(Path::new("/d")).err().expect("taken");
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    drop(lock);
    let _lost = disk.lock_exclusive(Path::new("/d")).expect("free again");
    disk.crash(Crash::Process);
    disk.lock_exclusive(Path::new("/d")).expect("its owner died");
}

#[test]
fn after_a_power_loss_nothing_works_until_the_restart() {
    let disk = with_file(1);
    disk.fail_at(disk.operations() + 1, Fault::PowerLoss);
    assert!(disk.remove(&path("f")).is_err());
    assert!(disk.sync_dir(Path::new("/d")).is_err());
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(disk.bytes(&path("f")), b"old");
}

#[test]
fn a_lost_sector_fails_reads_under_every_name_until_it_is_written_or_at_once_only() {
    for loss in [Loss::Once, Loss::ForGood] {
        let disk = with_file(1);
        let file = disk.open(&path("f"), OpenMode::ReadWrite).expect("it exists");
        file.write_at(&[7; 3 * SECTOR as usize], 0).expect("it works");
        disk.hard_link(&path("f"), &path("g")).expect("it works");
        disk.lose_sector(&path("g"), SECTOR + 3, loss);
        let read = |offset, len| {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, offset)
        };
        read(0, SECTOR).expect("the first sector is sound");
        let error = read(SECTOR - 1, 2).expect_err("the second is not");
        assert_eq!(error.raw_os_error(), Some(5));
        assert_eq!(read(SECTOR, 1).is_err(), loss == Loss::ForGood);
        read(2 * SECTOR, SECTOR).expect("the third sector is sound");
        disk.crash(Crash::Process);
        let file = disk.open(&path("f"), OpenMode::ReadWrite).expect("it exists");
        file.write_at(&[8; 1], SECTOR).expect("it works");
        file.read_exact_at(&mut [0; 3 * SECTOR as usize], 0).expect("another is in its place");
    }
}
