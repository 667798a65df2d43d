//! The descriptors of tables: a node has more tables than a process may have open files.
//!
//! A table is opened when it is read and stays open as long as there is room; then the one that
//! was read least recently is closed. It is opened again under the same path, which names the
//! same file as long as its [`Table`](crate::table::Table) lives: ids of files are never given
//! out twice, and [`ObsoleteFiles`](crate::table::ObsoleteFiles) keeps the file until then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::reserve::{Reserve, YieldingDisk};
use crate::disk::{Disk, DiskFile, OpenMode};

/// How often to look whether a read under way has given its descriptor back.
const LOOKS: u32 = 100;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Whether a call failed because this process or the machine has no descriptor left.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| Some(errno.raw_os_error()) == code)
}

/// The open files of a node's tables. Cheap to clone; clones share the files.
#[derive(Clone)]
pub struct TableFiles(Arc<OpenFiles>);

struct OpenFiles {
    disk: Arc<dyn Disk>,
    budget: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By number, with the moment of the last use.
    open: BTreeMap<u64, (u64, Arc<dyn DiskFile>)>,
    /// The same by last use.
    by_use: BTreeMap<u64, u64>,
    /// Counts uses.
    clock: u64,
    next_number: u64,
    opened: u64,
}

impl State {
    fn use_file(&mut self, number: u64) -> Option<Arc<dyn DiskFile>> {
        let (used, file) = self.open.get_mut(&number)?;
        self.by_use.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.by_use.insert(self.clock, number);
        Some(file.clone())
    }

    fn close(&mut self, number: u64) -> Option<Arc<dyn DiskFile>> {
        let (used, file) = self.open.remove(&number)?;
        self.by_use.remove(&used);
        Some(file)
    }

    fn close_oldest(&mut self) -> Option<Arc<dyn DiskFile>> {
        let number = *self.by_use.first_key_value()?.1;
        self.close(number)
    }
}

impl TableFiles {
    /// Keeps at most `budget` tables open, and at least one. A read that is under way when its
    /// table is closed keeps the descriptor until it ends: one more for each thread that reads.
    pub fn new(disk: Arc<dyn Disk>, budget: usize) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(OpenFiles { disk, budget: budget.max(1), state }))
    }

    /// A table's file, opened now.
    ///
    /// Errors: those of the disk; [out of descriptors](is_out_of_descriptors) once no table is
    /// left to be closed.
    pub(crate) fn open(&self, path: &Path) -> io::Result<TableFile> {
        let number = {
            let mut state = self.0.state.lock();
            state.next_number += 1;
            state.next_number
        };
        let file = TableFile { files: self.clone(), number, path: path.to_path_buf() };
        file.get()?;
        Ok(file)
    }

    /// Tables that are open now.
    pub fn open_count(&self) -> usize {
        self.0.state.lock().open.len()
    }

    /// Most tables that are open at a time.
    pub fn budget(&self) -> usize {
        self.0.budget
    }

    /// How often a table was opened so far: many more times than there are tables, if the budget
    /// is too small for what is read.
    pub fn opened_count(&self) -> u64 {
        self.0.state.lock().opened
    }

    /// The disk as jobs of trees and snapshots use it: what fails for want of a descriptor is
    /// tried again after a table was closed.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(YieldingDisk::new(self.clone(), None))
    }

    /// The disk as log and manifest use it, with descriptors of the reserve once no table is left
    /// to be closed: without them the process must end, and all others can wait.
    pub(crate) fn disk_with(&self, reserve: &Arc<Reserve>) -> Arc<dyn Disk> {
        Arc::new(YieldingDisk::new(self.clone(), Some(reserve.clone())))
    }

    /// The disk as it is.
    pub(crate) fn plain(&self) -> &dyn Disk {
        &*self.0.disk
    }

    fn insert(&self, number: u64, file: &Arc<dyn DiskFile>) {
        let mut state = self.0.state.lock();
        state.opened += 1;
        // Two threads may have opened it at once.
        if state.use_file(number).is_some() {
            return;
        }
        let mut closed = Vec::new();
        while state.open.len() >= self.0.budget {
            closed.extend(state.close_oldest());
        }
        state.clock += 1;
        let now = state.clock;
        state.open.insert(number, (now, file.clone()));
        state.by_use.insert(now, number);
        drop(state);
        // Closing is a system call: not under the lock.
        drop(closed);
    }

    /// Carries out what needs a descriptor; while there is none, closes one table after another.
    pub(super) fn yielding<T>(&self, call: impl Fn(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        let mut looks = 0;
        loop {
            let error = match call(&*self.0.disk) {
                Err(error) if is_out_of_descriptors(&error) => error,
                done => return done,
            };
            let closed = self.0.state.lock().close_oldest();
            match closed {
                // A read is under way, and gives the descriptor back when it ends.
                Some(file) if Arc::strong_count(&file) > 1 => looks = LOOKS,
                Some(_) => {}
                None if looks > 0 => {
                    looks -= 1;
                    std::thread::sleep(PAUSE);
                }
                None => return Err(error),
            }
        }
    }
}

/// A table's file, open or not.
pub(crate) struct TableFile {
    files: TableFiles,
    number: u64,
    path: PathBuf,
}

impl TableFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, opened again if it was closed meanwhile.
    pub fn get(&self) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.0.state.lock().use_file(self.number) {
            return Ok(file);
        }
        let file = self.files.yielding(|disk| disk.open(&self.path, OpenMode::Read))?;
        self.files.insert(self.number, &file);
        Ok(file)
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        let closed = self.files.0.state.lock().close(self.number);
        drop(closed);
    }
}

impl std::fmt::Debug for TableFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFiles")
            .field("open", &self.open_count())
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}
