//! A memtable holds what it says: its own copies, and nothing of what they came in.

mod tree_support;

use bytes::Bytes;
use doug_storage::tree::{KeyClass, Op, TreeOptions};
use tree_support::Keeper;

const MEMTABLE: usize = 16 << 20;

fn keeper() -> Keeper {
    Keeper::new(TreeOptions { memtable_bytes: MEMTABLE, ..TreeOptions::default() })
}

/// A message of a hundred compare-and-sets of 1 KiB, of which one succeeds: its key and
/// value are slices of the message.
fn message(number: u64) -> (Bytes, Op) {
    let frame = Bytes::from(vec![number as u8; 100 * 1_100]);
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(&frame[..16]);
    let value = frame.slice(5_000..5_000 + 1_024);
    (frame, Op::put(KeyClass::User, key, value))
}

#[test]
fn what_is_applied_keeps_no_message_in_memory() {
    let mut keeper = keeper();
    let mut frames = Vec::new();
    for number in 1..=200 {
        let (frame, op) = message(number);
        let key = frame.slice(..24);
        keeper.tree.apply(number, &[op, Op::put(KeyClass::User, key, frame.slice(..100_000))]);
        frames.push(frame);
    }
    assert!(frames.iter().all(Bytes::is_unique), "a memtable holds on to a message");
}

#[test]
fn one_success_in_a_hundred_fills_a_memtable_with_no_more_than_its_size() {
    let mut keeper = keeper();
    let (mut number, mut payload) = (0, 0);
    while !keeper.tree.wants_rotation() {
        number += 1;
        let (_, op) = message(number);
        payload += op.key.len() + op.slot.len();
        keeper.tree.apply(number, &[op]);
    }
    let held = keeper.tree.memtable_bytes();
    assert!(held < MEMTABLE + (256 << 10), "{held} bytes are held");
    // The rest is the index, the ends of chunks, and a byte of class and kind each.
    assert!(payload > MEMTABLE * 85 / 100, "{payload} bytes of keys and values are in {held}");
    keeper.rotate();
    assert_eq!((keeper.tree.memtable_bytes(), keeper.tree.frozen_bytes()), (0, held));
}

#[test]
fn small_entries_count_with_the_node_of_the_index_that_each_has() {
    let mut keeper = keeper();
    for number in 1..=10_000 {
        keeper.put(number, &format!("{number:08}"), "v");
    }
    let each = keeper.tree.memtable_bytes() / 10_000;
    // Nine bytes of key and value; a handle to them, a revision, a counter and a tower.
    assert!((80..160).contains(&each), "{each} bytes an entry");
}

#[test]
fn a_memtable_that_holds_little_is_small() {
    let mut keeper = keeper();
    assert_eq!(keeper.tree.memtable_bytes(), 0);
    keeper.put(1, "a", "x");
    assert!(keeper.tree.memtable_bytes() < 5 << 10, "{}", keeper.tree.memtable_bytes());
}

#[test]
fn a_value_in_a_readers_hands_keeps_no_chunk_of_the_memtable() {
    let mut keeper = keeper();
    keeper.put(1, "a", "small");
    keeper.put(2, "b", &"large".repeat(10_000));
    let view = keeper.tree.view();
    let (small, large) = (view.get(b"a", None).unwrap(), view.get(b"b", None).unwrap());
    assert!(small.unwrap().value.is_unique(), "it is a copy");
    assert!(!large.unwrap().value.is_unique(), "a chunk of its own need not be copied");
}
