//! A node's store on a simulated disk.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::SimDisk;
use doug_storage::log::{LogOptions, Record};
use doug_storage::manifest::{ManifestOptions, MapChange, MapEntries};
use doug_storage::snapshot::Snapshot;
use doug_storage::store::{NewReplica, Opened, Recovered, Store, StoreOptions};
use doug_storage::tree::{KeyClass, Op, Progress, ScanRange, Tree, TreeChange, TreeOptions, View};
use doug_storage::{Applied, ReplicaKey, Result};

pub const A: ReplicaKey = ReplicaKey { partition: 1, replica: 11 };
pub const B: ReplicaKey = ReplicaKey { partition: 2, replica: 22 };
pub const C: ReplicaKey = ReplicaKey { partition: 3, replica: 33 };

pub fn dir() -> PathBuf {
    PathBuf::from("/data")
}

pub fn options() -> StoreOptions {
    StoreOptions {
        log: LogOptions {
            segment_bytes: 2048,
            limit_bytes: 16 << 10,
            buffer_bytes: 8 << 10,
            salt: 0,
        },
        manifest: ManifestOptions { rewrite_bytes: 1500, salt: 0 },
        tree: TreeOptions::tiny(),
        cache_bytes: 64 << 10,
        lookup_bytes: 16 << 10,
        open_tables: 8,
        salt: 0,
    }
    .salted(5)
}

pub fn try_open(disk: &SimDisk) -> Result<Opened> {
    Store::open(Arc::new(disk.clone()), &dir(), options())
}

pub fn open(disk: &SimDisk) -> Opened {
    try_open(disk).expect("the store opens")
}

pub fn new_replica(key: ReplicaKey) -> NewReplica {
    NewReplica { key, applied: Applied::default(), state: Bytes::from_static(b"new") }
}

/// A change of the only entry of a map.
pub fn map_entry(content: impl Into<Bytes>) -> MapChange {
    MapChange::set(Bytes::from_static(b"entry"), content.into())
}

/// A map of one entry.
pub fn map_of(content: impl Into<Bytes>) -> MapEntries {
    MapEntries::from([(Bytes::from_static(b"entry"), content.into())])
}

/// A store with A and B, both empty.
pub fn initialised(disk: &SimDisk) -> (Opened, Tree, Tree) {
    let opened = open(disk);
    let mut trees = opened.store.create_replicas(&[new_replica(A), new_replica(B)]).expect("new");
    let b = trees.pop().expect("two trees");
    let a = trees.pop().expect("two trees");
    (opened, a, b)
}

/// The command at `index`: what it puts.
pub fn command(key: ReplicaKey, index: u64) -> (String, String) {
    (format!("k{:03}", index % 17), format!("{key} at {index}"))
}

pub fn record(key: ReplicaKey, index: u64) -> Record {
    let data = Bytes::from(format!("{key} logs {index}"));
    Record::Batch { replica: key, base: index, count: 1, term: 1, commit: index - 1, data }
}

pub fn apply(key: ReplicaKey, tree: &mut Tree, index: u64) {
    let (k, v) = command(key, index);
    tree.apply(index, &[Op::put(KeyClass::User, k, v)]);
}

/// What a tree holds after the commands up to `index`.
pub fn expected(key: ReplicaKey, index: u64) -> BTreeMap<String, String> {
    (1..=index).map(|i| command(key, i)).collect()
}

pub fn contents(view: &View) -> BTreeMap<String, String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    let scan = view.scan(ScanRange::all(), None).expect("the newest revision is there");
    scan.map(|entry| entry.expect("sound tables")).map(|e| (text(&e.key), text(&e.value))).collect()
}

/// Runs the next flush to its end, not yet published.
pub fn flush(tree: &mut Tree, index: u64, state: &str) -> Result<TreeChange> {
    tree.rotate(Applied { index, term: 1 }, Bytes::from(state.to_owned()), &[]);
    let mut job = tree.flush_job().expect("something is frozen");
    loop {
        if let Progress::Done(change) = job.step(300)? {
            return Ok(change);
        }
    }
}

pub fn compaction(tree: &mut Tree) -> Option<Result<TreeChange>> {
    let mut job = tree.compaction_job()?;
    loop {
        match job.step(300) {
            Ok(Progress::More) => {}
            Ok(Progress::Done(change)) => return Some(Ok(change)),
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The replica of that key.
pub fn replica(opened: &mut Opened, key: ReplicaKey) -> Recovered {
    let at = opened.replicas.iter().position(|r| r.key == key).expect("it was recovered");
    opened.replicas.remove(at)
}

/// A peer's snapshot of thirty keys as of `applied`, on a disk that never fails.
pub fn snapshot_source(applied: Applied) -> Arc<Snapshot> {
    let disk = SimDisk::new(7);
    let opened = Store::open(Arc::new(disk), &dir(), options().salted(99)).expect("it opens");
    let mut tree = opened.store.create_replica(&new_replica(A)).expect("new");
    for i in 0..30 {
        tree.apply(900 + i, &[Op::put(KeyClass::User, format!("s{i:03}"), "snapshot")]);
    }
    tree.rotate(applied, Bytes::from_static(b"from a peer"), &[]);
    let mut job = tree.flush_job().expect("something is frozen");
    loop {
        if let Progress::Done(change) = job.step(300).expect("the disk works") {
            opened.store.commit(A, &mut tree, change).expect("the disk works");
            break;
        }
    }
    let checkpoint = opened.store.checkpoint(A, &tree).expect("it lives");
    opened.store.keep_snapshot(A, &checkpoint).expect("the disk works")
}
