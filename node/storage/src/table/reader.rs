//! Reads a table: footer and properties when opened, filter, index and blocks on demand.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::batches::{self, TimedBatch};
use super::block::Block;
use super::block_cursor::ForwardBlock;
use super::bloom::Filter;
use super::cursor::TableCursor;
use super::entry::{Cursor, Place, compare};
use super::format::{FOOTER, FORMAT_VERSION, Footer, Handle, IndexEntry, Refusal, Site, unseal};
use super::lookup::Lookup;
use super::properties::Properties;
use super::slot::Slot;
use super::{FileId, ObsoleteFiles};
use crate::cache::{BlockCache, TableFile, TableFiles};
use crate::codec::Malformed;
use crate::{Corruption, Result, StorageError};

/// Whether blocks read go through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// They are kept for the next reader.
    Fill,
    /// Compaction reads everything once: caching that would evict what readers use.
    Bypass,
}

/// An open table. Filter, index and data blocks stay in the cache as long as there is room, and
/// its descriptor as long as the node has one to spare.
///
/// A table marked obsolete reports its file for deletion when the last holder drops it.
pub struct Table {
    id: FileId,
    file: TableFile,
    size: u64,
    identity: u64,
    /// End of the last data block.
    data_end: u64,
    filter: Handle,
    index: Handle,
    batches: Handle,
    properties: Properties,
    cache: BlockCache,
    deletions: ObsoleteFiles,
}

impl Table {
    /// Opens the table at `path` and verifies all of it but the data blocks.
    /// Errors: I/O, corruption naming file and offset, or a newer format.
    pub fn open(
        files: &TableFiles,
        path: &Path,
        id: FileId,
        cache: BlockCache,
        deletions: ObsoleteFiles,
    ) -> Result<Self> {
        let file = files.open(path).map_err(StorageError::reading("open", path, 0))?;
        let size = file.get().and_then(|file| file.len());
        let size = size.map_err(StorageError::reading("measure", path, 0))?;
        let raw = RawTable { file: &file, size };
        let footer = raw.footer()?;
        let identity = footer.identity;
        let properties =
            raw.part(identity, footer.properties, |bytes| Properties::decode(&bytes))?;
        deletions.hold(id);
        let table = Self {
            id,
            file,
            size,
            identity,
            data_end: footer.filter.offset,
            filter: footer.filter,
            index: footer.index,
            batches: footer.batches,
            properties,
            cache,
            deletions,
        };
        let checked = table.lookup()?.check(table.data_end, &table.properties);
        checked.map_err(|what| table.damaged(footer.index.offset, what))?;
        Ok(table)
    }

    /// The file's id.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Names the table wherever copies of it are: equal identities, equal bytes.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// What the table holds.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// From now on the file is reported for deletion when the last holder drops it.
    /// Call it only after the manifest edit that removes the table is durable.
    pub(crate) fn mark_obsolete(&self) {
        self.deletions.condemn(self.id);
    }

    /// The newest version of `key` at or below revision `at`; `hash` is the key's.
    pub(crate) fn get(&self, key: &[u8], hash: u64, at: u64) -> Result<Option<(u64, Slot)>> {
        let p = &self.properties;
        let outside = key < p.min_key || key > p.max_key || at < p.min_revision;
        if outside {
            return Ok(None);
        }
        let lookup = self.lookup()?;
        if !lookup.may_contain(hash) {
            return Ok(None);
        }
        let block = self.block_for(&lookup, (key, at))?;
        // The version sought stands in this block or nowhere: the next one begins behind it.
        if block == lookup.blocks() || at < self.entry_of(&lookup, block)?.least {
            return Ok(None);
        }
        let seek = |block| ForwardBlock::seek(block, (key, at));
        let cursor = self.in_block(&lookup, block, Caching::Fill, seek)?;
        let found = cursor.valid() && cursor.place().0 == key;
        Ok(found.then(|| (cursor.place().1, cursor.slot())))
    }

    /// Filter and index, read anew if they had to leave the cache.
    ///
    /// Errors: I/O, or corruption naming file and offset.
    pub(crate) fn lookup(&self) -> Result<Arc<Lookup>> {
        if let Some(lookup) = self.cache.lookup(self.id) {
            return Ok(lookup);
        }
        let raw = RawTable { file: &self.file, size: self.size };
        let filter = raw.part(self.identity, self.filter, |bytes| Ok(Filter::parse(bytes)?))?;
        let index = raw.part(self.identity, self.index, |bytes| Ok(Block::parse(bytes)?))?;
        let lookup = Arc::new(Lookup { filter, index });
        self.cache.insert_lookup(self.id, lookup.clone());
        Ok(lookup)
    }

    /// The first block that may hold a version at or after `target`; [`Lookup::blocks`] if none
    /// does.
    pub(crate) fn block_for(&self, lookup: &Lookup, target: Place<'_>) -> Result<usize> {
        lookup.block_for(target).map_err(|what| self.damaged(self.index.offset, what))
    }

    fn entry_of(&self, lookup: &Lookup, block: usize) -> Result<IndexEntry> {
        lookup.entry(block).map_err(|what| self.damaged(self.index.offset, what))
    }

    /// Reads block `block` and works on it; what `work` finds malformed is damage there.
    pub(crate) fn in_block<T>(
        &self,
        lookup: &Lookup,
        block: usize,
        caching: Caching,
        work: impl FnOnce(Block) -> Result<T, Malformed>,
    ) -> Result<T> {
        let handle = self.entry_of(lookup, block)?.handle;
        let block = self.read(handle, caching)?;
        work(block).map_err(|what| self.damaged(handle.offset, what))
    }

    /// Offset of a block, for errors met while walking in it.
    pub(crate) fn damaged_in(
        &self,
        lookup: &Lookup,
        block: usize,
        what: Malformed,
    ) -> StorageError {
        let offset = lookup.entry(block).map_or(self.data_end, |entry| entry.handle.offset);
        self.damaged(offset, what)
    }

    fn read(&self, handle: Handle, caching: Caching) -> Result<Block> {
        if caching == Caching::Fill
            && let Some(block) = self.cache.get(self.id, handle.offset)
        {
            return Ok(block);
        }
        let raw = RawTable { file: &self.file, size: self.size };
        let block = raw.part(self.identity, handle, |bytes| Ok(Block::parse(bytes)?))?;
        if caching == Caching::Fill {
            self.cache.insert(self.id, handle.offset, block.clone());
        }
        Ok(block)
    }

    /// The batches that the table holds versions of, in order; see [`TimedBatch`]. They are
    /// read from the disk each time.
    ///
    /// Errors: I/O, or corruption naming file and offset.
    pub fn batches(&self) -> Result<Vec<TimedBatch>> {
        let raw = RawTable { file: &self.file, size: self.size };
        raw.part(self.identity, self.batches, |bytes| Ok(batches::decode(&bytes)?))
    }

    /// Reads every block, past the cache, and checks that it holds what the properties say,
    /// in order.
    ///
    /// Errors: I/O, or corruption naming file and offset.
    pub fn verify(self: &Arc<Self>) -> Result<()> {
        let lookup = self.lookup()?;
        let mut cursor = TableCursor::forward(Arc::clone(self), None, Caching::Bypass)?;
        self.batches()?;
        let (mut entries, mut tombstones) = (0, 0);
        let mut last: Option<(Vec<u8>, u64)> = None;
        let damaged = |what| Err(self.damaged(self.data_end, what));
        while cursor.valid() {
            let (key, revision) = cursor.place();
            let p = &self.properties;
            if key < p.min_key
                || key > p.max_key
                || !(p.min_revision..=p.max_revision).contains(&revision)
            {
                return damaged("a version lies outside what the properties say");
            }
            let slot = cursor.slot();
            if slot.tags() & !p.tags != 0 {
                return damaged("a slot carries attributes that the properties do not list");
            }
            let block = self.entry_of(&lookup, cursor.block())?;
            if !(block.least..=block.greatest).contains(&revision) {
                return damaged("a version lies outside what the index says of its block");
            }
            if let Some((last_key, last_revision)) = &mut last {
                if compare((last_key, *last_revision), (key, revision)) != Ordering::Less {
                    return damaged("its versions are out of order");
                }
                last_key.clear();
                last_key.extend_from_slice(key);
                *last_revision = revision;
            } else {
                last = Some((key.to_vec(), revision));
            }
            entries += 1;
            tombstones += u64::from(slot.is_tombstone());
            cursor.advance()?;
        }
        if (entries, tombstones) != (self.properties.entries, self.properties.tombstones) {
            return damaged("it does not hold as many versions as its properties say");
        }
        Ok(())
    }

    fn damaged(&self, offset: u64, what: Malformed) -> StorageError {
        Corruption::new(self.file.path(), offset, what).into()
    }

    /// How `key` lies to the table's keys: `Less` before the first, `Greater` after
    /// the last, `Equal` between.
    pub(crate) fn compare_key(&self, key: &[u8]) -> Ordering {
        if key < self.properties.min_key {
            Ordering::Less
        } else if key > self.properties.max_key {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache.forget_lookup(self.id);
        self.deletions.release(self.id);
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("id", &self.id)
            .field("size", &self.size)
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

/// A table's file before anything in it is trusted.
struct RawTable<'a> {
    file: &'a TableFile,
    size: u64,
}

impl RawTable<'_> {
    fn footer(&self) -> Result<Footer> {
        let Some(offset) = self.size.checked_sub(FOOTER as u64) else {
            return Err(self.damaged(0, "it is shorter than a table's footer"));
        };
        let bytes = self.bytes(offset, FOOTER)?;
        let footer = Footer::decode(&bytes).map_err(|refusal| self.refused(offset, refusal))?;
        // The parts must fill the file, so that no byte goes unchecked.
        let adjacent = footer.filter.end() == Some(footer.index.offset)
            && footer.index.end() == Some(footer.batches.offset)
            && footer.batches.end() == Some(footer.properties.offset)
            && footer.properties.end() == Some(offset)
            && footer.file_len == self.size;
        if !adjacent {
            return Err(self.damaged(offset, "the footer does not describe a file of this length"));
        }
        Ok(footer)
    }

    fn part<T>(
        &self,
        identity: u64,
        handle: Handle,
        parse: impl FnOnce(Bytes) -> Result<T, Refusal>,
    ) -> Result<T> {
        let inside = handle.end().is_some_and(|end| end <= self.size);
        if !inside {
            return Err(self.damaged(handle.offset, "a block lies beyond the end of the file"));
        }
        let sealed = self.bytes(handle.offset, handle.len as usize)?;
        unseal(sealed, Site { identity, offset: handle.offset })
            .map_err(Refusal::from)
            .and_then(parse)
            .map_err(|refusal| self.refused(handle.offset, refusal))
    }

    fn refused(&self, offset: u64, refusal: Refusal) -> StorageError {
        let file = self.file.path().to_path_buf();
        match refusal {
            Refusal::Malformed(what) => self.damaged(offset, what),
            Refusal::Newer(found) => {
                StorageError::NewerFormat { file, found, supported: FORMAT_VERSION }
            }
            Refusal::NewerContent(what) => StorageError::NewerContent { file, what },
        }
    }

    fn bytes(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut buffer = vec![0; len];
        let path = self.file.path();
        let file = self.file.get().map_err(StorageError::reading("open", path, offset))?;
        let read = file.read_exact_at(&mut buffer, offset);
        read.map_err(StorageError::reading("read", path, offset))?;
        Ok(buffer.into())
    }

    fn damaged(&self, offset: u64, what: Malformed) -> StorageError {
        Corruption::new(self.file.path(), offset, what).into()
    }
}
