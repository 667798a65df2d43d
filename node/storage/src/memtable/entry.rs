//! What the skip list holds: handles of entries in the arena, searchable by a place.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

use super::arena::OWN_CHUNK;
use crate::table::Slot;
use crate::table::entry::{Place, compare};

/// A version in the arena.
pub(super) struct Entry {
    /// The key, class in front, then the slot as a block stores it.
    pub(super) bytes: Bytes,
    /// Keys have at most 4 KiB.
    pub(super) key_len: u32,
    pub(super) revision: u64,
}

impl Entry {
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    /// The slot. Its value is a copy unless it fills its chunk: else a few bytes, in the hands
    /// of a reader who takes long, would keep the whole chunk after the memtable is gone.
    pub(super) fn slot(&self) -> Slot {
        let slot = Slot::parse(&self.bytes, self.key_len as usize..self.bytes.len());
        slot.expect("it was encoded when it was stored").map(|value| {
            if self.bytes.len() < OWN_CHUNK {
                Bytes::copy_from_slice(&self.bytes[value.clone()])
            } else {
                self.bytes.slice(value.clone())
            }
        })
    }
}

/// What has a place in the internal order. As a trait object it lets the skip list
/// compare its entries with a borrowed place: a lookup allocates nothing.
pub(super) trait Placed {
    fn place(&self) -> Place<'_>;
}

impl Placed for Entry {
    fn place(&self) -> Place<'_> {
        (self.key(), self.revision)
    }
}

impl Placed for Place<'_> {
    fn place(&self) -> Place<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Placed + 'a> for Entry {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.place(), other.place())
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.place(), other.place())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
