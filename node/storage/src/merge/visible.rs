//! From all versions to the one a reader sees: the newest at or below its revision.

use bytes::Bytes;

use super::heap::Merge;
use crate::Result;
use crate::table::Slot;
use crate::table::entry::{Cursor, Direction};

/// A key with the version of it that is visible.
pub(crate) type Found = (Bytes, u64, Slot);

/// Steps through the visible versions of a merge, tombstones included.
pub(crate) struct Visible<C> {
    merge: Merge<C>,
    direction: Direction,
    at: u64,
    /// The key decided last.
    key: Vec<u8>,
    started: bool,
}

impl<C: Cursor> Visible<C> {
    /// What is visible at revision `at` in cursors that all walk in `direction`.
    pub(crate) fn new(cursors: Vec<C>, direction: Direction, at: u64) -> Self {
        Self {
            merge: Merge::new(cursors, direction),
            direction,
            at,
            key: Vec::new(),
            started: false,
        }
    }

    /// The next key that has a version at or below the revision.
    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        match self.direction {
            Direction::Forward => self.next_forward(),
            Direction::Reverse => self.next_reverse(),
        }
    }

    /// Versions come newest first: the first old enough decides its key.
    fn next_forward(&mut self) -> Result<Option<Found>> {
        while self.merge.valid() {
            let decided = self.started && self.merge.key() == self.key;
            if decided || self.merge.revision() > self.at {
                self.merge.advance()?;
                continue;
            }
            self.started = true;
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            let found =
                (Bytes::copy_from_slice(&self.key), self.merge.revision(), self.merge.slot());
            self.merge.advance()?;
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Versions come oldest first: the last one old enough decides, and that is known
    /// only when the next key begins.
    fn next_reverse(&mut self) -> Result<Option<Found>> {
        while self.merge.valid() {
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            let mut newest = None;
            while self.merge.valid() && self.merge.key() == self.key {
                if self.merge.revision() <= self.at {
                    newest = Some((self.merge.revision(), self.merge.slot()));
                }
                self.merge.advance()?;
            }
            if let Some((revision, slot)) = newest {
                return Ok(Some((Bytes::copy_from_slice(&self.key), revision, slot)));
            }
        }
        Ok(None)
    }
}
