//! Damaged tables: an error that names file and offset, or the right data. Never wrong
//! data, never a panic.

mod tree_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use doug_sim_disk::SimDisk;
use doug_storage::StorageError;
use doug_storage::cache::{BlockCache, TableFiles};
use doug_storage::disk::{Disk, OpenMode};
use doug_storage::table::{
    Compression, FileId, ObsoleteFiles, Slot, Table, TableBuilder, TableOptions,
};
use doug_storage::tree::{Entry, KeyClass, ReadError, ScanRange, Tree, TreeImage, TreeOptions};
use proptest::prelude::*;
use tree_support::{Keeper, context, delete, put};

/// Bytes of a table's footer.
const FOOTER: usize = 96;

/// One small table with several blocks, versions and tombstones, and what it holds.
fn small_table(compression: Compression) -> (SimDisk, TreeImage, PathBuf, Vec<Entry>) {
    let mut options = TreeOptions::tiny();
    options.table.compression = compression;
    let mut keeper = Keeper::new(options);
    for i in 0..24u64 {
        let key = format!("key/{:02}", i % 16);
        let op = match i % 5 {
            0 => delete(&key),
            _ => put(&key, &format!("value {i} ").repeat(4)),
        };
        keeper.tree.apply(i + 1, &[op]);
    }
    keeper.flush();
    let file = *keeper.image.tables.keys().next().expect("one table");
    let path = keeper.tree.table_path(file);
    let entries = tree_support::scan(&keeper.tree.view(), ScanRange::all(), None);
    (keeper.disk, keeper.image, path, entries)
}

fn overwrite(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::ReadWrite).expect("exists");
    file.set_len(0).expect("works");
    file.write_at(bytes, 0).expect("works");
}

/// Opens the tree and reads everything both ways and by key.
fn read_all(disk: &SimDisk, image: &TreeImage, keys: &[Entry]) -> Result<Vec<Entry>, ReadError> {
    let ids = doug_storage::table::FileIds::starting_at(100);
    let tree = Tree::open(context(disk, &ids, &TreeOptions::tiny()), image, 24)?;
    let view = tree.view();
    let forward: Vec<Entry> = view.scan(ScanRange::all(), None)?.collect::<Result<_, _>>()?;
    let down = tree_support::range("", None, true);
    let mut reverse: Vec<Entry> = view.scan(down, None)?.collect::<Result<_, _>>()?;
    reverse.reverse();
    assert_eq!(forward, reverse);
    for entry in keys {
        let found = view.get(&entry.key, None)?;
        assert_eq!(found.map(|v| v.value).as_ref(), Some(&entry.value));
    }
    Ok(forward)
}

fn assert_named(error: ReadError, path: &Path, len: u64, case: &str) {
    match error {
        ReadError::Storage(StorageError::Corruption(damage)) => {
            assert_eq!(damage.file, path, "{case}");
            assert!(damage.offset <= len, "{case}: offset {}", damage.offset);
        }
        ReadError::Storage(
            StorageError::NewerFormat { file, .. } | StorageError::NewerContent { file, .. },
        ) => assert_eq!(file, path),
        other => panic!("{case}: {other}"),
    }
}

fn every_flip_is_noticed(compression: Compression) {
    let (disk, image, path, entries) = small_table(compression);
    let sound = tree_support::read_file(&disk, &path);
    assert_eq!(read_all(&disk, &image, &entries).expect("sound"), entries);
    for at in 0..sound.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= mask;
            overwrite(&disk, &path, &bytes);
            let case = format!("byte {at} of {} flipped by {mask:#x}", sound.len());
            match read_all(&disk, &image, &entries) {
                Ok(found) => assert_eq!(found, entries, "{case}"),
                Err(error) => assert_named(error, &path, sound.len() as u64, &case),
            }
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_in_a_plain_table_is_an_error_or_harmless() {
    every_flip_is_noticed(Compression::None);
}

#[test]
fn a_flipped_byte_anywhere_in_a_compressed_table_is_an_error_or_harmless() {
    every_flip_is_noticed(Compression::Lz4);
}

#[test]
fn a_table_cut_or_grown_anywhere_is_refused() {
    let (disk, image, path, entries) = small_table(Compression::Lz4);
    let sound = tree_support::read_file(&disk, &path);
    let grown = [&sound[..], &[0; 64]].concat();
    for len in (0..grown.len()).filter(|len| *len != sound.len()) {
        overwrite(&disk, &path, &grown[..len]);
        let error = read_all(&disk, &image, &entries).expect_err("not the file that was written");
        assert_named(error, &path, len as u64, &format!("{len} bytes"));
    }
}

#[test]
fn blocks_that_change_places_are_noticed() {
    let (disk, image, path, entries) = small_table(Compression::None);
    let sound = tree_support::read_file(&disk, &path);
    // Moving all bytes keeps every block's own content sound but not its place.
    let mut bytes = sound.clone();
    bytes[..sound.len() - FOOTER].rotate_left(1);
    overwrite(&disk, &path, &bytes);
    let error = read_all(&disk, &image, &entries).expect_err("nothing is in its place");
    assert_named(error, &path, sound.len() as u64, "rotated");
}

#[test]
fn blocks_written_to_the_same_place_of_another_table_are_noticed() {
    // Two tables of equal geometry: only which of them a block belongs to differs.
    let table = |value: &str| {
        let mut keeper = Keeper::new(TreeOptions::tiny());
        // The second table's id, and with it its identity, is another one.
        keeper.ids.observe(FileId(if value == "a" { 7 } else { 8 }));
        for i in 0..24u64 {
            keeper.tree.apply(i + 1, &[put(&format!("key/{i:02}"), &value.repeat(40))]);
        }
        keeper.flush();
        let path = keeper.tree.table_path(*keeper.image.tables.keys().next().expect("one table"));
        (keeper.disk, keeper.image, path)
    };
    let (disk, image, path) = table("a");
    let (other, _, other_path) = table("b");
    let sound = tree_support::read_file(&disk, &path);
    let stray = tree_support::read_file(&other, &other_path);
    assert_eq!(sound.len(), stray.len());
    for at in (0..sound.len()).step_by(64) {
        let mut bytes = sound.clone();
        let end = (at + 512).min(bytes.len());
        bytes[at..end].copy_from_slice(&stray[at..end]);
        overwrite(&disk, &path, &bytes);
        let error = read_all(&disk, &image, &[]).expect_err("bytes of another table");
        assert_named(error, &path, sound.len() as u64, &format!("512 bytes at {at}"));
    }
    overwrite(&disk, &path, &stray);
    let error = read_all(&disk, &image, &[]).expect_err("all of another table");
    assert_named(error, &path, sound.len() as u64, "another table");
}

#[test]
fn an_io_error_is_not_called_corruption() {
    let (disk, image, path, entries) = small_table(Compression::None);
    disk.remove(&path).expect("exists");
    let error = read_all(&disk, &image, &entries).expect_err("no file");
    assert!(matches!(
        error,
        ReadError::Storage(StorageError::Io { path: named, .. }) if named == path
    ));
}

fn open_any(bytes: &[u8]) -> Result<(), StorageError> {
    let disk = SimDisk::new(1);
    let path = PathBuf::from("/t.sst");
    let file = disk.open(&path, OpenMode::Create).expect("new");
    file.write_at(bytes, 0).expect("works");
    let files = TableFiles::new(Arc::new(disk), 1);
    Table::open(
        &files,
        &path,
        FileId(1),
        BlockCache::new(1 << 10, 1 << 10),
        ObsoleteFiles::default(),
    )
    .map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_a_table(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open_any(&bytes).is_err());
    }
}

fn one_version() -> Vec<u8> {
    let disk = SimDisk::new(1);
    let path = PathBuf::from("/t.sst");
    let mut builder = TableBuilder::create(&disk, &path, 1, TableOptions::default()).expect("new");
    let key = KeyClass::User.tree_key(b"a");
    builder.add(&key, 1, &Slot::value("x")).expect("works");
    builder.finish().expect("works");
    tree_support::read_file(&disk, &path)
}

/// Makes the footer's checksum right again.
fn reseal_footer(bytes: &mut [u8]) {
    let (footer, sum) = (bytes.len() - FOOTER, bytes.len() - 16);
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[footer..sum]);
    bytes[sum..sum + 8].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_table_of_a_newer_format_says_so() {
    let mut bytes = one_version();
    let footer = bytes.len() - FOOTER;
    bytes[footer + 68] = 2;
    reseal_footer(&mut bytes);
    let error = open_any(&bytes).expect_err("version 2 is not known");
    assert!(matches!(error, StorageError::NewerFormat { found: 2, supported: 1, .. }));
}

#[test]
fn a_table_with_a_block_of_range_tombstones_is_of_a_newer_program() {
    let mut bytes = one_version();
    let footer = bytes.len() - FOOTER;
    bytes[footer + 56] = 1;
    reseal_footer(&mut bytes);
    let error = open_any(&bytes).expect_err("range tombstones are not known");
    assert!(error.to_string().contains("holds range tombstones"), "{error}");
}

/// A table whose properties were changed, sealed again.
fn with_properties(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = one_version();
    let footer = bytes.len() - FOOTER;
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (identity, start) = (word(footer), word(footer + 32) as usize);
    let payload = start..footer - 9;
    change(&mut bytes[payload.clone()]);
    let seed = identity.wrapping_add(start as u64);
    let sealed = &bytes[payload.start..=payload.end];
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(sealed, seed);
    bytes[footer - 8..footer].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_table_with_attributes_or_classes_of_a_newer_program_is_refused_when_it_is_opened() {
    assert!(open_any(&with_properties(|_| {})).is_ok());
    for (tag, named) in [(6, "commit stamps"), (30, "attributes of keys")] {
        let bytes = with_properties(|p| p[40..48].copy_from_slice(&(1u64 << tag).to_le_bytes()));
        let error = open_any(&bytes).expect_err("a tag that is not known");
        assert!(matches!(error, StorageError::NewerContent { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let error = open_any(&with_properties(|p| (p[49], p[52]) = (2, 2))).expect_err("class 2");
    assert!(error.to_string().contains("keys of another class"), "{error}");
}
