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

use crate::disk::{DirLock, Disk, DiskFile, OpenMode, Space};

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

    /// The disk as all else of a node uses it: what fails for want of a descriptor is tried again
    /// after a table was closed, for log and manifest must go on and tables can be opened again.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(YieldingDisk(self.clone()))
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
    fn yielding<T>(&self, call: impl Fn(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
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

struct YieldingDisk(TableFiles);

impl YieldingDisk {
    fn plain(&self) -> &dyn Disk {
        &*self.0.0.disk
    }
}

impl Disk for YieldingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.0.yielding(|disk| disk.open(path, mode))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.yielding(|disk| disk.list(dir))
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
        self.0.yielding(|disk| disk.create_dir_all(dir))
    }

    /// A directory is synced by a descriptor of its own. Without one no sync was tried, so this
    /// is no second try after a failed one.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.yielding(|disk| disk.sync_dir(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.plain().exists(path)
    }

    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        self.0.yielding(|disk| disk.lock_exclusive(dir))
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.plain().space(dir)
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
