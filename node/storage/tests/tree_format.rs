//! The bytes of a table are a promise: docs/formats-sstable.md shows them.

mod hexdump;
mod tree_support;

use std::path::PathBuf;

use doug_sim_disk::SimDisk;
use doug_storage::table::{Compression, TableBuilder, TableOptions};
use hexdump::hexdump;

/// The table of the document's example.
fn example() -> Vec<u8> {
    let disk = SimDisk::new(1);
    let path = PathBuf::from("/example.sst");
    let options = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let mut builder =
        TableBuilder::create(&disk, &path, 0x0123_4567_89ab_cdef, options).expect("new");
    builder.add(b"apple", 7, Some(b"red")).expect("works");
    builder.add(b"apple", 3, Some(b"green")).expect("works");
    builder.add(b"apricot", 5, None).expect("works");
    builder.finish().expect("works");
    tree_support::read_file(&disk, &path)
}

#[test]
fn the_documented_example_is_what_is_written() {
    let document = include_str!("../../../docs/formats-sstable.md");
    let dump = hexdump(&example());
    assert!(document.contains(&dump), "the example in docs/formats-sstable.md should be\n{dump}");
}
