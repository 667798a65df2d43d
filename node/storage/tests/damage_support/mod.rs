//! Two replicas with tables on one disk, to be damaged.
#![allow(dead_code)] // each test file uses its part

use std::path::PathBuf;

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::store::Opened;
use doug_storage::tree::{KeyClass, Op, ReadError, ScanRange, Tree};
use doug_storage::{ReplicaKey, Result, StorageError};

use crate::store_support::*;

/// Commands of each replica; a table each.
pub const FLUSHES: u64 = 3;

fn fill(opened: &Opened, key: ReplicaKey, tree: &mut Tree) {
    for i in 1..=FLUSHES {
        let op = |n: u64| {
            let value = format!("{key} at {i}, {n}").repeat(9);
            Op::put(KeyClass::User, format!("k{n:03}"), value)
        };
        tree.apply(i, &(i..i + 40).map(op).collect::<Vec<_>>());
        let change = flush(tree, i, "").expect("the disk works");
        opened.store.commit(key, tree, change).expect("the disk works");
    }
}

/// A disk with the replicas A and B, of [`FLUSHES`] tables each.
pub fn filled() -> SimDisk {
    let disk = SimDisk::new(1);
    let (opened, mut a, mut b) = initialised(&disk);
    fill(&opened, A, &mut a);
    fill(&opened, B, &mut b);
    drop((opened, a, b));
    disk.crash(Crash::Process);
    disk
}

/// The replicas A and B of a filled disk, of which nothing is cached.
pub fn opened(disk: &SimDisk) -> (Opened, Tree, Tree) {
    let mut opened = open(disk);
    let [a, b] = [A, B].map(|key| replica(&mut opened, key).tree.expect("sound"));
    (opened, a, b)
}

/// A disk of which only the log was written, in several segments.
pub fn disk_with_log() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut opened, _a, _b) = initialised(&disk);
    for i in 1..=60 {
        opened.log.append(record(A, i)).expect("there is room");
        opened.log.sync().expect("the disk works");
    }
    drop(opened);
    disk.crash(Crash::Process);
    disk
}

/// The table of a replica with the smallest id.
pub fn table_of(tree: &Tree) -> PathBuf {
    tree.table_path(*tree.image().tables.keys().next().expect("a table"))
}

/// The files whose paths contain `part`, in order.
pub fn named(disk: &SimDisk, part: &str) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.to_string_lossy().contains(part)).collect()
}

/// Scans a replica; returns how many entries it has.
pub fn read_all(tree: &Tree) -> Result<usize> {
    let mut entries = 0;
    for entry in tree.view().scan(ScanRange::all(), None).map_err(of_storage)? {
        entry.map_err(of_storage)?;
        entries += 1;
    }
    Ok(entries)
}

fn of_storage(error: ReadError) -> StorageError {
    match error {
        ReadError::Storage(error) => error,
        other => panic!("not an error of the storage: {other}"),
    }
}
