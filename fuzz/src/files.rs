//! Files on a disk in memory, durable as a start-up finds them.

use doug_sim_disk::SimDisk;
use doug_storage::disk::{Disk, OpenMode};
use std::path::{Path, PathBuf};

/// A disk with these files.
///
/// # Panics
/// If two have the same name.
pub fn disk_with(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> SimDisk {
    let disk = SimDisk::new(1);
    add(&disk, files);
    disk
}

/// Writes these files to a disk, durably.
///
/// # Panics
/// If one is there already.
pub fn add(disk: &SimDisk, files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) {
    for (path, bytes) in files {
        let dir = path.parent().unwrap_or(Path::new("/"));
        disk.create_dir_all(dir).expect("the disk works");
        let file = disk.open(&path, OpenMode::Create).expect("the names differ");
        file.write_at(&bytes, 0).expect("the disk works");
        file.sync_data().expect("the disk works");
        disk.sync_dir(dir).expect("the disk works");
    }
}
