//! A snapshot on its way: cut anywhere it goes on where it stopped, damaged it is refused,
//! and nothing is left behind.

mod store_support;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::snapshot::{Chunk, IDLE_MICROSECONDS, Incoming, Sending, Snapshot, SnapshotInfo};
use doug_storage::store::{Opened, Store};
use doug_storage::tree::{KeyClass, Op, Tree};
use doug_storage::{Applied, ReplicaKey, Result, StorageError};
use store_support::*;

/// B is a copy of A's partition on another node.
const TO: ReplicaKey = ReplicaKey { partition: A.partition, replica: 2 };
const CHUNK: usize = 900;

fn keys(range: std::ops::Range<u64>) -> Vec<Op> {
    // Digits that hardly compress.
    let digits = |i: u64| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()));
    let op = |i: u64| {
        let value: String = (0..6).map(|part| digits(i * 6 + part)).collect();
        Op::put(KeyClass::User, format!("key {i:04}"), value)
    };
    range.map(op).collect()
}

/// A leader with tables in several levels, on its disk.
struct Leader {
    disk: SimDisk,
    opened: Opened,
    tree: Tree,
}

impl Leader {
    fn new() -> Self {
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
    fn grow(&mut self, index: u64) {
        self.tree.apply(index, &keys(index * 20..index * 20 + 40));
        let change = flush(&mut self.tree, index, &format!("state at {index}")).expect("works");
        self.opened.store.commit(A, &mut self.tree, change).expect("works");
        while let Some(change) = compaction(&mut self.tree) {
            self.opened.store.commit(A, &mut self.tree, change.expect("works")).expect("works");
        }
        self.opened.store.delete_obsolete_files().expect("works");
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let checkpoint = self.opened.store.checkpoint(A, &self.tree).expect("it lives");
        self.opened.store.keep_snapshot(A, &checkpoint).expect("the disk works")
    }

    fn restart(mut self) -> Self {
        drop((self.opened, self.tree));
        self.disk.crash(Crash::LoseUnsynced);
        self.opened =
            Store::open(Arc::new(self.disk.clone()), &dir(), options().salted(78)).expect("opens");
        let found = replica(&mut self.opened, A);
        Self { disk: self.disk, opened: self.opened, tree: found.tree.expect("sound") }
    }
}

struct Follower {
    disk: SimDisk,
    opened: Opened,
    tree: Tree,
}

impl Follower {
    fn new() -> Self {
        let disk = SimDisk::new(4);
        let opened = open(&disk);
        let mut tree = opened.store.create_replica(&new_replica(TO)).expect("new");
        tree.apply(1, &keys(0..3));
        let change = flush(&mut tree, 1, "").expect("the disk works");
        opened.store.commit(TO, &mut tree, change).expect("the disk works");
        Self { disk, opened, tree }
    }

    fn receive(&self, snapshot: &Snapshot) -> Incoming {
        self.opened.store.receive_snapshot(TO, snapshot.info().clone()).expect("a sound snapshot")
    }

    fn crash(self, crash: Crash) -> Self {
        drop((self.opened, self.tree));
        self.disk.crash(crash);
        let mut opened = open(&self.disk);
        let found = replica(&mut opened, TO);
        Self { disk: self.disk, opened, tree: found.tree.expect("sound") }
    }

    fn install(&mut self, incoming: Incoming) {
        let SnapshotInfo { applied, state, .. } = incoming.info().clone();
        let tables = self.opened.store.adopt_snapshot(&incoming).expect("all is there");
        let change = self.tree.snapshot_change(tables, applied, state);
        assert!(self.opened.store.install_snapshot(TO, &mut self.tree, change).expect("works"));
        incoming.delete().expect("the disk works");
        self.opened.store.delete_obsolete_files().expect("the disk works");
    }
}

/// Sends at most so many chunks; returns the bytes sent.
fn send(snapshot: &Arc<Snapshot>, incoming: &mut Incoming, chunks: usize) -> u64 {
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    let mut sent = 0;
    for _ in 0..chunks {
        let Some(chunk) = sending.next_chunk().expect("the disk works") else { break };
        sent += chunk.data.len() as u64;
        incoming.accept(&chunk).expect("sound");
    }
    sent
}

fn files(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.contents().into_keys().filter(|path| path.starts_with(dir)).collect()
}

fn same(a: &Tree, b: &Tree) {
    assert_eq!(contents(&a.view()), contents(&b.view()));
    assert_eq!(a.gc_floor(), b.gc_floor());
    let bytes =
        |tree: &Tree| tree.level_stats().iter().map(|level| level.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(a), bytes(b), "the very tables");
}

#[test]
fn a_snapshot_brings_the_very_tables_in_one_edit() {
    let (leader, mut follower) = (Leader::new(), Follower::new());
    let snapshot = leader.snapshot();
    assert!(snapshot.info().tables.len() > 3, "{snapshot:?}");
    let mut incoming = follower.receive(&snapshot);
    let bytes = send(&snapshot, &mut incoming, usize::MAX);
    assert_eq!(bytes, snapshot.info().bytes());
    follower.install(incoming);
    same(&leader.tree, &follower.tree);
    assert_eq!(files(&follower.disk, "/data/incoming"), Vec::<PathBuf>::new());
    let mut follower = follower.crash(Crash::LoseUnsynced);
    same(&leader.tree, &follower.tree);
    assert_eq!(replica_state(&mut follower), "state at 6");
}

fn replica_state(follower: &mut Follower) -> String {
    let checkpoint = follower.opened.store.checkpoint(TO, &follower.tree).expect("it lives");
    let kept = follower.opened.store.keep_snapshot(TO, &checkpoint).expect("the disk works");
    String::from_utf8_lossy(&kept.info().state).into_owned()
}

#[test]
fn a_stream_cut_after_any_chunk_goes_on_without_sending_a_byte_twice() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    let total = snapshot.info().bytes();
    let chunks = snapshot.info().tables.iter().map(|t| t.size.div_ceil(CHUNK as u64)).sum::<u64>();
    for cut in 0..=chunks as usize {
        let mut follower = Follower::new();
        let mut incoming = follower.receive(&snapshot);
        let before = send(&snapshot, &mut incoming, cut);
        drop(incoming);
        let mut incoming = follower.receive(&snapshot);
        assert_eq!(incoming.remaining(), total - before, "cut after {cut} chunks");
        let after = send(&snapshot, &mut incoming, usize::MAX);
        assert_eq!(before + after, total, "cut after {cut} chunks");
        follower.install(incoming);
        same(&leader.tree, &follower.tree);
    }
}

#[test]
fn a_receiver_that_dies_after_any_chunk_has_all_of_them_when_it_returns() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    let chunks = snapshot.info().tables.iter().map(|t| t.size.div_ceil(CHUNK as u64)).sum::<u64>();
    for cut in 0..=chunks as usize {
        for crash in [Crash::Process, Crash::KeepSome, Crash::LoseUnsynced] {
            let follower = Follower::new();
            follower.disk.reseed(cut as u64);
            let mut incoming = follower.receive(&snapshot);
            let before = send(&snapshot, &mut incoming, cut);
            drop(incoming);
            let mut follower = follower.crash(crash);
            let mut incoming = follower.receive(&snapshot);
            let after = send(&snapshot, &mut incoming, usize::MAX);
            let twice = before + after - snapshot.info().bytes();
            // A power loss takes no more than the table under way: whole ones are durable.
            let largest = snapshot.info().tables.iter().map(|t| t.size).max().expect("tables");
            let allowed = if crash == Crash::Process { 0 } else { largest };
            assert!(twice <= allowed, "{crash:?} after {cut} chunks: {twice} bytes twice");
            follower.install(incoming);
            same(&leader.tree, &follower.tree);
        }
    }
}

#[test]
fn bytes_whose_sync_failed_are_written_anew_before_they_count_as_durable() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    let follower = Follower::new();
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    follower.disk.fail_next_sync();
    let failed = std::iter::from_fn(|| sending.next_chunk().expect("the disk works"))
        .find_map(|chunk| incoming.accept(&chunk).err())
        .expect("a whole table is synced");
    assert!(failed.is_fatal(), "{failed}");
    drop(incoming);
    // The process ends, and its successor reads from memory what the disk never got.
    let mut follower = follower.crash(Crash::Process);
    let mut incoming = follower.receive(&snapshot);
    send(&snapshot, &mut incoming, usize::MAX);
    follower.install(incoming);
    let follower = follower.crash(Crash::LoseUnsynced);
    same(&leader.tree, &follower.tree);
}

#[test]
fn a_sender_that_restarts_goes_on_with_the_same_snapshot_though_its_tables_are_gone() {
    let leader = Leader::new();
    let mut follower = Follower::new();
    let snapshot = leader.snapshot();
    let total = snapshot.info().bytes();
    let mut incoming = follower.receive(&snapshot);
    let before = send(&snapshot, &mut incoming, 5);
    drop((incoming, snapshot));
    let mut leader = leader.restart();
    for i in 7..=12 {
        leader.grow(i);
    }
    assert!(leader.opened.store.find_snapshot(A, 7).is_none(), "it ends at 6");
    let snapshot = leader.opened.store.find_snapshot(A, 6).expect("it was kept");
    let mut incoming = follower.receive(&snapshot);
    let after = send(&snapshot, &mut incoming, usize::MAX);
    assert_eq!(before + after, total);
    follower.install(incoming);
    assert_eq!(follower.tree.revision(), 6);
}

#[test]
fn another_leader_with_the_same_tables_goes_on_where_the_first_one_stopped() {
    let leader = Leader::new();
    let mut second = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = second.receive(&snapshot);
    send(&snapshot, &mut incoming, usize::MAX);
    second.install(incoming);

    let mut third = Follower::new();
    let mut incoming = third.receive(&snapshot);
    let before = send(&snapshot, &mut incoming, 7);
    drop((incoming, leader));
    let checkpoint = second.opened.store.checkpoint(TO, &second.tree).expect("it lives");
    let from_second = second.opened.store.keep_snapshot(TO, &checkpoint).expect("works");
    let mut incoming = third.receive(&from_second);
    let after = send(&from_second, &mut incoming, usize::MAX);
    assert_eq!(before + after, from_second.info().bytes());
    third.install(incoming);
    same(&second.tree, &third.tree);
}

#[test]
fn a_newer_snapshot_brings_only_the_tables_that_are_new() {
    let mut leader = Leader::new();
    let mut follower = Follower::new();
    let first = leader.snapshot();
    let mut incoming = follower.receive(&first);
    send(&first, &mut incoming, usize::MAX);
    drop(incoming);
    leader.grow(7);
    let second = leader.snapshot();
    let shared = |a: &Snapshot, b: &Snapshot| -> u64 {
        let known = |id| a.info().tables.iter().any(|table| table.identity == id);
        b.info().tables.iter().filter(|t| known(t.identity)).map(|t| t.size).sum()
    };
    assert!(shared(&first, &second) > 0, "compaction left some tables alone");
    let mut incoming = follower.receive(&second);
    let sent = send(&second, &mut incoming, usize::MAX);
    assert_eq!(sent, second.info().bytes() - shared(&first, &second));
    follower.install(incoming);
    same(&leader.tree, &follower.tree);
    // The third time, the tables are in the follower's own tree.
    leader.grow(8);
    let third = leader.snapshot();
    let mut incoming = follower.receive(&third);
    let sent = send(&third, &mut incoming, usize::MAX);
    assert_eq!(sent, third.info().bytes() - shared(&second, &third));
    follower.install(incoming);
    same(&leader.tree, &follower.tree);
}

#[test]
fn a_damaged_chunk_is_refused_and_asked_for_again() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot, incoming.lacking(), CHUNK).expect("known");
    let first = sending.next_chunk().expect("the disk works").expect("a chunk");
    let second = sending.next_chunk().expect("the disk works").expect("a chunk");
    incoming.accept(&first).expect("sound");
    let mut data = second.data.to_vec();
    data[17] ^= 1;
    let wrong = [
        Chunk { data: Bytes::from(data), ..second.clone() },
        Chunk { offset: second.offset + 1, ..second.clone() },
        Chunk { table: 1, ..second.clone() },
        Chunk { table: 1_000, ..second.clone() },
        Chunk { data: Bytes::new(), ..second.clone() },
        first.clone(),
    ];
    let before = incoming.lacking();
    for wrong in wrong {
        let error = incoming.accept(&wrong).expect_err("it must not be stored");
        assert!(error.to_string().ends_with("send it again"), "{error}");
        assert_eq!(incoming.lacking(), before);
    }
    incoming.accept(&second).expect("sound");
}

#[test]
fn a_table_that_was_damaged_at_its_source_is_never_installed() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let link = files(&leader.disk, "/data/outgoing")
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "sst"));
    leader.disk.flip_bit(&link.expect("a table"), 100, 3);
    let mut incoming = follower.receive(&snapshot);
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), CHUNK).expect("known");
    let error = loop {
        let chunk = sending.next_chunk().expect("the disk works").expect("damage is met first");
        if let Err(error) = incoming.accept(&chunk) {
            break error;
        }
    };
    assert!(error.to_string().contains("arrived damaged"), "{error}");
    assert!(follower.opened.store.adopt_snapshot(&incoming).is_err());
    // The sender finds that it is its own copy.
    let found = leader.opened.store.look_for_damage(&snapshot);
    assert!(matches!(found, Err(StorageError::Corruption(_))), "its tree shares the table");
    // What is damaged is not sent again.
    assert!(leader.opened.store.find_snapshot(snapshot.replica(), 0).is_none());
}

#[test]
fn a_snapshot_that_was_damaged_on_its_way_is_sent_again() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    leader.opened.store.look_for_damage(&snapshot).expect("nothing is wrong here");
    assert!(leader.opened.store.find_snapshot(snapshot.replica(), 0).is_some());
}

#[test]
fn own_tables_that_are_damaged_are_sent_and_not_linked() {
    let leader = Leader::new();
    let mut follower = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = follower.receive(&snapshot);
    send(&snapshot, &mut incoming, usize::MAX);
    follower.install(incoming);
    assert_eq!(follower.receive(&snapshot).remaining(), 0, "it has every table");
    let table = files(&follower.disk, "/data/sst").remove(0);
    drop(follower.receive(&snapshot).delete());
    follower.disk.flip_bit(&table, 50, 1);
    assert!(follower.receive(&snapshot).remaining() > 0);
}

#[test]
fn a_replica_receives_one_snapshot_at_a_time() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let incoming = follower.receive(&snapshot);
    let again = follower.opened.store.receive_snapshot(TO, snapshot.info().clone());
    assert!(matches!(again, Err(StorageError::Refused(_))));
    drop(incoming);
    follower.receive(&snapshot);
}

#[test]
fn what_a_receiver_gave_up_goes_when_another_snapshot_begins_or_after_a_while() {
    let mut leader = Leader::new();
    let follower = Follower::new();
    let first = leader.snapshot();
    let mut incoming = follower.receive(&first);
    send(&first, &mut incoming, 12);
    drop(incoming);
    for i in 7..=16 {
        leader.grow(i);
    }
    let second = leader.snapshot();
    drop(follower.receive(&second));
    let known = |path: &PathBuf| {
        let name = path.to_string_lossy().into_owned();
        second.info().tables.iter().any(|t| name.contains(&format!("{:016x}", t.identity)))
    };
    assert!(files(&follower.disk, "/data/incoming").iter().all(known), "only what it shares");
    let mut incoming = follower.receive(&second);
    send(&second, &mut incoming, 12);
    drop(incoming);
    let store = &follower.opened.store;
    store.tidy_snapshots(10).expect("the disk works");
    assert!(!files(&follower.disk, "/data/incoming").is_empty(), "the sender may come back");
    store.tidy_snapshots(10 + IDLE_MICROSECONDS).expect("the disk works");
    assert!(files(&follower.disk, "/data/incoming").is_empty());
}

#[test]
fn what_a_sender_kept_goes_when_sent_superseded_or_idle_and_never_while_it_is_sent() {
    let mut leader = Leader::new();
    let first = leader.snapshot();
    leader.grow(7);
    let second = leader.snapshot();
    let kept = |leader: &Leader| {
        let described = |path: &&PathBuf| path.extension().is_some_and(|e| e == "snapshot");
        files(&leader.disk, "/data/outgoing").iter().filter(described).count()
    };
    let tidy = |leader: &Leader, now| leader.opened.store.tidy_snapshots(now).expect("works");
    tidy(&leader, 1 << 50);
    assert_eq!(kept(&leader), 2, "both are sent");
    drop(first);
    tidy(&leader, 1 << 50);
    assert_eq!(kept(&leader), 1, "the first is superseded");
    drop(second);
    tidy(&leader, 1 << 50);
    assert_eq!(kept(&leader), 1, "its receiver may come back");
    leader.opened.store.snapshot_sent(A);
    tidy(&leader, 1 << 50);
    assert_eq!(files(&leader.disk, "/data/outgoing"), Vec::<PathBuf>::new());
    drop(leader.snapshot());
    tidy(&leader, 1);
    tidy(&leader, IDLE_MICROSECONDS);
    assert_eq!(kept(&leader), 1);
    tidy(&leader, 1 + IDLE_MICROSECONDS);
    assert_eq!(files(&leader.disk, "/data/outgoing"), Vec::<PathBuf>::new());
}

#[test]
fn snapshots_of_a_removed_replica_go_with_it() {
    let leader = Leader::new();
    let follower = Follower::new();
    let snapshot = leader.snapshot();
    let mut incoming = follower.receive(&snapshot);
    send(&snapshot, &mut incoming, 12);
    drop((incoming, snapshot));
    leader.opened.store.remove_replica(A).expect("the disk works");
    follower.opened.store.remove_replica(TO).expect("the disk works");
    leader.opened.store.tidy_snapshots(1).expect("the disk works");
    follower.opened.store.tidy_snapshots(1).expect("the disk works");
    assert!(files(&leader.disk, "/data/outgoing").is_empty());
    assert!(files(&follower.disk, "/data/incoming").is_empty());
}

/// Everything a receiver does, with chunks from a disk that never fails.
fn receive_all(disk: &SimDisk, snapshot: &Arc<Snapshot>) -> Result<()> {
    let mut opened = try_open(disk)?;
    let mut tree = match opened.replicas.is_empty() {
        true => opened.store.create_replica(&new_replica(TO))?,
        false => replica(&mut opened, TO).tree?,
    };
    let SnapshotInfo { applied, state, .. } = snapshot.info().clone();
    if tree.revision() == applied.index {
        return Ok(());
    }
    let mut incoming = opened.store.receive_snapshot(TO, snapshot.info().clone())?;
    let mut sending = Sending::new(snapshot.clone(), incoming.lacking(), 1 << 10)?;
    while let Some(chunk) = sending.next_chunk()? {
        incoming.accept(&chunk)?;
    }
    let tables = opened.store.adopt_snapshot(&incoming)?;
    let change = tree.snapshot_change(tables, applied, state);
    assert!(opened.store.install_snapshot(TO, &mut tree, change)?);
    incoming.delete()
}

#[test]
fn a_crash_at_every_disk_operation_of_the_receiver_leaves_the_old_tree_or_the_snapshot() {
    let leader = Leader::new();
    let snapshot = leader.snapshot();
    let whole = SimDisk::new(0);
    receive_all(&whole, &snapshot).expect("the disk works");
    for at in 1..=whole.operations() {
        for (seed, crash) in [(1, Crash::LoseUnsynced), (2, Crash::KeepSome), (3, Crash::Process)] {
            let disk = SimDisk::new(at * 10 + seed);
            disk.fail_at(at, doug_sim_disk::Fault::PowerLoss);
            let _ = receive_all(&disk, &snapshot);
            disk.crash(crash);
            let context = format!("{crash:?} at operation {at}");
            let mut opened = try_open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            if let Some(at) = opened.replicas.iter().position(|found| found.key == TO) {
                let found = opened.replicas.remove(at);
                let tree = found.tree.unwrap_or_else(|error| panic!("{context}: {error}"));
                let expected = match found.applied.index {
                    0 => Default::default(),
                    _ => contents(&leader.tree.view()),
                };
                assert_eq!(contents(&tree.view()), expected, "{context}");
                assert_eq!(files(&disk, "/data/sst").len(), tree.image().tables.len(), "{context}");
            }
            drop(opened);
            receive_all(&disk, &snapshot).unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = replica(&mut open(&disk), TO);
            assert_eq!(found.applied, Applied { index: 6, term: 1 }, "{context}");
            same(&leader.tree, &found.tree.expect("sound"));
        }
    }
}

#[test]
fn a_crash_at_every_disk_operation_of_the_sender_leaves_a_whole_snapshot_or_none() {
    let leader = Leader::new();
    let operations = leader.disk.operations();
    let whole = leader.snapshot().info().clone();
    let steps = leader.disk.operations() - operations;
    for at in 1..=steps {
        for (seed, crash) in [(1, Crash::LoseUnsynced), (2, Crash::KeepSome), (3, Crash::Process)] {
            let leader = Leader::new();
            leader.disk.reseed(at * 10 + seed);
            leader.disk.fail_at(leader.disk.operations() + at, doug_sim_disk::Fault::PowerLoss);
            let checkpoint = leader.opened.store.checkpoint(A, &leader.tree).expect("it lives");
            assert!(leader.opened.store.keep_snapshot(A, &checkpoint).is_err());
            drop((leader.opened, leader.tree));
            leader.disk.crash(crash);
            let opened =
                Store::open(Arc::new(leader.disk.clone()), &dir(), options()).expect("opens");
            let left = files(&leader.disk, "/data/outgoing").len();
            match opened.store.find_snapshot(A, 0) {
                Some(kept) => {
                    assert_eq!((kept.info(), left), (&whole, whole.tables.len() + 1));
                    kept.verify().expect("sound");
                }
                None => assert_eq!(left, 0, "{crash:?} at operation {at}"),
            }
        }
    }
}
