//! The bytes of a table are a promise: docs/formats-sstable.md shows them.

mod hexdump;
mod tree_support;

use std::path::PathBuf;

use doug_sim_disk::SimDisk;
use doug_storage::table::{
    Candidates, Compression, LeaseId, Slot, TableBuilder, TableOptions, TimedBatch, ValueAttributes,
};
use doug_storage::tree::KeyClass;
use hexdump::hexdump;

/// The table of the document's example.
fn example() -> Vec<u8> {
    let disk = SimDisk::new(1);
    let path = PathBuf::from("/example.sst");
    let options = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let builder = TableBuilder::create(&disk, &path, 0x0123_4567_89ab_cdef, options).expect("new");
    let batch = |last, stamp, clock| TimedBatch { last, stamp, clock };
    let batches = [batch(4, 0x20_0000, 32), batch(6, 0x20_0001, 32), batch(9, 0x21_0000, 33)];
    let mut builder = builder.of_batches(Candidates::new(&batches, 0));
    let leased = ValueAttributes { lease: Some(LeaseId(300)), expiry: None };
    let green = Slot::Value { value: "green".into(), attributes: leased };
    for (key, revision, slot) in
        [("apple", 7, Slot::value("red")), ("apple", 3, green), ("apricot", 5, Slot::tombstone())]
    {
        let key = KeyClass::User.tree_key(key.as_bytes());
        builder.add(&key, revision, &slot).expect("works");
    }
    builder.finish().expect("works");
    tree_support::read_file(&disk, &path)
}

#[test]
fn the_documented_example_is_what_is_written() {
    let document = include_str!("../../../docs/formats-sstable.md");
    let dump = hexdump(&example());
    assert!(document.contains(&dump), "the example in docs/formats-sstable.md should be\n{dump}");
}
