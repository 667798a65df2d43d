//! The disk itself: names, locks, faults.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use doug_storage::disk::{DirLock, Disk, DiskFile, OpenMode, Space};

use crate::file::SimFile;
use crate::state::{NameChange, State, already_exists, failure, not_found, parent};

/// What a sector is: written as a whole or not at all.
pub const SECTOR: u64 = 512;

/// How the machine or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; the kernel still has what was written.
    Process,
    /// Power is lost, and with it everything that was not synced.
    LoseUnsynced,
    /// Power is lost; of what was not synced, a random part survives, in any order, torn at
    /// sectors.
    KeepSome,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error. A sync that fails so drops the dirty bytes, and the
    /// next one would succeed: that is what Linux does.
    Io,
    /// No space left on the device.
    NoSpace,
    /// The machine stops: this and every later operation fails until [`SimDisk::crash`].
    PowerLoss,
}

/// How long a sector does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// One read fails, and the next succeeds: a bad cable, a drive that tried long enough.
    Once,
    /// Until it is written again, which makes the drive put another in its place.
    ForGood,
}

/// A simulated disk. Clones are handles to the same disk; see [`SimDisk::fork`] for a copy.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Outside of the lock: the simulator asks after every event.
    failed_syncs: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

/// Where syncs of files wait, for tests of what must not wait for them.
#[derive(Default)]
struct Gate {
    held: Mutex<Held>,
    opened: Condvar,
}

#[derive(Default)]
struct Held {
    closed: bool,
    waiting: usize,
}

/// What an operation does, for deciding what a fault leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Volatile,
    Sync,
}

impl SimDisk {
    /// An empty disk; `seed` decides what survives [`Crash::KeepSome`].
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
            directories: BTreeSet::from([OsString::from("/")]),
            ..State::default()
        };
        Self::holding(state)
    }

    fn holding(state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        Self { state, failed_syncs: Arc::default(), gate: Arc::default() }
    }

    /// An independent copy of this disk, with nothing open or locked in it.
    pub fn fork(&self) -> Self {
        let mut state = self.lock().clone();
        state.epoch += 1;
        state.descriptors = 0;
        state.locks.clear();
        let fork = Self::holding(state);
        fork.failed_syncs.store(self.failed_syncs(), Ordering::Relaxed);
        fork
    }

    /// Ends the process, or the machine; what was open before is dead, what was down is up again,
    /// and faults that never came are called off.
    pub fn crash(&self, crash: Crash) {
        self.lock().crash(crash);
    }

    /// Starts another sequence of random choices.
    pub fn reseed(&self, seed: u64) {
        self.lock().random = seed;
    }

    /// Number of operations so far that changed something or synced; reads do not count.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Number of successful syncs so far, of files and directories.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Lets the operation fail that makes [`operations`](Self::operations) reach `number`.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// Lets the next sync fail, of whatever file or directory.
    pub fn fail_next_sync(&self) {
        self.lock().fail_next_sync = true;
    }

    /// Lets every sync of a file wait from now on, in the thread that asked for it; or lets all
    /// of them go on.
    pub fn hold_syncs(&self, hold: bool) {
        self.held().closed = hold;
        self.gate.opened.notify_all();
    }

    /// Number of syncs that wait because they are held.
    pub fn held_syncs(&self) -> usize {
        self.held().waiting
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.gate.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_while_held(&self) {
        let mut held = self.held();
        held.waiting += 1;
        while held.closed {
            held = self.gate.opened.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.waiting -= 1;
    }

    /// Number of syncs that failed although the power was on: a process must not go on after one.
    pub fn failed_syncs(&self) -> u64 {
        self.failed_syncs.load(Ordering::Relaxed)
    }

    /// Cuts the power now: every later operation fails until [`SimDisk::crash`].
    pub fn cut_power(&self) {
        self.lock().down = true;
    }

    /// Whether the power is off.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Calls off the faults that have not come yet.
    pub fn call_off_faults(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.fail_next_sync = false;
    }

    /// Every file and its bytes, as a process sees them.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        state
            .names
            .iter()
            .map(|(path, inode)| (path.into(), state.inodes[inode].current.clone()))
            .collect()
    }

    /// The path of every file, as a process sees it.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        self.lock().names.keys().map(PathBuf::from).collect()
    }

    /// Names what a file holds, whatever it is linked as.
    pub fn inode(&self, path: &Path) -> Option<u64> {
        self.lock().names.get(path.as_os_str()).copied()
    }

    /// Whether any file holds that.
    pub fn names_inode(&self, inode: u64) -> bool {
        self.lock().names.values().any(|named| *named == inode)
    }

    /// Whether a file of this inode, under whatever name, has sectors that do not read.
    pub fn has_lost_sectors(&self, inode: u64) -> bool {
        let state = self.lock();
        let named = state.names.values().any(|named| *named == inode);
        named && !state.inodes[&inode].lost.is_empty()
    }

    /// The bytes of one file.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.inodes[&state.names[path.as_os_str()]].current.clone()
    }

    /// Changes a file behind everyone's back, durably: rot.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let inode = state.names[path.as_os_str()];
        let inode = state.inodes.get_mut(&inode).expect("a name has an inode");
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.unsynced.clear();
    }

    /// Lets the sector at `offset` of a file not read, whatever the file is linked as.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn lose_sector(&self, path: &Path, offset: u64, loss: Loss) {
        let mut state = self.lock();
        let inode = state.names[path.as_os_str()];
        let inode = state.inodes.get_mut(&inode).expect("a name has an inode");
        inode.lost.insert(offset / SECTOR, loss);
    }

    /// Lets the volume hold so many bytes, and fail with ENOSPC beyond; `None`: as many as there
    /// are.
    pub fn limit_bytes(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    /// What the volume holds at most.
    pub fn most_bytes(&self) -> Option<u64> {
        self.lock().capacity
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Lets whatever needs one more open file than that fail with EMFILE; `None`: never.
    pub fn limit_descriptors(&self, most: Option<usize>) {
        self.lock().most_descriptors = most;
    }

    /// Files that are open now.
    pub fn descriptors(&self) -> usize {
        self.lock().descriptors
    }

    /// Flips one bit of a file, durably.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        self.tamper(path, |bytes| bytes[offset as usize] ^= 1 << bit);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<T>(
        &self,
        effect: Effect,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        let mut fault = state.begin()?;
        if effect == Effect::Sync {
            if std::mem::take(&mut state.fail_next_sync) && fault.is_none() {
                fault = Some(Fault::Io);
            }
            if fault.is_some_and(|fault| fault != Fault::PowerLoss) {
                self.failed_syncs.fetch_add(1, Ordering::Relaxed);
            }
        }
        match (fault, effect) {
            (None, _) => change(&mut state),
            // A write in flight may reach the disk; a sync in flight promises nothing.
            (Some(Fault::PowerLoss), Effect::Volatile) => {
                let _ = change(&mut state);
                Err(failure(Fault::PowerLoss))
            }
            (Some(fault), _) => Err(failure(fault)),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.lock().check_descriptors()?;
        let inode = match mode {
            OpenMode::Create => self.change(Effect::Volatile, |state| state.create(path))?,
            OpenMode::Read | OpenMode::ReadWrite => self.lock().inode(path)?,
        };
        let mut state = self.lock();
        state.descriptors += 1;
        let epoch = state.epoch;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), inode, epoch, writable: mode != OpenMode::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check_descriptors()?;
        if !state.directories.contains(dir.as_os_str()) {
            return Err(not_found(dir));
        }
        // What lies in a directory begins with its name, and follows it.
        let after = (Bound::Excluded(dir.as_os_str()), Bound::Unbounded);
        let prefix = dir.as_os_str().as_encoded_bytes();
        let files = state.names.range::<OsStr, _>(after).map(|(path, _)| path);
        let files = files.take_while(|path| path.as_encoded_bytes().starts_with(prefix));
        let entries =
            files.chain(&state.directories).filter(|path| parent(path) == dir.as_os_str());
        let name = |path: &OsString| Some(Path::new(path).file_name()?.to_str()?.to_owned());
        let mut names: Vec<String> = entries.filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Effect::Volatile, |state| {
            state.inode(from)?;
            state.check_parent(to)?;
            state.rename(NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf() });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(Effect::Volatile, |state| {
            state.inode(path)?;
            state.rename(NameChange::Unlink { path: path.to_path_buf() });
            Ok(())
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Effect::Volatile, |state| {
            let inode = state.inode(from)?;
            if state.names.contains_key(to.as_os_str()) {
                return Err(already_exists(to));
            }
            state.check_parent(to)?;
            state.rename(NameChange::Link { path: to.to_path_buf(), inode });
            Ok(())
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.lock().directories.contains(dir.as_os_str()) {
            return Ok(());
        }
        self.change(Effect::Volatile, |state| {
            state.directories.extend(dir.ancestors().map(|dir| dir.as_os_str().to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().check_descriptors()?;
        self.change(Effect::Sync, |state| {
            let changes = std::mem::take(&mut state.unsynced_names);
            let (synced, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|c| c.is_in(dir));
            for change in synced {
                change.apply(&mut state.durable_names);
            }
            state.unsynced_names = rest;
            state.syncs += 1;
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        Ok(state.names.contains_key(path.as_os_str())
            || state.directories.contains(path.as_os_str()))
    }

    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.lock();
        if !state.locks.insert(dir.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), dir: dir.to_path_buf(), epoch: state.epoch }))
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let state = self.lock();
        let total = state.capacity.ok_or(ErrorKind::Unsupported)?;
        Ok(Space { total, free: total.saturating_sub(state.used()) })
    }
}

struct SimLock {
    disk: SimDisk,
    dir: PathBuf,
    epoch: u64,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.epoch == self.epoch {
            state.locks.remove(&self.dir);
        }
    }
}
