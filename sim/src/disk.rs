//! A disk in memory that loses power, tears writes and fails on demand.
//!
//! It keeps apart what was written and what was synced: bytes per file, and
//! directory entries (create, rename, link, remove) per directory. One seed
//! decides what survives a power loss.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doug_storage::disk::{DirLock, Disk, DiskFile, OpenMode};

/// What a sector is: written as a whole or not at all.
pub const SECTOR: u64 = 512;

/// How the machine or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; the kernel still has what was written.
    Process,
    /// Power is lost, and with it everything that was not synced.
    LoseUnsynced,
    /// Power is lost; of what was not synced, a random part survives, in any order, torn at sectors.
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

/// A simulated disk. Clones are handles to the same disk; see [`SimDisk::fork`] for a copy.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    random: u64,
    /// Rises with every crash: files and locks opened before are dead.
    epoch: u64,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    syncs: u64,
    faults: BTreeMap<u64, Fault>,
    down: bool,
}

#[derive(Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Clone)]
enum NameChange {
    Link { path: PathBuf, inode: u64 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

/// What an operation does, for deciding what a fault leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Volatile,
    Sync,
}

impl SimDisk {
    /// An empty disk; `seed` decides what survives [`Crash::KeepSome`].
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
            directories: BTreeSet::from([PathBuf::from("/")]),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// An independent copy of this disk, with nothing open or locked in it.
    pub fn fork(&self) -> Self {
        let mut state = self.lock().clone();
        state.epoch += 1;
        state.locks.clear();
        Self { state: Arc::new(Mutex::new(state)) }
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

    /// Calls off the faults that have not come yet.
    pub fn call_off_faults(&self) {
        self.lock().faults.clear();
    }

    /// Every file and its bytes, as a process sees them.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        state
            .names
            .iter()
            .map(|(path, inode)| (path.clone(), state.inodes[inode].current.clone()))
            .collect()
    }

    /// The bytes of one file.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.inodes[&state.names[path]].current.clone()
    }

    /// Changes a file behind everyone's back, durably: rot.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let inode = state.names[path];
        let inode = state.inodes.get_mut(&inode).expect("a name has an inode");
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.unsynced.clear();
    }

    /// Flips one bit of a file, durably.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        self.tamper(path, |bytes| bytes[offset as usize] ^= 1 << bit);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        effect: Effect,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        let fault = state.begin()?;
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

fn failure(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::other("simulated input/output error"),
        Fault::NoSpace => {
            io::Error::new(ErrorKind::StorageFull, "simulated: no space left on device")
        }
        Fault::PowerLoss => io::Error::other("simulated power loss"),
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn already_exists(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} exists", path.display()))
}

impl State {
    /// Counts an operation, and says how it shall fail.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        if self.down {
            return Err(failure(Fault::PowerLoss));
        }
        self.operations += 1;
        let fault = self.faults.remove(&self.operations);
        self.down |= fault == Some(Fault::PowerLoss);
        Ok(fault)
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn crash(&mut self, crash: Crash) {
        self.epoch += 1;
        self.locks.clear();
        self.faults.clear();
        self.down = false;
        if crash == Crash::Process {
            return;
        }
        let keep = crash == Crash::KeepSome;
        self.lose_names(keep);
        self.lose_bytes(keep);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn lose_names(&mut self, keep: bool) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if keep && self.random() & 1 == 1 {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
    }

    fn lose_bytes(&mut self, keep: bool) {
        let inodes: Vec<u64> = self.inodes.keys().copied().collect();
        for id in inodes {
            let Some(mut inode) = self.inodes.remove(&id) else { continue };
            for change in std::mem::take(&mut inode.unsynced) {
                for piece in change.sectors() {
                    if keep && self.random() & 1 == 1 {
                        piece.apply(&mut inode.durable);
                    }
                }
            }
            inode.current = inode.durable.clone();
            self.inodes.insert(id, inode);
        }
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        if self.names.contains_key(path) {
            return Err(already_exists(path));
        }
        self.check_parent(path)?;
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.rename(NameChange::Link { path: path.to_path_buf(), inode });
        Ok(inode)
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        match self.directories.contains(parent) {
            true => Ok(()),
            false => Err(not_found(parent)),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { to: path, .. }) =
            self;
        path.parent() == Some(dir)
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(len) => bytes.resize(*len as usize, 0),
            Self::Write { offset, bytes: new } => {
                let (start, end) = (*offset as usize, *offset as usize + new.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(new);
            }
        }
    }

    /// The parts that reach the disk or not, each by itself.
    fn sectors(self) -> Vec<Change> {
        let Self::Write { offset, bytes } = self else { return vec![self] };
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            let at = offset + start as u64;
            let len = ((SECTOR - at % SECTOR) as usize).min(bytes.len() - start);
            pieces.push(Self::Write { offset: at, bytes: bytes[start..start + len].to_vec() });
            start += len;
        }
        pieces
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inode = match mode {
            OpenMode::Create => self.change(Effect::Volatile, |state| state.create(path))?,
            OpenMode::Read | OpenMode::ReadWrite => self.lock().inode(path)?,
        };
        let epoch = self.lock().epoch;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, epoch, writable: mode != OpenMode::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !state.directories.contains(dir) {
            return Err(not_found(dir));
        }
        let entries =
            state.names.keys().chain(&state.directories).filter(|p| p.parent() == Some(dir));
        let mut names: Vec<String> =
            entries.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())).collect();
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
            if state.names.contains_key(to) {
                return Err(already_exists(to));
            }
            state.check_parent(to)?;
            state.rename(NameChange::Link { path: to.to_path_buf(), inode });
            Ok(())
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.lock().directories.contains(dir) {
            return Ok(());
        }
        self.change(Effect::Volatile, |state| {
            state.directories.extend(dir.ancestors().map(Path::to_path_buf));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
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
        Ok(state.names.contains_key(path) || state.directories.contains(path))
    }

    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.lock();
        if !state.locks.insert(dir.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), dir: dir.to_path_buf(), epoch: state.epoch }))
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

struct SimFile {
    disk: SimDisk,
    inode: u64,
    epoch: u64,
    writable: bool,
}

impl SimFile {
    fn alive(&self, state: &State) -> io::Result<()> {
        match state.epoch == self.epoch {
            true => Ok(()),
            false => Err(io::Error::other("this file was opened before a simulated crash")),
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the file is open for reading only",
            ));
        }
        self.alive(&self.disk.lock())?;
        self.disk.change(Effect::Volatile, |state| {
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            change.apply(&mut inode.current);
            inode.unsynced.push(change);
            Ok(())
        })
    }

    /// After a failed sync the kernel takes the dirty pages for clean.
    fn forget_unsynced(&self) {
        if let Some(inode) = self.disk.lock().inodes.get_mut(&self.inode) {
            inode.unsynced.clear();
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        self.alive(&state)?;
        let bytes = &state.inodes[&self.inode].current;
        let start = (offset as usize).min(bytes.len());
        let n = buffer.len().min(bytes.len() - start);
        buffer[..n].copy_from_slice(&bytes[start..start + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive(&self.disk.lock())?;
        let synced = self.disk.change(Effect::Sync, |state| {
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            for change in std::mem::take(&mut inode.unsynced) {
                change.apply(&mut inode.durable);
            }
            state.syncs += 1;
            Ok(())
        });
        if synced.is_err() && !self.disk.lock().down {
            self.forget_unsynced();
        }
        synced
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        self.alive(&state)?;
        Ok(state.inodes[&self.inode].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match self.len()? < len {
            true => self.change(Change::Length(len)),
            false => Ok(()),
        }
    }
}
