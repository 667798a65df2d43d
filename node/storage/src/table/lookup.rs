//! Filter and index of a table: whether it may hold a key, and in which block.

use super::block::Block;
use super::bloom::Filter;
use super::entry::Place;
use super::format::{Handle, IndexEntry, TRAILER};
use super::properties::Properties;
use super::slot::Slot;
use crate::codec::Malformed;

/// Filter and index, in memory.
pub(crate) struct Lookup {
    pub(crate) filter: Filter,
    pub(crate) index: Block,
}

impl Lookup {
    /// Bytes of memory that it holds.
    pub(crate) fn weight(&self) -> usize {
        self.filter.weight() + self.index.weight()
    }

    /// Number of data blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.index.restarts()
    }

    /// False if the table holds no version of the key with that hash.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// The first block that may hold a version at or after `target`; [`Self::blocks`] if none does.
    pub(crate) fn block_for(&self, target: Place<'_>) -> Result<usize, Malformed> {
        // The index keys are last places: the sought block is the first not before it.
        self.index.restarts_before(target)
    }

    /// What the index says of a block.
    pub(crate) fn entry(&self, block: usize) -> Result<IndexEntry, Malformed> {
        let entry = self.index.restart_entry(block)?;
        if entry.next != self.index.restart_end(block) {
            return Err("the index holds entries between its restart points");
        }
        match entry.slot {
            Slot::Value { value, .. } => IndexEntry::decode(self.index.slice(value)),
            Slot::Tombstone { .. } => Err("the index holds a tombstone"),
        }
    }

    /// Data blocks must tile the file up to `data_end`: a gap would hold lost versions.
    pub(crate) fn check(&self, data_end: u64, properties: &Properties) -> Result<(), Malformed> {
        let mut end = 0;
        let (mut least, mut greatest) = (u64::MAX, 0);
        for i in 0..self.blocks() {
            let entry = self.entry(i)?;
            least = least.min(entry.least);
            greatest = greatest.max(entry.greatest);
            let handle: Handle = entry.handle;
            if handle.offset != end || (handle.len as usize) < TRAILER {
                return Err("the index does not list adjacent blocks");
            }
            end = handle.end().ok_or("a block length overflows")?;
        }
        if end != data_end {
            return Err("the index does not cover all data blocks");
        }
        if (least, greatest) != (properties.min_revision, properties.max_revision) {
            return Err("the revisions in the index are not those in the properties");
        }
        Ok(())
    }
}
