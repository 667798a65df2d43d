//! The bytes of a manifest are a promise: docs/formats.md shows them.

mod hexdump;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::SimDisk;
use doug_storage::disk::Disk;
use doug_storage::manifest::{
    Change, Identity, Manifest, ManifestOptions, ManifestState, MapChange,
};
use doug_storage::{Applied, ReplicaKey};
use hexdump::hexdump;

#[test]
fn the_documented_example_is_what_is_written() {
    let disk = SimDisk::new(1);
    let dir = Path::new("/data");
    disk.create_dir_all(dir).expect("the disk works");
    let options = ManifestOptions { salt: 0x5a17, ..ManifestOptions::default() };
    let state = ManifestState::default();
    let manifest = Manifest::start(Arc::new(disk.clone()), dir, options, state).expect("works");
    let identity = Identity { node: 0x9f3c_21d0_7be4, database: Some(0x5d0c_9a41_f7e2) };
    let replica = ReplicaKey { partition: 1, replica: 11 };
    let (applied, state) = (Applied::default(), Bytes::from_static(b"state"));
    let why = "7.sst".to_owned();
    let entry = |key, content| {
        Change::Map(MapChange::set(Bytes::from_static(key), Bytes::from_static(content)))
    };
    let gone = Change::Map(MapChange::remove(Bytes::from_static(b"k2")));
    manifest
        .commit(&[Change::Identity(identity), entry(b"k1", b"one"), entry(b"k2", b"two")])
        .expect("works");
    manifest.commit(&[entry(b"k1", b"newer"), gone]).expect("works");
    manifest.commit(&[Change::Create { replica, applied, state }]).expect("works");
    manifest.commit(&[Change::Fence { replica, why }]).expect("works");
    manifest.remove(replica).expect("works");
    let document = include_str!("../../../docs/formats.md");
    let dump = hexdump(&disk.bytes(&dir.join("MANIFEST-00000000000000000001")));
    assert!(document.contains(&dump), "the example in docs/formats.md should be\n{dump}");
}
