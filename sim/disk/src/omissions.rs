//! Disks on which one call was deleted: bugs put in on purpose, to see that they are found.

use doug_storage::disk::{DirLock, Disk, DiskFile, OpenMode};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is left undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Omission {
    /// Nothing: the disk is as good as its disk.
    #[default]
    Nothing,
    /// The fdatasync after appending records to the log.
    LogSync,
    /// Every fdatasync.
    EverySync,
    /// Every fsync of a directory.
    DirectorySync,
}

/// Wraps a disk so that it leaves something undone.
pub fn omit(disk: Arc<dyn Disk>, omission: Omission) -> Arc<dyn Disk> {
    match omission {
        Omission::Nothing => disk,
        _ => Arc::new(OmittingDisk { disk, omission }),
    }
}

struct OmittingDisk {
    disk: Arc<dyn Disk>,
    omission: Omission,
}

impl Disk for OmittingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        let in_log = path.parent().is_some_and(|dir| dir.ends_with("log"));
        Ok(Arc::new(OmittingFile {
            file,
            omission: self.omission,
            in_log,
            header: AtomicBool::new(false),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.omission {
            Omission::DirectorySync => Ok(()),
            _ => self.disk.sync_dir(dir),
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock_exclusive(dir)
    }
}

struct OmittingFile {
    file: Arc<dyn DiskFile>,
    omission: Omission,
    in_log: bool,
    /// Whether the segment's header was written since the last sync: its sync is another call.
    header: AtomicBool,
}

impl DiskFile for OmittingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset == 0 {
            self.header.store(true, Ordering::Relaxed);
        }
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let header = self.header.swap(false, Ordering::Relaxed);
        match self.omission {
            Omission::EverySync => Ok(()),
            Omission::LogSync if self.in_log && !header => Ok(()),
            _ => self.file.sync_data(),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
