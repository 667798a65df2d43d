//! Descriptors kept back for the log and the manifest.
//!
//! Connections, tables and whatever else runs on the machine may take the last descriptor. A table
//! that cannot be opened fails one read or one job, which is tried again; a log that cannot open
//! its next segment, or a manifest that cannot be rewritten, ends the process. So some descriptors
//! are held without a use, and given up when these two find no other.

use super::files::{TableFiles, is_out_of_descriptors};
use crate::disk::{DirLock, Disk, DiskFile, OpenMode, Space};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The log's next segment, the next manifest, and the sync of a directory, with one to spare.
const HELD: usize = 4;

/// Open files that nobody reads: each stands for a descriptor.
#[derive(Default)]
pub(crate) struct Reserve(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is opened. Nothing is held before it is known.
    path: Option<PathBuf>,
    held: Vec<Arc<dyn DiskFile>>,
}

impl Reserve {
    /// Holds descriptors from now on, of a small file that exists.
    pub(crate) fn hold(&self, disk: &dyn Disk, path: &Path) {
        self.0.lock().path = Some(path.to_path_buf());
        self.fill(disk);
    }

    /// Takes back what was given up, as far as there are descriptors.
    fn fill(&self, disk: &dyn Disk) {
        let mut state = self.0.lock();
        while state.held.len() < HELD
            && let Some(path) = &state.path
            && let Ok(file) = disk.open(path, OpenMode::Read)
        {
            state.held.push(file);
        }
    }

    /// Gives one descriptor back to the system. Whether there was one.
    fn give_up_one(&self) -> bool {
        self.0.lock().held.pop().is_some()
    }
}

/// A disk that finds descriptors for whoever needs one.
pub(super) struct YieldingDisk {
    files: TableFiles,
    reserve: Option<Arc<Reserve>>,
}

impl YieldingDisk {
    pub(super) fn new(files: TableFiles, reserve: Option<Arc<Reserve>>) -> Self {
        Self { files, reserve }
    }

    fn plain(&self) -> &dyn Disk {
        self.files.plain()
    }

    /// Carries out what needs a descriptor: takes one from a table, then from the reserve.
    fn yielding<T>(&self, call: impl Fn(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        loop {
            let result = self.files.yielding(&call);
            let Some(reserve) = &self.reserve else { return result };
            match result {
                Err(error) if is_out_of_descriptors(&error) => {
                    if !reserve.give_up_one() {
                        return Err(error);
                    }
                }
                done => {
                    reserve.fill(self.plain());
                    return done;
                }
            }
        }
    }
}

impl Disk for YieldingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.yielding(|disk| disk.open(path, mode))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.yielding(|disk| disk.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plain().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plain().remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plain().hard_link(from, to)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.yielding(|disk| disk.create_dir_all(dir))
    }

    /// A directory is synced by a descriptor of its own. Without one no sync was tried, so this
    /// is no second try after a failed one.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.yielding(|disk| disk.sync_dir(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.plain().exists(path)
    }

    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        self.yielding(|disk| disk.lock_exclusive(dir))
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.plain().space(dir)
    }
}
