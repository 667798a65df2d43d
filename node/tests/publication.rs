//! What goes on while a change of a partition's tables is on its way to the disk.

mod support;

use doug_node::apply::{AppliedWork, ReplicaData};
use doug_node::work::{ApplyBatch, ApplyWork, RequestId, encode_command};
use doug_raft::{Batch, BatchKind, BatchTime, PartitionId, Stamp};
use doug_sim_disk::SimDisk;
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;
use support::{Bench, KEY, put, write};

/// Longer than anything takes here that does not wait for the disk.
const LONG: Duration = Duration::from_secs(20);

/// A bench that has applied one command, and its disk.
fn bench() -> (Bench, SimDisk) {
    let mut bench = Bench::new();
    bench.apply_one(write(None, vec![], vec![put("k", "first")]));
    let disk = SimDisk::clone(&bench.disk);
    (bench, disk)
}

/// Applies one put at that index.
fn apply(partition: &ReplicaData, index: u64) -> AppliedWork {
    let command = encode_command(&write(None, vec![], vec![put("k", &format!("at {index}"))]));
    let time = BatchTime { stamp: Stamp(index), ..BatchTime::default() };
    let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, index, time, &[command]);
    let batches = vec![ApplyBatch { batch, waiting: vec![RequestId(index)] }];
    partition.apply(ApplyWork { replica: KEY, batches }).expect("it is applied")
}

/// Runs that until it waits for the disk.
fn until_held<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    disk: &SimDisk,
    run: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    disk.hold_syncs(true);
    let running = scope.spawn(run);
    while disk.held_syncs() == 0 {
        std::thread::yield_now();
    }
    running
}

/// What `run` says while the disk is held; the disk goes on before a test fails.
fn while_held<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    disk: &SimDisk,
    run: impl FnOnce() -> T + Send + 'scope,
) -> T {
    let (done, said) = mpsc::channel();
    scope.spawn(move || done.send(run()).expect("somebody waits"));
    said.recv_timeout(LONG).unwrap_or_else(|_| {
        disk.hold_syncs(false);
        panic!("it waits for the disk");
    })
}

#[test]
fn commands_are_applied_and_read_while_a_flush_waits_for_the_disk() {
    let (bench, disk) = bench();
    let (bench, change) = (&bench, bench.flushed());
    std::thread::scope(|scope| {
        let publishing = until_held(scope, &disk, || bench.partition.publish(&bench.store, change));
        let read = while_held(scope, &disk, || {
            apply(&bench.partition, 2);
            bench.get(b"k")
        });
        assert_eq!(read.as_deref(), Some(&b"at 2"[..]));
        assert_eq!(disk.held_syncs(), 1, "the flush is not durable yet");
        disk.hold_syncs(false);
        let published = publishing.join().expect("no panic").expect("the disk works");
        assert_eq!(published.expect("nothing made it void").index, 1);
    });
    assert_eq!(bench.get(b"k").as_deref(), Some(&b"at 2"[..]), "the newer value is on top");
    assert_eq!(bench.tables().len(), 1);
}

#[test]
fn a_memtable_that_fills_up_while_a_flush_waits_for_the_disk_is_flushed_after_it() {
    let (bench, disk) = bench();
    let (bench, change) = (&bench, bench.flushed());
    std::thread::scope(|scope| {
        let publishing = until_held(scope, &disk, || bench.partition.publish(&bench.store, change));
        let second = while_held(scope, &disk, || {
            apply(&bench.partition, 2);
            bench.partition.jobs(true).flush.is_some()
        });
        assert!(!second, "one flush at a time");
        disk.hold_syncs(false);
        publishing.join().expect("no panic").expect("the disk works").expect("not void");
    });
    bench.flush();
    assert_eq!(bench.partition.published(&bench.store).expect("it lives").applied().index, 2);
}

#[test]
fn a_snapshot_to_be_sent_holds_what_is_installed_and_no_half_published_change() {
    let (bench, disk) = bench();
    let (bench, change) = (&bench, bench.flushed());
    std::thread::scope(|scope| {
        let publishing = until_held(scope, &disk, || bench.partition.publish(&bench.store, change));
        let sending = scope.spawn(|| bench.partition.published(&bench.store));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!sending.is_finished(), "manifest and tree differ while the edit is on its way");
        disk.hold_syncs(false);
        publishing.join().expect("no panic").expect("the disk works").expect("not void");
        let sent = sending.join().expect("no panic").expect("it lives");
        assert_eq!(sent.applied().index, 1);
    });
}

#[test]
fn a_replica_removed_while_its_flush_is_on_its_way_leaves_no_table_behind() {
    let (bench, disk) = bench();
    let change = bench.flushed();
    std::thread::scope(|scope| {
        let bench = &bench;
        let publishing = until_held(scope, &disk, || bench.partition.publish(&bench.store, change));
        let removing = scope.spawn(|| bench.store.remove_replica(KEY));
        disk.hold_syncs(false);
        publishing.join().expect("no panic").expect("the disk works");
        removing.join().expect("no panic").expect("the disk works");
    });
    let Bench { store, partition, .. } = bench;
    drop(partition);
    store.delete_obsolete_files().expect("the disk works");
    let left = disk.files().into_iter().filter(|file| file.starts_with("node/sst"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_flush_of_a_replica_fenced_meanwhile_publishes_nothing() {
    let (bench, disk) = bench();
    let change = bench.flushed();
    bench.store.fence_replica(KEY, "a test").expect("the disk works");
    let published = bench.partition.publish(&bench.store, change).expect("it is no failure");
    assert_eq!(published, None);
    bench.store.delete_obsolete_files().expect("the disk works");
    let left = disk.files().into_iter().filter(|file| file.starts_with("node/sst"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_flush_begun_before_a_snapshot_is_void_whenever_it_is_published() {
    let mut source = Bench::new();
    for value in ["a", "b", "c"] {
        source.apply_one(write(None, vec![], vec![put("k", value)]));
    }
    let (bench, disk) = bench();
    let (tables, info) = bench.receive(&source);
    let (bench, change) = (&bench, bench.flushed());
    std::thread::scope(|scope| {
        let installing = until_held(scope, &disk, || {
            bench.partition.install_snapshot(&bench.store, tables, info.applied, info.state)
        });
        let publishing = scope.spawn(|| bench.partition.publish(&bench.store, change));
        disk.hold_syncs(false);
        let installed = installing.join().expect("no panic").expect("the disk works");
        assert_eq!(installed.index, 3);
        assert_eq!(publishing.join().expect("no panic").expect("the disk works"), None);
    });
    assert_eq!(bench.get(b"k").as_deref(), Some(&b"c"[..]));
}

#[test]
fn sizes_are_told_and_work_is_given_back_while_a_snapshot_waits_for_the_disk() {
    let mut source = Bench::new();
    for value in ["a", "b", "c"] {
        source.apply_one(write(None, vec![], vec![put("k", value)]));
    }
    let (bench, disk) = bench();
    let (tables, info) = bench.receive(&source);
    let (bench, partition) = (&bench, &bench.partition);
    let again = |rest: Option<ApplyWork>| partition.apply(rest.expect("it was given back"));
    std::thread::scope(|scope| {
        let installing = until_held(scope, &disk, || {
            partition.install_snapshot(&bench.store, tables, info.applied, info.state)
        });
        let (bytes, second, fourth) = while_held(scope, &disk, || {
            (partition.bytes(), apply(partition, 2), apply(partition, 4))
        });
        assert!(bytes > 0);
        // Applied to what is about to be replaced, it would be answered and forgotten.
        assert!(second.outcomes.is_empty() && fourth.outcomes.is_empty());
        disk.hold_syncs(false);
        installing.join().expect("no panic").expect("the disk works");
        assert_eq!(again(second.rest).expect("it is skipped").overtaken, [RequestId(2)]);
        assert_eq!(again(fourth.rest).expect("it is applied").outcomes.len(), 1);
    });
    assert_eq!(bench.get(b"k").as_deref(), Some(&b"at 4"[..]));
}
