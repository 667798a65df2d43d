//! Writes a table front to back, holding one block and one write buffer in memory.
//!
//! Beside those only eight bytes a key (for the filter) and the index grow; both are
//! bounded by the size at which tables are split.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::batches::{Candidates, Contained};
use super::block::BlockBuilder;
use super::compress::{Compression, Compressor};
use super::entry::compare;
use super::format::{Footer, Handle, IndexEntry, Site, seal};
use super::properties::Properties;
use super::slot::Slot;
use super::{batches, bloom};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::simulation::crash_point;
use crate::{Result, StorageError};

/// Bytes collected before they are written.
const WRITE_BUFFER: usize = 256 << 10;

/// Of a block without versions: any revision is below the least and above the greatest.
const NO_REVISIONS: (u64, u64) = (u64::MAX, 0);

/// The geometry of a table.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// A data block is closed when it reaches this many bytes, before compression.
    pub block_bytes: usize,
    /// Entries between two restart points, at least 1.
    pub restart_interval: usize,
    /// Bits of bloom filter a key.
    pub bloom_bits_per_key: usize,
    /// Compression of data blocks.
    pub compression: Compression,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            block_bytes: 8 << 10,
            restart_interval: 16,
            bloom_bits_per_key: 10,
            compression: Compression::Lz4,
        }
    }
}

/// Builds one table. Dropped before [`Self::finish`], it leaves an incomplete file.
pub struct TableBuilder {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    identity: u64,
    options: TableOptions,
    buffer: Vec<u8>,
    /// Bytes already handed to the file.
    written: u64,
    block: BlockBuilder,
    compressor: Compressor,
    index: BlockBuilder,
    hashes: Vec<u64>,
    last_key: Vec<u8>,
    last_revision: u64,
    /// Least and greatest revision of the block being built.
    block_revisions: (u64, u64),
    contained: Contained,
    properties: Properties,
}

impl TableBuilder {
    /// Creates the file, which must not exist yet. `identity` names the table among all
    /// tables of all nodes: random bits, never used again.
    pub fn create(
        disk: &dyn Disk,
        path: &Path,
        identity: u64,
        options: TableOptions,
    ) -> Result<Self> {
        let file = disk.open(path, OpenMode::Create).map_err(StorageError::io("create", path))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            identity,
            block: BlockBuilder::new(options.restart_interval),
            compressor: Compressor::new(options.compression),
            index: BlockBuilder::new(1),
            options,
            buffer: Vec::new(),
            written: 0,
            hashes: Vec::new(),
            last_key: Vec::new(),
            last_revision: 0,
            block_revisions: NO_REVISIONS,
            contained: Contained::new(Candidates::default()),
            properties: Properties::default(),
        })
    }

    /// The batches that its versions may be of: the table lists those that it holds.
    pub fn of_batches(mut self, candidates: Candidates) -> Self {
        self.contained = Contained::new(candidates);
        self
    }

    /// Appends a version of a key, its class in front.
    ///
    /// Panics if it does not come after the version before it in internal order (key
    /// ascending, revision descending): a search would never find it again.
    pub fn add(&mut self, key: &[u8], revision: u64, slot: &Slot) -> Result<()> {
        let first = self.properties.entries == 0;
        let last = (self.last_key.as_slice(), self.last_revision);
        assert!(
            first || compare(last, (key, revision)) == Ordering::Less,
            "versions must be added to a table in order"
        );
        if first || self.last_key != key {
            self.hashes.push(bloom::hash(key));
        }
        self.count(key, revision, slot);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last_revision = revision;
        self.block.add(key, revision, slot);
        self.contained.note(revision);
        let (least, greatest) = self.block_revisions;
        self.block_revisions = (least.min(revision), greatest.max(revision));
        if self.block.size() >= self.options.block_bytes {
            self.close_block()?;
        }
        Ok(())
    }

    fn count(&mut self, key: &[u8], revision: u64, slot: &Slot) {
        let p = &mut self.properties;
        if p.entries == 0 {
            p.min_key = Bytes::copy_from_slice(key);
            p.min_revision = revision;
            p.max_revision = revision;
        }
        p.entries += 1;
        p.tombstones += u64::from(slot.is_tombstone());
        p.min_revision = p.min_revision.min(revision);
        p.max_revision = p.max_revision.max(revision);
        p.tags |= slot.tags();
        p.raw_bytes += (key.len() + slot.len()) as u64;
    }

    /// Bytes the data would take if the table ended here.
    pub fn size(&self) -> u64 {
        self.position() + self.block.size() as u64
    }

    /// The key added last; empty before the first.
    pub fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn close_block(&mut self) -> Result<()> {
        let payload = self.block.finish();
        let site = self.site();
        let compressed = self.compressor.compress(&payload);
        let handle = seal(&payload, compressed, site, &mut self.buffer);
        let (least, greatest) = std::mem::replace(&mut self.block_revisions, NO_REVISIONS);
        let entry = Slot::value(IndexEntry { handle, least, greatest }.encode());
        self.index.add(&self.last_key, self.last_revision, &entry);
        if self.buffer.len() >= WRITE_BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    /// Where the next block comes to lie.
    fn site(&self) -> Site {
        Site { identity: self.identity, offset: self.position() }
    }

    /// Appends a block that is not worth compressing.
    fn seal(&mut self, payload: &[u8]) -> Handle {
        let site = self.site();
        seal(payload, None, site, &mut self.buffer)
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_at(&self.buffer, self.written)
            .map_err(StorageError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the table and makes its bytes durable; the directory is the caller's
    /// to sync. Returns what it holds and the file's length.
    ///
    /// Panics if nothing was added: an empty table has no first key.
    pub fn finish(mut self) -> Result<(Properties, u64)> {
        assert!(self.properties.entries > 0, "a table holds a version");
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.properties.max_key = Bytes::copy_from_slice(&self.last_key);
        let filter = bloom::encode(&self.hashes, self.options.bloom_bits_per_key);
        let filter = self.seal(&filter);
        let index = self.index.finish();
        let index = self.seal(&index);
        let batches = batches::encode(&self.contained.finish());
        let batches = self.seal(&batches);
        let properties = self.properties.encode();
        let properties = self.seal(&properties);
        let footer = Footer {
            identity: self.identity,
            index,
            filter,
            properties,
            batches,
            file_len: self.position() + super::format::FOOTER as u64,
        };
        self.buffer.extend_from_slice(&footer.encode());
        self.flush()?;
        crash_point("table: written");
        self.file.sync_data().map_err(|e| StorageError::Fatal {
            what: format!("could not sync {}: {e}", self.path.display()),
        })?;
        crash_point("table: synced");
        Ok((self.properties, self.written))
    }
}
