//! A full volume, and what frees it: background work as a node's threads do it, on a disk that
//! holds only so many bytes.

mod support;

use doug_node::background::{Background, Step};
use doug_node::volume::{Needs, Purpose, Volume, WriteAdmission};
use doug_raft::Time;
use doug_storage::log::LogOptions;
use doug_storage::store::StoreOptions;
use doug_storage::tree::TreeOptions;
use std::sync::Arc;
use std::time::Duration;
use support::{Bench, delete, descriptor, put, write};

/// Bytes of the volume beside what the node needs of it when it is empty.
const CAPACITY: u64 = 600 << 10;
/// What the log may still take.
const LOG: u64 = 64 << 10;

struct Node {
    bench: Bench,
    volume: Arc<Volume>,
    now: Time,
}

impl Node {
    fn new() -> Self {
        let tree = TreeOptions { memtable_bytes: 32 << 10, ..TreeOptions::tiny() };
        let log =
            LogOptions { segment_bytes: 16 << 10, limit_bytes: 128 << 10, ..LogOptions::default() };
        let options = StoreOptions { tree, log, ..StoreOptions::default() };
        let bench = Bench::storing(descriptor(b"", b""), options);
        bench.disk.limit_bytes(Some(bench.disk.used() + CAPACITY));
        Self { bench, volume: Arc::default(), now: Time(0) }
    }

    /// A quarter of a second passes.
    fn pass(&mut self) {
        self.now = self.now.after(Duration::from_millis(250));
        let memtables = self.bench.partition.memtable_bytes();
        let needs = Needs { log: LOG, memtables };
        self.volume.measure(|| self.bench.store.space(), needs).expect("it can be measured");
        let flush = self.volume.wants_flushes(self.now) && !self.bench.partition.is_flushed();
        self.work(flush);
    }

    /// Everything that is due behind the scenes.
    fn work(&self, mut flush: bool) {
        let Bench { partition, store, .. } = &self.bench;
        while let Some(mut work) = Background::next(partition, flush, &self.volume, self.now) {
            flush = false;
            let change = loop {
                match work.step(4 << 10, &self.volume).expect("room was reserved") {
                    Step::More(more) => work = more,
                    Step::Done(change) => break Some(change),
                    Step::Nothing => break None,
                }
            };
            if let Some(change) = change {
                partition.publish(store, change).expect("the manifest has room");
                store.delete_obsolete_files().expect("deleting needs no room");
            }
        }
    }

    /// Until deletes are taken: some time, while what was deleted before makes room for more.
    fn wait_to_delete(&mut self) {
        let mut waited = 0;
        while self.volume.admit(true).is_err() {
            self.pass();
            waited += 1;
            assert!(waited <= 40, "deletes are refused for ten seconds");
        }
    }

    fn admission(&self) -> WriteAdmission {
        self.volume.admission()
    }
}

fn key(i: u64) -> String {
    format!("key {i:06}")
}

/// Text that hardly compresses.
fn value(i: u64) -> String {
    let word = |n: u64| (i * 1_000 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..25).map(|n| format!("{:016x}", word(n))).collect()
}

/// Writes until the volume refuses; returns how many keys it took.
fn fill(node: &mut Node) -> u64 {
    let mut written = 0;
    while node.admission() == WriteAdmission::Writes {
        node.bench.apply_one(write(None, vec![], vec![put(&key(written), &value(written))]));
        written += 1;
        assert!(written < 10_000, "the volume is never full");
        if written.is_multiple_of(8) {
            node.pass();
        }
    }
    written
}

/// Deletes these keys one by one, each as soon as the volume takes deletes.
fn delete_all(node: &mut Node, keys: impl IntoIterator<Item = u64>) {
    for i in keys {
        node.wait_to_delete();
        node.bench.apply_one(write(None, vec![], vec![delete(&key(i))]));
        if i % 8 == 7 {
            node.pass();
        }
    }
}

#[test]
fn deletes_of_everything_free_a_full_volume_without_a_restart() {
    let mut node = Node::new();
    let written = fill(&mut node);
    assert!(written > 200, "{written} keys");
    assert!(node.volume.admit(false).is_err());
    delete_all(&mut node, 0..written);
    // Nobody writes on: what is freed is freed by what was deleted.
    (0..100).for_each(|_| node.pass());
    assert_eq!(node.admission(), WriteAdmission::Writes);
    let room = node.volume.room().expect("measured");
    assert!(room.available > room.total / 8, "{room:?}");
    assert!(node.bench.get(key(7).as_bytes()).is_none());
    assert!(fill(&mut node) > written / 2, "and it takes as much again");
}

#[test]
fn deletes_of_a_part_free_what_they_can() {
    let mut node = Node::new();
    let written = fill(&mut node);
    delete_all(&mut node, (0..written).filter(|i| i % 3 != 0));
    (0..100).for_each(|_| node.pass());
    assert_eq!(node.admission(), WriteAdmission::Writes);
    for i in 0..written {
        let found = node.bench.get(key(i).as_bytes());
        assert_eq!(found, (i % 3 == 0).then(|| value(i).into()), "key {i}");
    }
}

#[test]
fn what_compactions_and_snapshots_have_promised_is_given_to_nobody_else() {
    let mut node = Node::new();
    node.pass();
    let room = node.volume.room_to_compact();
    let snapshot = node.volume.reserve(Purpose::Snapshot, room / 3 * 2).expect("there is room");
    assert!(node.volume.reserve(Purpose::Snapshot, room / 3 * 2).is_none());
    assert!(node.volume.reserve_to_compact(room / 2).is_none());
    drop(snapshot);
    assert!(node.volume.reserve_to_compact(room / 2).is_some());
}
