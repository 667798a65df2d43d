//! Filters and indexes have their bytes: what has no room is read anew, and nothing else changes.

mod store_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::SimDisk;
use doug_storage::store::{Opened, Store, StoreOptions};
use doug_storage::tree::{KeyClass, Op, Tree};
use store_support::*;

const KEYS: u64 = 1_200;

fn name(n: u64) -> String {
    format!("k{n:05}")
}

/// A replica of many small tables, in a store whose filters and indexes may take `bytes`.
fn filled(bytes: u64) -> (Opened, Tree) {
    let disk = SimDisk::new(1);
    let mut tables = options().tree;
    tables.table_bytes = 512;
    let options = StoreOptions { cache_bytes: 0, lookup_bytes: bytes, tree: tables, ..options() };
    let opened = Store::open(Arc::new(disk), &dir(), options).expect("the store opens");
    let mut tree = opened.store.create_replica(&new_replica(A)).expect("new");
    for (index, from) in (1..).zip((0..KEYS).step_by(40)) {
        let ops = (from..from + 40).map(|n| Op::put(KeyClass::User, name(n), name(n)));
        tree.apply(index, &ops.collect::<Vec<_>>());
        let change = flush(&mut tree, index, "").expect("a flush gets through");
        opened.store.commit(A, &mut tree, change).expect("the disk works");
    }
    (opened, tree)
}

/// Reads every key once, and then all in order.
fn check(tree: &Tree) {
    let view = tree.view();
    for n in 0..KEYS {
        let found = view.get(name(n).as_bytes(), None).expect("sound").expect("it was put");
        assert_eq!(found.value, Bytes::from(name(n)));
    }
    let all: BTreeMap<_, _> = (0..KEYS).map(|n| (name(n), name(n))).collect();
    assert_eq!(contents(&view), all);
}

#[test]
fn with_room_for_all_each_is_read_once() {
    let (opened, tree) = filled(1 << 20);
    let (cache, read) = (opened.store.cache(), opened.store.cache().lookups_read());
    check(&tree);
    assert_eq!(cache.lookups_read(), read);
    assert!(cache.lookup_bytes() > 0);
}

#[test]
fn without_room_they_are_read_each_time_and_every_key_is_found() {
    let (opened, tree) = filled(0);
    let read = opened.store.cache().lookups_read();
    check(&tree);
    assert_eq!(opened.store.cache().lookup_bytes(), 0);
    assert!(opened.store.cache().lookups_read() >= read + KEYS);
}

#[test]
fn with_little_room_they_stay_within_it() {
    let room = 4 << 10;
    let (opened, tree) = filled(room);
    check(&tree);
    let (held, read) = (opened.store.cache().lookup_bytes(), opened.store.cache().lookups_read());
    assert!(held > 0 && held <= room, "{held} bytes");
    assert!(read < KEYS, "those read again and again stay: {read}");
}

#[test]
fn a_table_that_goes_takes_its_own_along() {
    let (opened, mut tree) = filled(1 << 20);
    let before = opened.store.cache().lookup_bytes();
    while let Some(change) = compaction(&mut tree) {
        opened.store.commit(A, &mut tree, change.expect("sound")).expect("the disk works");
    }
    opened.store.delete_obsolete_files().expect("the disk works");
    check(&tree);
    let after = opened.store.cache().lookup_bytes();
    assert!(after < 2 * before, "{before} bytes before, {after} after");
    drop(tree);
    assert_eq!(opened.store.cache().lookup_bytes(), 0);
}
