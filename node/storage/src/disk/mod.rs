//! The only way to the disk: a small trait, so that tests can lose power.

mod real;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;
use rustix::io::Errno;

use crate::{Result, StorageError};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must not exist yet.
    Create,
    /// For reading and writing; it must exist.
    ReadWrite,
}

/// What a file system says of bytes that it has lost: the device fails to read them, or what it
/// read does not match the file system's own checksums. (ENODATA and EILSEQ are what Linux
/// reports of a bad sector and of bad integrity data where no file system comes between.)
const LOST: [Errno; 5] = [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::NODATA, Errno::ILSEQ];

/// Whether a failed read or open says that the bytes are lost, rather than that this call could
/// not be carried out (no memory, no descriptor, no permission). A file that ends too early has
/// lost its end.
pub fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error().is_some_and(|code| LOST.iter().any(|e| e.raw_os_error() == code))
}

/// Bytes whose loss is told apart from that of their neighbours.
const SECTOR: usize = 512;

/// Reads the first `len` bytes of a file.
///
/// Errors: [`Corruption`](StorageError::Corruption) at the first sector that is lost; I/O.
pub(crate) fn read_front(file: &dyn DiskFile, path: &Path, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let Err(error) = file.read_exact_at(&mut bytes, 0) else { return Ok(bytes) };
    let first = if is_lost(&error) { first_lost(file, len) } else { 0 };
    Err(StorageError::reading("read", path, first)(error))
}

fn first_lost(file: &dyn DiskFile, len: u64) -> u64 {
    let mut sector = [0; SECTOR];
    let lost = |at: &u64| {
        let len = (len - at).min(SECTOR as u64) as usize;
        file.read_exact_at(&mut sector[..len], *at).is_err()
    };
    // All of them may read this time; then the first is as good a place as any.
    (0..len).step_by(SECTOR).find(lost).unwrap_or(0)
}

/// Keeps a directory locked until it is dropped.
pub trait DirLock: Send + Sync {}

/// Room on a volume, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// What the volume holds altogether, but for what is kept back from this process.
    pub total: u64,
    /// What this process may still write.
    pub free: u64,
}

/// A file system.
///
/// Nothing is durable before a sync: bytes need [`DiskFile::sync_data`] on their
/// file; creating, renaming, linking and removing need [`Disk::sync_dir`] on the
/// directory.
pub trait Disk: Send + Sync {
    /// Opens a file. Errors: `NotFound`, `AlreadyExists` (for `Create`), or the system's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Names of the files and directories inside `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, atomically replacing `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name; `to` must not exist.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Creates a directory and its missing parents, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether a file or directory of that name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Locks a directory against other processes; `WouldBlock` if one holds it.
    fn lock_exclusive(&self, dir: &Path) -> io::Result<Box<dyn DirLock>>;

    /// Room on the volume of `dir`. `Unsupported` where nothing is known of it.
    fn space(&self, dir: &Path) -> io::Result<Space> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// An open file. Shared between threads; offsets are explicit.
// Nobody asks a file whether it is empty.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send + Sync {
    /// Reads at `offset` into `buffer`; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if need be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far, and the length, durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room for `len` bytes; what lies beyond the old end reads as zeros.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Reads exactly `buffer.len()` bytes, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends before offset {}", offset + buffer.len() as u64),
        ))
    }
}
