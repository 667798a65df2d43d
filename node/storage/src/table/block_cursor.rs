//! Walking through one block, forward or in reverse.

use std::cmp::Ordering;
use std::ops::Range;

use super::block::Block;
use super::entry::{Place, compare};
use super::slot::{DeletionCause, Slot};
use crate::codec::Malformed;

/// Walks forward; the key is rebuilt in place from shared prefixes.
pub(crate) struct ForwardBlock {
    block: Block,
    key: Vec<u8>,
    revision: u64,
    slot: Slot<Range<usize>>,
    next: usize,
    valid: bool,
}

impl ForwardBlock {
    /// Stands at the first entry.
    pub(crate) fn first(block: Block) -> Result<Self, Malformed> {
        let mut cursor = Self::unpositioned(block, 0);
        cursor.advance()?;
        Ok(cursor)
    }

    /// Stands at the first entry at or after `target`.
    pub(crate) fn seek(block: Block, target: Place<'_>) -> Result<Self, Malformed> {
        // The last restart before the target: the entry sought may follow it.
        let restart = block.restarts_before(target)?.saturating_sub(1);
        let start = block.restart(restart);
        let mut cursor = Self::unpositioned(block, start);
        cursor.advance()?;
        while cursor.valid && compare(cursor.place(), target) == Ordering::Less {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    fn unpositioned(block: Block, next: usize) -> Self {
        let slot = Slot::Tombstone { cause: DeletionCause::Delete };
        Self { block, key: Vec::new(), revision: 0, slot, next, valid: false }
    }

    pub(crate) fn advance(&mut self) -> Result<(), Malformed> {
        self.valid = self.next < self.block.entries_end();
        if !self.valid {
            return Ok(());
        }
        let entry = self.block.entry(self.next)?;
        if entry.shared > self.key.len() {
            return Err("a key shares more bytes than the key before it has");
        }
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(self.block.slice(entry.suffix));
        self.revision = entry.revision;
        self.slot = entry.slot;
        self.next = entry.next;
        Ok(())
    }

    pub(crate) fn valid(&self) -> bool {
        self.valid
    }

    pub(crate) fn place(&self) -> Place<'_> {
        (&self.key, self.revision)
    }

    pub(crate) fn slot(&self) -> Slot {
        self.block.slot(&self.slot)
    }
}

/// Walks in reverse: unfolds one restart's entries at a time and walks back over them.
pub(crate) struct ReverseBlock {
    block: Block,
    restart: usize,
    /// Keys of the unfolded entries, one after the other.
    keys: Vec<u8>,
    entries: Vec<Unfolded>,
    /// Entries not yet passed; the current one is the last of them.
    left: usize,
}

struct Unfolded {
    key: Range<usize>,
    revision: u64,
    slot: Slot<Range<usize>>,
}

impl ReverseBlock {
    /// Stands at the last entry.
    pub(crate) fn last(block: Block) -> Result<Self, Malformed> {
        let restart = block.restarts() - 1;
        Self::unfolded(block, restart)
    }

    /// Stands at the last entry before `target`.
    pub(crate) fn before(block: Block, target: Place<'_>) -> Result<Self, Malformed> {
        let earlier = block.restarts_before(target)?;
        let mut cursor = Self::unfolded(block, earlier.saturating_sub(1))?;
        while cursor.valid() && compare(cursor.place(), target) != Ordering::Less {
            cursor.left -= 1;
        }
        Ok(cursor)
    }

    fn unfolded(block: Block, restart: usize) -> Result<Self, Malformed> {
        let mut cursor = Self { block, restart, keys: Vec::new(), entries: Vec::new(), left: 0 };
        cursor.unfold()?;
        Ok(cursor)
    }

    fn unfold(&mut self) -> Result<(), Malformed> {
        self.keys.clear();
        self.entries.clear();
        let mut at = self.block.restart(self.restart);
        let end = self.block.restart_end(self.restart);
        let mut previous = 0..0;
        while at < end {
            let entry = self.block.entry(at)?;
            if entry.shared > previous.len() {
                return Err("a key shares more bytes than the key before it has");
            }
            let start = self.keys.len();
            self.keys.extend_from_within(previous.start..previous.start + entry.shared);
            self.keys.extend_from_slice(self.block.slice(entry.suffix));
            previous = start..self.keys.len();
            self.entries.push(Unfolded {
                key: previous.clone(),
                revision: entry.revision,
                slot: entry.slot,
            });
            at = entry.next;
        }
        self.left = self.entries.len();
        Ok(())
    }

    pub(crate) fn advance(&mut self) -> Result<(), Malformed> {
        self.left -= 1;
        if self.left == 0 && self.restart > 0 {
            self.restart -= 1;
            self.unfold()?;
        }
        Ok(())
    }

    pub(crate) fn valid(&self) -> bool {
        self.left > 0
    }

    pub(crate) fn place(&self) -> Place<'_> {
        let entry = &self.entries[self.left - 1];
        (&self.keys[entry.key.clone()], entry.revision)
    }

    pub(crate) fn slot(&self) -> Slot {
        self.block.slot(&self.entries[self.left - 1].slot)
    }
}
