//! Segment files: their header, their names, and how one is born, sealed and recycled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{u32_at, u64_at};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::simulation::crash_point;
use crate::{Corruption, Result, StorageError};

/// Bytes of a segment's header; records start behind it.
pub(super) const HEADER: u64 = 64;
const MAGIC: &[u8; 8] = b"DOUGLOG\0";
const VERSION: u32 = 1;
/// No log gets so far: whatever counts from here on was never written by one, and could not be
/// followed.
const BEYOND: u64 = 1 << 62;
/// Free files kept for the next segments; more are removed.
pub(super) const SPARE_FILES: usize = 2;

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Number of this use of the file: 1, 2, 3, … without gaps.
    pub incarnation: u64,
    /// Position of its first record. All earlier ones were durable when this was written.
    pub first_lsn: u64,
    /// Where the records of the previous incarnation end; 0 for the first.
    pub previous_end: u64,
    /// Salt of its records' checksums.
    pub salt: u64,
    /// Bytes of the file.
    pub size: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        let words = [self.incarnation, self.first_lsn, self.previous_end, self.salt, self.size];
        for (i, word) in words.into_iter().enumerate() {
            bytes[16 + i * 8..24 + i * 8].copy_from_slice(&word.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file called `path`, which must be of `incarnation`.
    pub fn decode(bytes: &[u8], path: &Path, incarnation: u64) -> Result<Self> {
        let damaged = |offset: u64, what: &str| -> StorageError {
            Corruption::new(path, offset, what).into()
        };
        if bytes.len() < HEADER as usize {
            return Err(damaged(bytes.len() as u64, "the file ends inside the segment's header"));
        }
        if &bytes[..8] != MAGIC {
            return Err(damaged(0, "this is not a segment of a DougDB log"));
        }
        if crc32fast::hash(&bytes[12..HEADER as usize]) != u32_at(bytes, 8) {
            return Err(damaged(8, "the checksum of the segment's header does not match"));
        }
        let version = u32_at(bytes, 12);
        if version > VERSION {
            return Err(StorageError::NewerFormat {
                file: path.to_path_buf(),
                found: version,
                supported: VERSION,
            });
        }
        let header = Self {
            incarnation: u64_at(bytes, 16),
            first_lsn: u64_at(bytes, 24),
            previous_end: u64_at(bytes, 32),
            salt: u64_at(bytes, 40),
            size: u64_at(bytes, 48),
        };
        if header.incarnation != incarnation {
            let what = format!(
                "the header is of incarnation {}, the name of {incarnation}",
                header.incarnation
            );
            return Err(damaged(16, &what));
        }
        if header.incarnation == 0 || header.first_lsn == 0 {
            return Err(damaged(16, "the segment's header counts from 0, and both count from 1"));
        }
        if header.incarnation >= BEYOND || header.first_lsn >= BEYOND {
            return Err(damaged(16, "the segment's header counts further than any log gets"));
        }
        Ok(header)
    }
}

/// Name of the segment of an incarnation.
pub(super) fn name(incarnation: u64) -> String {
    format!("{incarnation:020}.log")
}

/// The incarnation in a segment's name, if it is one.
pub(super) fn incarnation_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn is_free(name: &str) -> bool {
    name.starts_with("free-") && name.ends_with(".log")
}

/// The log's directory, and the files in it that wait to become segments.
pub(super) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    free: Vec<PathBuf>,
    next_free: u64,
}

impl SegmentFiles {
    /// Takes over the directory; the free files in it may hold anything.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let names = disk.list(dir).map_err(StorageError::io("list", dir))?;
        let free: Vec<String> = names.into_iter().filter(|n| is_free(n)).collect();
        let number =
            |n: &String| n.strip_prefix("free-")?.strip_suffix(".log")?.parse::<u64>().ok();
        let next_free = free.iter().filter_map(number).max().map_or(0, |n| n + 1);
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
            free: free.iter().map(|n| dir.join(n)).collect(),
            next_free,
        })
    }

    /// The files that wait to become segments.
    pub fn free(&self) -> &[PathBuf] {
        &self.free
    }

    fn free_name(&mut self) -> PathBuf {
        self.next_free += 1;
        self.dir.join(format!("free-{:020}.log", self.next_free - 1))
    }

    /// Makes sure that the next segment finds its room already allocated.
    pub fn prepare_spare(&mut self, size: u64) -> Result<()> {
        if self.free.is_empty() {
            let path = self.free_name();
            if let Err(error) = self.allocate(&path, OpenMode::Create, size) {
                // Each attempt makes a file; on a full disk they would pile up. One that cannot
                // even be removed waits for the next start, which takes in whatever is free.
                if let Err(error) = self.disk.remove(&path) {
                    tracing::debug!(%error, file = %path.display(), "a half made spare segment \
                        stays");
                }
                return Err(error);
            }
            self.free.push(path);
        }
        Ok(())
    }

    fn allocate(&self, path: &Path, mode: OpenMode, size: u64) -> Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode).map_err(StorageError::io("open", path))?;
        let len = file.len().map_err(StorageError::io("measure", path))?;
        if len > size {
            file.set_len(size).map_err(StorageError::io("shorten", path))?;
        }
        file.allocate(size).map_err(StorageError::io("allocate room for", path))?;
        crash_point("log segment: room allocated");
        Ok(file)
    }

    /// Gives birth to a segment, durably.
    ///
    /// The header is durable before the file has its name, so a segment whose
    /// header does not read is damaged, never half made.
    pub fn activate(&mut self, header: &Header) -> Result<(PathBuf, Arc<dyn DiskFile>)> {
        let (from, mode) = match self.free.pop() {
            Some(path) => (path, OpenMode::ReadWrite),
            None => (self.free_name(), OpenMode::Create),
        };
        let file = self.allocate(&from, mode, header.size)?;
        file.write_at(&header.encode(), 0)
            .map_err(StorageError::io("write the header of", &from))?;
        crash_point("log segment: header written");
        file.sync_data().map_err(StorageError::io("sync", &from))?;
        crash_point("log segment: header synced");
        let path = self.dir.join(name(header.incarnation));
        self.disk.rename(&from, &path).map_err(StorageError::io("rename to", &path))?;
        crash_point("log segment: renamed");
        self.sync_dir()?;
        crash_point("log segment: in force");
        Ok((path, file))
    }

    /// Takes a segment's name away, durably, before anything may write to the file:
    /// else a lost rename would leave a segment with its successor's header.
    pub fn retire(&mut self, path: &Path) -> Result<()> {
        let free = self.free_name();
        self.disk.rename(path, &free).map_err(StorageError::io("rename", path))?;
        crash_point("log retirement: renamed");
        self.sync_dir()?;
        crash_point("log retirement: done");
        if self.free.len() < SPARE_FILES {
            self.free.push(free);
            return Ok(());
        }
        self.disk.remove(&free).map_err(StorageError::io("remove", &free))
    }

    fn sync_dir(&self) -> Result<()> {
        self.disk.sync_dir(&self.dir).map_err(StorageError::io("sync the directory", &self.dir))
    }
}
