//! A leader with a snapshot to send, and a follower that receives it.
#![allow(dead_code)] // each test file uses its part

use std::path::PathBuf;
use std::sync::Arc;

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::ReplicaKey;
use doug_storage::snapshot::{Incoming, Sending, Snapshot, SnapshotInfo};
use doug_storage::store::{Opened, Store};
use doug_storage::tree::{KeyClass, Op, Tree};

use crate::store_support::*;

/// B is a copy of A's partition on another node.
pub const TO: ReplicaKey = ReplicaKey { partition: A.partition, replica: 2 };

pub const CHUNK: usize = 900;

pub fn keys(range: std::ops::Range<u64>) -> Vec<Op> {
    // Digits that hardly compress.
    let digits = |i: u64| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()));
    let op = |i: u64| {
        let value: String = (0..6).map(|part| digits(i * 6 + part)).collect();
        Op::put(KeyClass::User, format!("key {i:04}"), value)
    };
    range.map(op).collect()
}

/// A leader with tables in several levels, on its disk.
pub struct Leader {
    pub disk: SimDisk,
    pub opened: Opened,
    pub tree: Tree,
}

impl Leader {
    pub fn new() -> Self {
        let disk = SimDisk::new(3);
        let opened =
            Store::open(Arc::new(disk.clone()), &dir(), options().salted(77)).expect("opens");
        let tree = opened.store.create_replica(&new_replica(A)).expect("new");
        let mut leader = Self { disk, opened, tree };
        for i in 1..=6 {
            leader.grow(i);
        }
        leader
    }

    /// Applies a command, flushes it, and compacts.
    pub fn grow(&mut self, index: u64) {
        self.tree.apply(index, &keys(index * 20..index * 20 + 40));
        let change = flush(&mut self.tree, index, &format!("state at {index}")).expect("works");
        self.opened.store.commit(A, &mut self.tree, change).expect("works");
        while let Some(change) = compaction(&mut self.tree) {
            self.opened.store.commit(A, &mut self.tree, change.expect("works")).expect("works");
        }
        self.opened.store.delete_obsolete_files().expect("works");
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        let checkpoint = self.opened.store.checkpoint(A, &self.tree).expect("it lives");
        self.opened.store.keep_snapshot(A, &checkpoint).expect("the disk works")
    }

    pub fn restart(mut self) -> Self {
        drop((self.opened, self.tree));
        self.disk.crash(Crash::LoseUnsynced);
        self.opened =
            Store::open(Arc::new(self.disk.clone()), &dir(), options().salted(78)).expect("opens");
        let found = replica(&mut self.opened, A);
        Self { disk: self.disk, opened: self.opened, tree: found.tree.expect("sound") }
    }
}

/// A replica that has applied one command before the snapshot comes.
pub struct Follower {
    pub disk: SimDisk,
    pub opened: Opened,
    pub tree: Tree,
}

impl Follower {
    pub fn new() -> Self {
        let disk = SimDisk::new(4);
        let opened = open(&disk);
        let mut tree = opened.store.create_replica(&new_replica(TO)).expect("new");
        tree.apply(1, &keys(0..3));
        let change = flush(&mut tree, 1, "").expect("the disk works");
        opened.store.commit(TO, &mut tree, change).expect("the disk works");
        Self { disk, opened, tree }
    }

    pub fn receive(&self, snapshot: &Snapshot) -> Incoming {
        self.opened.store.receive_snapshot(TO, snapshot.info().clone()).expect("a sound snapshot")
    }

    pub fn crash(self, crash: Crash) -> Self {
        drop((self.opened, self.tree));
        self.disk.crash(crash);
        let mut opened = open(&self.disk);
        let found = replica(&mut opened, TO);
        Self { disk: self.disk, opened, tree: found.tree.expect("sound") }
    }

    pub fn install(&mut self, incoming: Incoming) {
        let SnapshotInfo { applied, state, .. } = incoming.info().clone();
        let tables = self.opened.store.adopt_snapshot(&incoming).expect("all is there");
        let change = self.tree.snapshot_change(tables, applied, state);
        assert!(self.opened.store.install_snapshot(TO, &mut self.tree, change).expect("works"));
        incoming.delete().expect("the disk works");
        self.opened.store.delete_obsolete_files().expect("the disk works");
    }
}

/// Sends at most so many chunks; returns the bytes sent.
pub fn send(snapshot: &Arc<Snapshot>, incoming: &mut Incoming, chunks: usize) -> u64 {
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    let mut sent = 0;
    for _ in 0..chunks {
        let Some(chunk) = sending.next_chunk().expect("the disk works") else { break };
        sent += chunk.data.len() as u64;
        incoming.accept(&chunk).expect("sound");
    }
    sent
}

pub fn files(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.contents().into_keys().filter(|path| path.starts_with(dir)).collect()
}

pub fn same(a: &Tree, b: &Tree) {
    assert_eq!(contents(&a.view()), contents(&b.view()));
    assert_eq!(a.gc_floor(), b.gc_floor());
    let bytes =
        |tree: &Tree| tree.level_stats().iter().map(|level| level.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(a), bytes(b), "the very tables");
}
