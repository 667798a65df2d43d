//! A snapshot on its way: cut anywhere, it goes on where it stopped, whoever sends the rest.

mod snapshot_support;
mod store_support;

use std::path::PathBuf;

use doug_sim_disk::Crash;
use doug_storage::StorageError;
use doug_storage::snapshot::Snapshot;
use snapshot_support::*;
use store_support::*;

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
