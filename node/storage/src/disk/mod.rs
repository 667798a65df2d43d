//! The only way to the disk: a small trait, so that tests can lose power.

mod real;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

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
