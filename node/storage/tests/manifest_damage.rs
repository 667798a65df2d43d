//! The manifest: one edit is atomic, a torn one never happened, and damage is refused.

mod store_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::StorageError;
use doug_storage::manifest::{Change, Manifest, ManifestOptions, ManifestState, MapChange, load};
use store_support::{A, B, dir, map_entry};

/// Bytes of a mark, the last frame of a manifest at rest.
const MARK: usize = 32;

fn create(replica: doug_storage::ReplicaKey) -> Change {
    Change::Create {
        replica,
        applied: Default::default(),
        state: Bytes::from_static(b"a state block"),
    }
}

fn start(disk: &SimDisk, state: ManifestState) -> Manifest {
    let options = ManifestOptions { rewrite_bytes: 4096, salt: 9 };
    use doug_storage::disk::Disk;
    disk.create_dir_all(&dir()).expect("the disk works");
    Manifest::start(Arc::new(disk.clone()), &dir(), options, state).expect("the disk works")
}

fn loaded(disk: &SimDisk) -> ManifestState {
    load(disk, &dir()).expect("it reads").expect("there is one").state
}

fn path(disk: &SimDisk) -> PathBuf {
    let contents = disk.contents();
    let manifest = |p: &&PathBuf| p.to_string_lossy().contains("MANIFEST");
    contents.keys().rfind(manifest).expect("there is one").clone()
}

/// Three edits, all acknowledged.
fn three_edits() -> SimDisk {
    let disk = SimDisk::new(1);
    let manifest = start(&disk, ManifestState::default());
    manifest.commit(&[Change::Map(map_entry("the first"))]).expect("the disk works");
    manifest.commit(&[create(A), create(B)]).expect("the disk works");
    manifest
        .commit(&[Change::Map(map_entry("the second")), Change::NextFile(7)])
        .expect("the disk works");
    disk
}

#[test]
fn a_flipped_bit_at_every_byte_of_acknowledged_edits_refuses_naming_file_and_offset() {
    let disk = three_edits();
    let manifest = path(&disk);
    let current = dir().join("CURRENT");
    let len = |path: &Path| disk.bytes(path).len();
    let places = (0..len(&manifest) - MARK)
        .map(|at| (&manifest, at))
        .chain((0..len(&current)).map(|at| (&current, at)));
    for (path, at) in places {
        let disk = disk.fork();
        disk.flip_bit(path, at as u64, (at % 8) as u8);
        let before = disk.contents();
        match load(&disk, &dir()) {
            Err(StorageError::Corruption(found)) => {
                assert_eq!(&found.file, path, "flipped at {at}");
                assert!(found.offset <= at as u64 || at < 64, "flipped at {at}: {found}");
            }
            Err(other) => panic!("flipped at {at} of {}: {other}", path.display()),
            Ok(_) => panic!("flipped at {at} of {}, and nobody noticed", path.display()),
        }
        assert!(before == disk.contents());
    }
}

#[test]
fn a_damaged_last_mark_costs_nothing() {
    let disk = three_edits();
    let manifest = path(&disk);
    let len = disk.bytes(&manifest).len();
    for at in len - MARK..len {
        let damaged = disk.fork();
        damaged.flip_bit(&manifest, at as u64, 0);
        assert_eq!(loaded(&damaged), loaded(&disk));
    }
}

#[test]
fn an_edit_cut_at_every_byte_before_it_was_acknowledged_never_happened() {
    let disk = three_edits();
    let before = loaded(&disk);
    let start_of_edit = disk.bytes(&path(&disk)).len();
    let manifest = start(&disk, before.clone());
    let start_of_fresh = disk.bytes(&path(&disk)).len();
    assert!(start_of_fresh < start_of_edit, "a start writes one edit instead of many");
    // The sync of the edit fails, so the mark behind it is never written.
    disk.fail_at(disk.operations() + 2, Fault::PowerLoss);
    manifest.commit(&[Change::Remove(A), Change::NextFile(99)]).expect_err("the power failed");
    disk.crash(Crash::Process);
    let whole = disk.bytes(&path(&disk)).len();
    assert!(whole > start_of_fresh);
    for cut in start_of_fresh..whole {
        let torn = disk.fork();
        torn.tamper(&path(&disk), |bytes| bytes.truncate(cut));
        assert_eq!(loaded(&torn), before, "cut at {cut}");
        let zeroed = disk.fork();
        zeroed.tamper(&path(&disk), |bytes| bytes[cut..].fill(0));
        let nothing_lost = zeroed.contents() == disk.contents();
        assert!(nothing_lost || loaded(&zeroed) == before, "zeroed from {cut}");
    }
}

#[test]
fn a_failed_sync_is_fatal_and_is_not_tried_again() {
    for operation in 1..=4 {
        let disk = SimDisk::new(1);
        let manifest = start(&disk, ManifestState::default());
        disk.fail_at(disk.operations() + operation, Fault::Io);
        assert!(manifest.commit(&[create(A)]).expect_err("the disk failed").is_fatal());
        let operations = disk.operations();
        assert!(manifest.commit(&[create(B)]).expect_err("for good").is_fatal());
        assert_eq!(disk.operations(), operations, "the disk was touched again");
    }
}

#[test]
fn an_edit_that_does_not_fit_is_refused_and_leaves_no_trace() {
    let disk = three_edits();
    let before = loaded(&disk);
    let manifest = start(&disk, before.clone());
    let fence = Change::Fence { replica: store_support::C, why: "it is not there".to_owned() };
    for wrong in [vec![create(A)], vec![fence]] {
        assert!(matches!(manifest.commit(&wrong), Err(StorageError::Refused(_))));
    }
    assert_eq!(manifest.with_state(Clone::clone), before);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(loaded(&disk), before);
}

#[test]
fn an_entry_of_the_map_is_replaced_alone_however_large_the_map() {
    let disk = SimDisk::new(1);
    let manifest = start(&disk, ManifestState::default());
    let entry = |i: u64, content: &str| {
        let key = Bytes::from(format!("partition {i}"));
        Change::Map(MapChange::set(key, Bytes::copy_from_slice(content.as_bytes())))
    };
    let all: Vec<_> = (0..4_096).map(|i| entry(i, "as it was at the beginning")).collect();
    manifest.commit(&all).expect("the disk works");
    let before = disk.bytes(&path(&disk)).len();
    manifest.commit(&[entry(77, "otherwise")]).expect("the disk works");
    let written = disk.bytes(&path(&disk)).len() - before;
    assert!(written < 128, "{written} bytes");
    disk.crash(Crash::LoseUnsynced);
    let map = loaded(&disk).map;
    assert_eq!(map.len(), 4_096);
    assert_eq!(map[&b"partition 77"[..]], "otherwise");
}

#[test]
fn a_manifest_of_a_newer_format_is_refused_with_a_sentence() {
    let disk = three_edits();
    let manifest = path(&disk);
    disk.tamper(&manifest, |bytes| {
        bytes[12..16].copy_from_slice(&2_u32.to_le_bytes());
        let sum = crc32fast::hash(&bytes[12..64]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    });
    let error = load(&disk, &dir()).err().expect("it is newer");
    assert!(
        matches!(&error, StorageError::NewerFormat { file, found: 2, supported: 1 }
            if *file == manifest),
        "{error}"
    );
}

#[test]
fn a_long_manifest_is_rewritten_and_says_the_same() {
    let disk = SimDisk::new(1);
    let manifest = start(&disk, ManifestState::default());
    let first = path(&disk);
    manifest.commit(&[create(A), create(B)]).expect("the disk works");
    for i in 0..200u64 {
        manifest
            .commit(&[Change::Map(map_entry(vec![i as u8; 100])), Change::NextFile(i)])
            .expect("the disk works");
    }
    manifest.commit(&[Change::Remove(B)]).expect("the disk works");
    assert_ne!(path(&disk), first);
    let size = disk.bytes(&path(&disk)).len();
    assert!(size < 8192, "{size} bytes");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(loaded(&disk), manifest.with_state(Clone::clone));
}

#[test]
fn edits_of_many_threads_are_all_durable_when_they_return() {
    let disk = SimDisk::new(1);
    let manifest = start(&disk, ManifestState::default());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (manifest, disk) = (&manifest, &disk);
            scope.spawn(move || {
                for i in 0..20 {
                    let partition = thread * 20 + i;
                    let key = doug_storage::ReplicaKey { partition, replica: 1 };
                    manifest.commit(&[create(key)]).expect("the disk works");
                    let dead = disk.fork();
                    dead.crash(Crash::LoseUnsynced);
                    assert!(loaded(&dead).live.contains_key(&key));
                }
            });
        }
    });
    assert_eq!(loaded(&disk).live.len(), 160);
}
