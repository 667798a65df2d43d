//! A table that grows chunk by chunk and knows, after any crash, how much of it is sound.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MAX_CHUNK_BYTES, chunk_checksum};
use crate::disk::{Disk, DiskFile, OpenMode, is_lost};
use crate::simulation::crash_point;
use crate::{Result, StorageError};

/// A record of the sums: length and checksum of a chunk, 32-bit little-endian each.
const RECORD: u64 = 8;

/// The bytes so far (`.part`), and beside them a checksum for each chunk (`.sums`). Nothing
/// is synced before the table is whole: whatever a power loss takes or tears does not match
/// its checksum, and the table is cut there.
pub(super) struct Partial {
    identity: u64,
    path: PathBuf,
    part: Arc<dyn DiskFile>,
    sums: Arc<dyn DiskFile>,
    len: u64,
    chunks: u64,
}

impl Partial {
    /// Opens what there is, or begins; cuts off what does not match.
    pub fn open(disk: &dyn Disk, part: &Path, sums: &Path, identity: u64) -> Result<Self> {
        let mut partial = Self {
            identity,
            path: part.to_path_buf(),
            part: open_or_create(disk, part)?,
            sums: open_or_create(disk, sums)?,
            len: 0,
            chunks: 0,
        };
        let io = || StorageError::io("read", part);
        let stored = partial.part.len().map_err(io())?;
        while let Some((len, checksum)) = partial.record(partial.chunks).map_err(io())? {
            if len == 0 || len > MAX_CHUNK_BYTES as u64 || partial.len + len > stored {
                break;
            }
            let mut data = vec![0; len as usize];
            match partial.part.read_exact_at(&mut data, partial.len) {
                // As if it did not match: it is sent again, and written anew.
                Err(error) if is_lost(&error) => break,
                read => read.map_err(io())?,
            }
            if chunk_checksum(identity, partial.len, &data) != checksum {
                break;
            }
            // An earlier process may have ended because its fsync failed: then these bytes are read
            // from memory, will never reach the disk by themselves, and no later fsync says so.
            partial.part.write_at(&data, partial.len).map_err(io())?;
            partial.len += len;
            partial.chunks += 1;
        }
        partial.part.set_len(partial.len).map_err(StorageError::io("cut", part))?;
        partial.sums.set_len(partial.chunks * RECORD).map_err(StorageError::io("cut", sums))?;
        Ok(partial)
    }

    fn record(&self, number: u64) -> std::io::Result<Option<(u64, u32)>> {
        let mut bytes = [0; RECORD as usize];
        let read = match self.sums.read_at(&mut bytes, number * RECORD) {
            Err(error) if is_lost(&error) => 0,
            read => read?,
        };
        let word = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four of eight bytes"))
        };
        Ok((read == bytes.len()).then(|| (u64::from(word(0)), word(4))))
    }

    /// Bytes that are sound.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Appends a chunk that matches its checksum.
    pub fn append(&mut self, data: &[u8], checksum: u32) -> Result<()> {
        debug_assert_eq!(chunk_checksum(self.identity, self.len, data), checksum);
        let io = || StorageError::io("write", &self.path);
        self.part.write_at(data, self.len).map_err(io())?;
        crash_point("snapshot received: chunk written");
        let mut record = (data.len() as u32).to_le_bytes().to_vec();
        record.extend_from_slice(&checksum.to_le_bytes());
        self.sums.write_at(&record, self.chunks * RECORD).map_err(io())?;
        self.len += data.len() as u64;
        self.chunks += 1;
        crash_point("snapshot received: chunk noted");
        Ok(())
    }

    /// Makes the bytes durable.
    pub fn sync(&self) -> Result<()> {
        self.part.sync_data().map_err(|error| StorageError::Fatal {
            what: format!("could not sync {}: {error}", self.path.display()),
        })
    }
}

fn open_or_create(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>> {
    let mode = if disk.exists(path).map_err(StorageError::io("look for", path))? {
        OpenMode::ReadWrite
    } else {
        OpenMode::Create
    };
    disk.open(path, mode).map_err(StorageError::io("open", path))
}
