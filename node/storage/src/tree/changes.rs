//! What was written after a revision, found in memtables and tables.

use bytes::Bytes;

use super::scan::{Bounds, ScanRange, beyond, sources};
use super::version::Version;
use super::{KeyClass, ReadError};
use crate::Result;
use crate::merge::Source;
use crate::merge::heap::Merge;
use crate::table::Slot;
use crate::table::entry::{Cursor, Direction};

/// One version of a user key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision of the write.
    pub revision: u64,
    /// The key.
    pub key: Bytes,
    /// What it held from then on; none if it was deleted.
    pub value: Option<Bytes>,
}

/// The versions of user keys in a range that are younger than a revision, by key, and of each key
/// the newest first; after an error it ends. Tables that hold nothing so young are not opened.
pub struct ChangeScan<'v> {
    merge: Option<Merge<Source<'v>>>,
    version: &'v Version,
    range: Bounds,
    after: u64,
    through: u64,
}

impl<'v> ChangeScan<'v> {
    /// Those after the one revision and up to the other.
    pub(crate) fn new(
        version: &'v Version,
        range: &ScanRange,
        after: u64,
        through: u64,
    ) -> Result<Self> {
        let range = Bounds::new(KeyClass::User, range);
        let merge = if range.is_empty() {
            None
        } else {
            Some(Merge::new(sources(version, &range, after)?, Direction::Forward))
        };
        Ok(Self { merge, version, range, after, through })
    }

    fn step(&mut self) -> Result<Option<Written>> {
        let Some(merge) = &mut self.merge else { return Ok(None) };
        while merge.valid() {
            if beyond(&self.range, merge.key()) {
                return Ok(None);
            }
            let revision = merge.revision();
            let is_sought = revision > self.after && revision <= self.through;
            if is_sought && self.version.owns(merge.key()) {
                let key = Bytes::copy_from_slice(merge.key().get(1..).unwrap_or_default());
                let value = match merge.slot() {
                    Slot::Value { value, .. } => Some(value),
                    Slot::Tombstone { .. } => None,
                };
                merge.advance()?;
                return Ok(Some(Written { revision, key, value }));
            }
            merge.advance()?;
        }
        Ok(None)
    }
}

impl Iterator for ChangeScan<'_> {
    type Item = Result<Written, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().map_err(ReadError::from).transpose();
        if !matches!(step, Some(Ok(_))) {
            self.merge = None;
        }
        step
    }
}

impl std::fmt::Debug for ChangeScan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeScan").field("range", &self.range).finish_non_exhaustive()
    }
}
