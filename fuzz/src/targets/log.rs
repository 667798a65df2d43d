//! The segments of a log, opened as a start-up does.

use crate::{files, reseal};
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::log::{self, KnownReplicas, LogOptions, OpenedLog};
use doug_storage::{Applied, ReplicaKey, StorageError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

const MAGIC: &[u8] = b"DOUGLOG\0";

/// What the manifest is taken to know: two replicas, one of which has flushed,
/// and one that was removed. The seeds' replicas are the same.
pub fn known() -> KnownReplicas {
    let key = |partition| ReplicaKey { partition, replica: 1 };
    KnownReplicas {
        live: BTreeMap::from([
            (key(1), Applied::default()),
            (key(2), Applied { index: 2, term: 1 }),
        ]),
        removed: BTreeSet::from([key(3)]),
    }
}

/// Small, so that a segment is quickly allocated.
pub fn options() -> LogOptions {
    LogOptions { segment_bytes: 4 << 10, limit_bytes: 1 << 20, buffer_bytes: 64 << 10, salt: 7 }
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/log")
}

/// Segments one after the other, each from its magic on.
pub fn log(data: &[u8]) {
    let segments = split(data);
    opens_or_is_left_alone(&segments);
    let mut resealed = segments;
    resealed.iter_mut().for_each(|segment| reseal::segment(segment));
    opens_or_is_left_alone(&resealed);
}

fn split(data: &[u8]) -> Vec<Vec<u8>> {
    let windows = data.windows(MAGIC.len()).enumerate();
    let inner = windows.filter(|(at, window)| *at > 0 && *window == MAGIC).map(|(at, _)| at);
    let mut starts: Vec<usize> = std::iter::once(0).chain(inner).collect();
    starts.push(data.len());
    starts.windows(2).map(|pair| data[pair[0]..pair[1]].to_vec()).collect()
}

fn opens_or_is_left_alone(segments: &[Vec<u8>]) {
    // A segment is named by its incarnation; of two of one name, the later is the file.
    let named = (1_u64..).zip(segments).map(|(place, bytes)| {
        let header = bytes.get(16..24).map(|b| u64::from_le_bytes(b.try_into().expect("eight")));
        let incarnation = header.unwrap_or(place);
        (dir().join(format!("{incarnation:020}.log")), bytes.clone())
    });
    let named: BTreeMap<PathBuf, Vec<u8>> = named.collect();
    let disk = files::disk_with(named);
    let before = disk.contents();
    match open(&disk) {
        Ok(opened) => {
            let recovered = opened.replicas;
            disk.crash(Crash::LoseUnsynced);
            let again = open(&disk).unwrap_or_else(|e| panic!("it opens once, and not again: {e}"));
            assert_eq!(again.replicas, recovered, "what was recovered is not durable");
        }
        Err(_) => assert_eq!(disk.contents(), before, "refused, and yet changed"),
    }
}

fn open(disk: &SimDisk) -> Result<OpenedLog, StorageError> {
    log::open(Arc::new(disk.clone()), &dir(), options(), &known())
}
