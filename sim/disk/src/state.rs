//! What was written and what was synced, apart: bytes per file, and directory entries.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{Crash, Fault, Loss, SECTOR};

/// What Linux says of a sector that does not read.
const EIO: i32 = 5;
/// What it says when a process has as many files open as it may.
const EMFILE: i32 = 24;

/// The directory of a path from the root, without looking at its every component.
pub(crate) fn parent(path: &OsStr) -> &OsStr {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => OsStr::new("/"),
        Some(slash) => OsStr::from_bytes(&bytes[..slash]),
    }
}

/// Files by their whole paths, which are compared byte by byte: paths compare component by
/// component.
pub(crate) type Names = BTreeMap<OsString, u64>;

#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) random: u64,
    /// Rises with every crash: files and locks opened before are dead.
    pub(crate) epoch: u64,
    pub(crate) directories: BTreeSet<OsString>,
    pub(crate) names: Names,
    pub(crate) durable_names: Names,
    pub(crate) unsynced_names: Vec<NameChange>,
    pub(crate) inodes: BTreeMap<u64, Inode>,
    pub(crate) next_inode: u64,
    pub(crate) locks: BTreeSet<PathBuf>,
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) down: bool,
    pub(crate) fail_next_sync: bool,
    /// Bytes of all files together; what would make them more fails with ENOSPC.
    pub(crate) capacity: Option<u64>,
    /// Files that are open.
    pub(crate) descriptors: usize,
    /// Most of them; what would need another fails with EMFILE.
    pub(crate) most_descriptors: Option<usize>,
}

#[derive(Clone, Default)]
pub(crate) struct Inode {
    pub(crate) current: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    pub(crate) unsynced: Vec<Change>,
    /// Sectors that do not read.
    pub(crate) lost: BTreeMap<u64, Loss>,
    /// A failed sync made the kernel take dirty pages for clean: the current bytes are not all
    /// durable.
    pub(crate) deceived: bool,
}

impl Inode {
    fn is_dirty(&self) -> bool {
        self.deceived || !self.unsynced.is_empty()
    }

    /// Reads, unless a sector on the way is lost.
    pub(crate) fn read(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = (offset as usize).min(self.current.len());
        let n = buffer.len().min(self.current.len() - start);
        if n > 0 && !self.lost.is_empty() {
            let sectors = sectors(start as u64, n as u64);
            if let Some((sector, loss)) = self.lost.range(sectors).next() {
                let (sector, loss) = (*sector, *loss);
                if loss == Loss::Once {
                    self.lost.remove(&sector);
                }
                return Err(io::Error::from_raw_os_error(EIO));
            }
        }
        buffer[..n].copy_from_slice(&self.current[start..start + n]);
        Ok(n)
    }

    /// A process changes the file: what is written or cut off is no longer lost.
    pub(crate) fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        match &change {
            Change::Length(len) => self.lost.retain(|sector, _| sector * SECTOR < *len),
            Change::Write { offset, bytes } => {
                let written = sectors(*offset, bytes.len() as u64);
                self.lost.retain(|sector, _| !written.contains(sector));
            }
        }
        self.unsynced.push(change);
    }
}

/// The sectors that `len` bytes at `offset` touch.
fn sectors(offset: u64, len: u64) -> Range<u64> {
    offset / SECTOR..(offset + len).div_ceil(SECTOR)
}

#[derive(Clone)]
pub(crate) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Clone)]
pub(crate) enum NameChange {
    Link { path: PathBuf, inode: u64 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

pub(crate) fn failure(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::other("simulated input/output error"),
        Fault::NoSpace => {
            io::Error::new(ErrorKind::StorageFull, "simulated: no space left on device")
        }
        Fault::PowerLoss => io::Error::other("simulated power loss"),
    }
}

pub(crate) fn not_found(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

pub(crate) fn already_exists(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} exists", path.display()))
}

impl State {
    /// Counts an operation, and says how it shall fail.
    pub(crate) fn begin(&mut self) -> io::Result<Option<Fault>> {
        if self.down {
            return Err(failure(Fault::PowerLoss));
        }
        self.operations += 1;
        let fault = self.faults.remove(&self.operations);
        self.down |= fault == Some(Fault::PowerLoss);
        Ok(fault)
    }

    /// Whether a call finds a descriptor, which it keeps or gives back when it ends.
    pub(crate) fn check_descriptors(&self) -> io::Result<()> {
        match self.most_descriptors {
            Some(most) if self.descriptors >= most => Err(io::Error::from_raw_os_error(EMFILE)),
            _ => Ok(()),
        }
    }

    /// Bytes of all files, each counted once whatever its names.
    pub(crate) fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        named.iter().map(|inode| self.inodes[inode].current.len() as u64).sum()
    }

    /// Whether a file finds the room that a change of it takes.
    pub(crate) fn check_capacity(&self, inode: u64, change: &Change) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let len = self.inodes[&inode].current.len() as u64;
        let growth = change.length().saturating_sub(len);
        if growth > 0 && self.used() + growth > capacity {
            Err(io::Error::new(ErrorKind::StorageFull, "this volume holds no more"))
        } else {
            Ok(())
        }
    }

    /// SplitMix64.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn crash(&mut self, crash: Crash) {
        self.epoch += 1;
        self.descriptors = 0;
        self.most_descriptors = None;
        self.locks.clear();
        self.faults.clear();
        self.fail_next_sync = false;
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
        if self.unsynced_names.is_empty() {
            return;
        }
        for change in std::mem::take(&mut self.unsynced_names) {
            if keep && self.random() & 1 == 1 {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
    }

    fn lose_bytes(&mut self, keep: bool) {
        let mut inodes = std::mem::take(&mut self.inodes);
        // What differs from its durable bytes has unsynced changes, or had until a sync failed.
        for inode in inodes.values_mut().filter(|inode| inode.is_dirty()) {
            for change in std::mem::take(&mut inode.unsynced) {
                for piece in change.sectors() {
                    if keep && self.random() & 1 == 1 {
                        piece.apply(&mut inode.durable);
                    }
                }
            }
            inode.current = inode.durable.clone();
            inode.deceived = false;
        }
        self.inodes = inodes;
    }

    pub(crate) fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(crate) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if self.names.contains_key(path.as_os_str()) {
            return Err(already_exists(path));
        }
        self.check_parent(path)?;
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.rename(NameChange::Link { path: path.to_path_buf(), inode });
        Ok(inode)
    }

    pub(crate) fn check_parent(&self, path: &Path) -> io::Result<()> {
        let parent = parent(path.as_os_str());
        if self.directories.contains(parent) { Ok(()) } else { Err(not_found(Path::new(parent))) }
    }

    pub(crate) fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path.as_os_str()).copied().ok_or_else(|| not_found(path))
    }
}

impl NameChange {
    pub(crate) fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone().into(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path.as_os_str());
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from.as_os_str()) {
                    names.insert(to.clone().into(), inode);
                }
            }
        }
    }

    pub(crate) fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { to: path, .. }) =
            self;
        parent(path.as_os_str()) == dir.as_os_str()
    }
}

impl Change {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
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

    /// Bytes that the file has at least afterwards.
    fn length(&self) -> u64 {
        match self {
            Self::Length(len) => *len,
            Self::Write { offset, bytes } => offset + bytes.len() as u64,
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
