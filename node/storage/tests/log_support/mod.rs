//! A log on a simulated disk, and a model of what it must remember.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::SimDisk;
use doug_storage::log::{
    self, HardState, KnownReplicas, LogOptions, LogWriter, LoggedBatch, OpenedLog, Record,
    RecoveredLog,
};
use doug_storage::{Applied, ReplicaKey, Result, StorageError};

pub const A: ReplicaKey = ReplicaKey { partition: 1, replica: 11 };
pub const B: ReplicaKey = ReplicaKey { partition: 2, replica: 22 };
/// Bytes of a record around its payload.
pub const ENVELOPE: usize = 88;
/// Bytes of a segment's header.
pub const HEADER: usize = 64;

pub fn dir() -> PathBuf {
    PathBuf::from("/data/log")
}

pub fn options() -> LogOptions {
    LogOptions { segment_bytes: 2048, limit_bytes: 16 << 10, buffer_bytes: 8 << 10, salt: 77 }
}

/// One segment holds everything.
pub fn roomy() -> LogOptions {
    LogOptions { segment_bytes: 8 << 10, limit_bytes: 1 << 20, ..options() }
}

/// A and B, with everything up to these indices in their trees.
pub fn known(a: Applied, b: Applied) -> KnownReplicas {
    KnownReplicas { live: BTreeMap::from([(A, a), (B, b)]), ..KnownReplicas::default() }
}

pub fn try_open(disk: &SimDisk, options: LogOptions) -> Result<OpenedLog> {
    log::open(
        Arc::new(disk.clone()),
        &dir(),
        options,
        &known(Applied::default(), Applied::default()),
    )
}

pub fn open(disk: &SimDisk, options: LogOptions) -> OpenedLog {
    try_open(disk, options).expect("the log opens")
}

pub fn recovered(disk: &SimDisk, options: LogOptions) -> BTreeMap<ReplicaKey, RecoveredLog> {
    open(disk, options).replicas
}

pub fn batch(replica: ReplicaKey, base: u64, count: u32, term: u64, size: usize) -> Record {
    let data = Bytes::from(payload(replica, base, term, size));
    Record::Batch { replica, base, count, term, commit: base - 1, data }
}

/// Bytes that tell which batch they belong to.
pub fn payload(replica: ReplicaKey, base: u64, term: u64, size: usize) -> Vec<u8> {
    let seed = replica.partition * 1_000_003 + base * 101 + term * 7;
    (0..size as u64).map(|i| (seed.wrapping_mul(i + 1) >> 3) as u8).collect()
}

/// The bases of a replica's recovered batches.
pub fn bases(replicas: &BTreeMap<ReplicaKey, RecoveredLog>, key: ReplicaKey) -> Vec<u64> {
    replicas[&key].batches.iter().map(|b| b.base).collect()
}

/// Appends and syncs each record by itself.
pub fn write_each(writer: &mut LogWriter, records: impl IntoIterator<Item = Record>) {
    for record in records {
        writer.append(record).expect("there is room");
        writer.sync().expect("the disk works");
    }
}

/// Appends all records and syncs once.
pub fn write_together(writer: &mut LogWriter, records: impl IntoIterator<Item = Record>) {
    for record in records {
        writer.append(record).expect("there is room");
    }
    writer.sync().expect("the disk works");
}

/// The segment with the greatest incarnation.
pub fn last_segment(disk: &SimDisk) -> PathBuf {
    let contents = disk.contents();
    let segments = contents.keys().filter(|p| is_segment(p));
    segments.max().expect("a log has a segment").clone()
}

pub fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.contents().keys().filter(|p| is_segment(p)).cloned().collect()
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    path.parent() == Some(&dir()) && !name.starts_with("free-")
}

/// Offsets and sizes of the records of a segment, read off its length fields.
pub fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut at = HEADER;
    while at + ENVELOPE <= bytes.len() {
        let length =
            u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        if length < ENVELOPE {
            break;
        }
        let size = length.next_multiple_of(8);
        records.push((at, size));
        at += size;
    }
    records
}

/// The damage that kept a log from opening.
pub fn corruption(outcome: Result<OpenedLog>) -> doug_storage::Corruption {
    match outcome {
        Err(StorageError::Corruption(corruption)) => corruption,
        Err(other) => panic!("expected corruption, got {other}"),
        Ok(_) => panic!("expected corruption, but the log opened"),
    }
}

/// What a log must remember: the plain rules, without disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub replicas: BTreeMap<ReplicaKey, ModelReplica>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelReplica {
    pub hard: Option<HardState>,
    /// By base: last index, term, payload.
    pub batches: BTreeMap<u64, (u64, u64, Bytes)>,
}

impl Model {
    pub fn apply(&mut self, record: &Record) {
        let replica = self.replicas.entry(record.replica()).or_default();
        match record {
            Record::Batch { base, count, term, data, .. } => {
                replica.batches.split_off(base);
                replica.batches.insert(*base, (base + u64::from(*count) - 1, *term, data.clone()));
            }
            Record::HardState { term, vote, .. } => {
                replica.hard = Some(HardState { term: *term, vote: *vote });
            }
            Record::Reset { index, term, .. } => {
                let covering = replica.batches.range(..=index).next_back();
                if covering.is_some_and(|(_, (last, t, _))| last >= index && t != term) {
                    replica.batches.clear();
                }
            }
        }
    }

    /// Whether a log that starts above `applied` remembers exactly this.
    pub fn agrees(&self, log: &OpenedLog, applied: &BTreeMap<ReplicaKey, Applied>) -> bool {
        log.replicas.iter().all(|(key, found)| {
            let empty = ModelReplica::default();
            let model = self.replicas.get(key).unwrap_or(&empty);
            let floor = applied.get(key).map_or(0, |a| a.index);
            let expected = model.batches.iter().filter(|(_, (last, _, _))| *last > floor);
            let expected =
                expected.map(|(base, (last, term, data))| (*base, *last, *term, data.clone()));
            let data = |b: &LoggedBatch| -> Bytes {
                let read = log.reader.read(*key, b.base, b.last()).expect("it is in the log");
                <[Bytes; 1]>::try_from(read).expect("one batch").into_iter().next().expect("one")
            };
            let got = found.batches.iter().map(|b| (b.base, b.last(), b.term, data(b)));
            found.hard_state == model.hard && expected.eq(got)
        })
    }
}
