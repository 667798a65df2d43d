//! One block: versions in order, keys prefix-compressed, found by restart points.
//!
//! ```text
//! block   := entry* restart* count
//! entry   := shared:varint unshared:varint slot length:varint revision:varint
//!            key[shared..]:unshared bytes  slot (see `slot`)
//! restart := u32 LE, offset of an entry with shared = 0
//! count   := u32 LE, number of restarts, at least 1
//! ```
//! `shared` counts the leading bytes a key has in common with the key before it.
//! Every `interval` entries a restart stores its key whole, so that a search can
//! jump. The index uses the same block with an interval of 1.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use super::entry::{Place, compare};
use super::slot::Slot;
use crate::codec::{Decoder, Malformed, put_varint};

/// Builds one block; reusable.
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    interval: usize,
    since_restart: usize,
    last_key: Vec<u8>,
    /// What stands before the value in the slot being added.
    head: Vec<u8>,
}

impl BlockBuilder {
    pub(crate) fn new(interval: usize) -> Self {
        assert!(interval > 0, "a restart interval counts entries from 1");
        Self {
            bytes: Vec::new(),
            restarts: Vec::new(),
            interval,
            since_restart: 0,
            last_key: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Appends a version; the caller keeps the internal order.
    pub(crate) fn add(&mut self, key: &[u8], revision: u64, slot: &Slot) {
        let restart = self.restarts.is_empty() || self.since_restart == self.interval;
        let shared = if restart {
            self.restarts.push(self.bytes.len() as u32);
            self.since_restart = 0;
            0
        } else {
            shared_prefix(&self.last_key, key)
        };
        self.head.clear();
        slot.encode_head(&mut self.head);
        let slot_len = self.head.len() + slot.bytes().len();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, (key.len() - shared) as u64);
        put_varint(&mut self.bytes, slot_len as u64);
        put_varint(&mut self.bytes, revision);
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(&self.head);
        self.bytes.extend_from_slice(slot.bytes());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.since_restart += 1;
        assert!(
            self.bytes.len() <= u32::MAX as usize,
            "a block of {} bytes cannot be addressed by its restarts",
            self.bytes.len()
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.restarts.is_empty()
    }

    /// Bytes the block would have if finished now.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len() + 4
    }

    /// Completes the block and starts the next one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let count = self.restarts.len() as u32;
        for restart in self.restarts.drain(..) {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.since_restart = 0;
        self.last_key.clear();
        let next = Vec::with_capacity(self.bytes.len());
        std::mem::replace(&mut self.bytes, next)
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// A decoded block: the bytes and where its restarts stand. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    entries_end: usize,
    restarts: usize,
}

/// One entry as it stands in the block; the key still lacks its shared prefix.
pub(crate) struct RawEntry {
    pub(crate) shared: usize,
    pub(crate) suffix: Range<usize>,
    pub(crate) revision: u64,
    pub(crate) slot: Slot<Range<usize>>,
    /// Where the next entry starts.
    pub(crate) next: usize,
}

impl Block {
    /// Takes a block apart; the restarts are checked, the entries when they are read.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let count_at = bytes.len().checked_sub(4).ok_or("a block is too short")?;
        let restarts = Decoder::starting_at(&bytes, count_at).u32()? as usize;
        if restarts == 0 {
            return Err("a block has no restart point");
        }
        let entries_end = restarts
            .checked_mul(4)
            .and_then(|len| count_at.checked_sub(len))
            .ok_or("a block has more restart points than bytes")?;
        let block = Self { bytes, entries_end, restarts };
        block.check_restarts()?;
        Ok(block)
    }

    fn check_restarts(&self) -> Result<(), Malformed> {
        let ascending = (1..self.restarts).all(|i| self.restart(i - 1) < self.restart(i));
        if self.restart(0) != 0 || !ascending || self.restart(self.restarts - 1) >= self.entries_end
        {
            return Err("a block's restart points are not in order");
        }
        Ok(())
    }

    /// Number of restart points, at least 1.
    pub(crate) fn restarts(&self) -> usize {
        self.restarts
    }

    /// Offset of the entry at restart point `i`.
    pub(crate) fn restart(&self, i: usize) -> usize {
        let at = self.entries_end + 4 * i;
        let bytes = &self.bytes[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }

    /// Where the entries of restart point `i` end.
    pub(crate) fn restart_end(&self, i: usize) -> usize {
        if i + 1 < self.restarts { self.restart(i + 1) } else { self.entries_end }
    }

    pub(crate) fn entries_end(&self) -> usize {
        self.entries_end
    }

    /// Memory the block holds on to.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// Decodes the entry at `at`, which must lie before [`Self::entries_end`].
    pub(crate) fn entry(&self, at: usize) -> Result<RawEntry, Malformed> {
        let mut decoder = Decoder::starting_at(&self.bytes[..self.entries_end], at);
        let shared = decoder.length()?;
        let unshared = decoder.length()?;
        let slot_len = decoder.length()?;
        let revision = decoder.varint()?;
        let suffix_at = decoder.position();
        decoder.take(unshared)?;
        let slot_at = decoder.position();
        decoder.take(slot_len)?;
        let next = decoder.position();
        Ok(RawEntry {
            shared,
            suffix: suffix_at..slot_at,
            revision,
            slot: Slot::parse(&self.bytes, slot_at..next)?,
            next,
        })
    }

    /// Decodes the entry at restart point `i`, whose key stands there whole.
    pub(crate) fn restart_entry(&self, i: usize) -> Result<RawEntry, Malformed> {
        let entry = self.entry(self.restart(i))?;
        if entry.shared != 0 {
            return Err("a restart point does not store its key whole");
        }
        Ok(entry)
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// The slot, its value a slice of the block.
    pub(crate) fn slot(&self, slot: &Slot<Range<usize>>) -> Slot {
        slot.map(|range| self.bytes.slice(range.clone()))
    }

    /// Number of restart points whose entry lies before `target`.
    pub(crate) fn restarts_before(&self, target: Place<'_>) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.restart_entry(middle)?;
            let place = (&self.bytes[entry.suffix], entry.revision);
            if compare(place, target) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
