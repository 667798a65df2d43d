//! The manifest and the file that names it.

use crate::{files, reseal};
use doug_sim_disk::SimDisk;
use doug_storage::disk::Disk;
use doug_storage::manifest::{self, Manifest, ManifestOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8] = b"DOUGMAN\0";

pub fn dir() -> PathBuf {
    PathBuf::from("/data")
}

/// A manifest; or, where it does not begin like one, the file `CURRENT`.
pub fn manifest(data: &[u8]) {
    if !data.starts_with(MAGIC) {
        load_and_write_again(&files::disk_with([(dir().join("CURRENT"), data.to_vec())]));
        return;
    }
    load_and_write_again(&disk_with_manifest(data.to_vec()));
    let mut resealed = data.to_vec();
    reseal::manifest(&mut resealed);
    load_and_write_again(&disk_with_manifest(resealed));
}

fn disk_with_manifest(bytes: Vec<u8>) -> SimDisk {
    let number = bytes.get(16..24).map_or(1, |b| u64::from_le_bytes(b.try_into().expect("eight")));
    let name = format!("MANIFEST-{number:020}");
    let current = format!("{name} {:08x}\n", crc32fast::hash(name.as_bytes()));
    let current = (dir().join("CURRENT"), current.into_bytes());
    files::disk_with([current, (dir().join(name), bytes)])
}

fn load_and_write_again(disk: &SimDisk) {
    let before = disk.contents();
    let loaded = manifest::load(disk, &dir());
    assert_eq!(disk.contents(), before, "reading changed something");
    let Ok(Some(loaded)) = loaded else { return };
    let options = ManifestOptions { rewrite_bytes: 4 << 10, salt: 9 };
    let state = loaded.state.clone();
    if start(disk, &dir(), options, state).is_err() {
        return;
    }
    let again = manifest::load(disk, &dir()).expect("just written").expect("just written");
    assert_eq!(again.state, loaded.state, "written again it says something else");
}

fn start(
    disk: &SimDisk,
    dir: &Path,
    options: ManifestOptions,
    state: manifest::ManifestState,
) -> doug_storage::Result<Manifest> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Manifest::start(disk, dir, options, state)
}
