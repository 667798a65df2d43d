//! A view with what a transaction has changed so far laid over it.

use super::expiry;
use bytes::Bytes;
use doug_proto::v1::KeyRange;
use doug_raft::Clock;
use doug_storage::table::{Expiry, Slot, ValueAttributes};
use doug_storage::tree::{Entry, KeyClass, Op, ReadError, ScanRange, Versioned, View};
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::Bound;

/// What a transaction would leave, were it to end here.
#[derive(Debug)]
pub(super) struct Staged<'v> {
    view: &'v View,
    /// That of the command, which the changes will have.
    revision: u64,
    changes: BTreeMap<Bytes, Change>,
}

/// What a key is to hold.
#[derive(Debug)]
struct Change {
    /// Nothing: it is deleted.
    value: Option<Held>,
    /// Whether the view has the key, where that was read: a delete of a missing key must write
    /// nothing.
    stored: Option<bool>,
}

/// A value that a key is to hold.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Bytes,
    /// When the key expires, if ever.
    pub(super) expiry: Option<Expiry>,
}

impl<'v> Staged<'v> {
    /// Nothing yet.
    pub(super) fn over(view: &'v View, revision: u64) -> Self {
        Self { view, revision, changes: BTreeMap::new() }
    }

    pub(super) fn get(&self, key: &Bytes) -> Result<Option<Versioned>, ReadError> {
        let Some(change) = self.changes.get(key) else { return self.view.get(key, None) };
        let held = change.value.clone();
        let revision = self.revision;
        Ok(held.map(|Held { value, expiry }| Versioned { revision, value, expiry }))
    }

    /// Reads nothing: most writes are puts.
    pub(super) fn put(&mut self, key: &Bytes, value: Held) {
        match self.changes.get_mut(key) {
            Some(change) => change.value = Some(value),
            None => {
                self.changes.insert(key.clone(), Change { value: Some(value), stored: None });
            }
        }
    }

    /// Whether there was anything to delete.
    pub(super) fn delete(&mut self, key: &Bytes) -> Result<bool, ReadError> {
        if let Some(change) = self.changes.get_mut(key) {
            return Ok(change.value.take().is_some());
        }
        let stored = self.view.get(key, None)?.is_some();
        self.changes.insert(key.clone(), Change { value: None, stored: Some(stored) });
        Ok(stored)
    }

    /// The keys in `range` with what they hold, in order.
    pub(super) fn entries<'s>(
        &'s self,
        range: &KeyRange,
        reverse: bool,
    ) -> Result<Entries<'s>, ReadError> {
        let KeyRange { start, end } = range.clone();
        let empty = !end.is_empty() && end <= start;
        let end = (!end.is_empty()).then_some(end);
        let bounds = if empty {
            // A map's range may not be one that ends before it begins.
            (Bound::Included(Bytes::new()), Bound::Excluded(Bytes::new()))
        } else {
            let after = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
            (Bound::Included(start.clone()), after)
        };
        let stored = self.view.scan(ScanRange { start, end, reverse }, None)?;
        let staged = self.changes.range(bounds);
        Ok(Entries { stored: stored.peekable(), staged, reverse, revision: self.revision })
    }

    /// What is to be written.
    pub(super) fn into_changes(self) -> Result<Vec<Op>, ReadError> {
        let mut ops = Vec::with_capacity(self.changes.len());
        for (key, Change { value, stored }) in self.changes {
            let Some(value) = value else {
                let stored = match stored {
                    Some(stored) => stored,
                    None => self.view.get(&key, None)?.is_some(),
                };
                if stored {
                    ops.push(Op::delete(KeyClass::User, key));
                }
                continue;
            };
            let Held { value, expiry } = value;
            if let Some(Expiry(expiry)) = expiry {
                ops.push(expiry::indexed(Clock(expiry), &key, self.revision));
            }
            let attributes = ValueAttributes { expiry, ..ValueAttributes::default() };
            let slot = Slot::Value { value, attributes };
            ops.push(Op { class: KeyClass::User, key, slot });
        }
        Ok(ops)
    }
}

/// See [`Staged::entries`].
pub(super) struct Entries<'s> {
    stored: Peekable<doug_storage::tree::Scan<'s>>,
    staged: Range<'s, Bytes, Change>,
    reverse: bool,
    revision: u64,
}

impl Entries<'_> {
    /// The staged change whose turn it is before `stored`, or in its place.
    fn next_staged(&mut self, stored: Option<&Bytes>) -> Option<(Bytes, Option<Bytes>)> {
        let mut rest = self.staged.clone();
        let next = if self.reverse { rest.next_back() } else { rest.next() };
        let (key, change) = next?;
        let first =
            stored.is_none_or(|stored| if self.reverse { key >= stored } else { key <= stored });
        if !first {
            return None;
        }
        self.staged = rest;
        Some((key.clone(), change.value.as_ref().map(|held| held.value.clone())))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let stored = match self.stored.peek() {
                Some(Ok(entry)) => Some(entry.key.clone()),
                Some(Err(_)) => return self.stored.next(),
                None => None,
            };
            let Some((key, value)) = self.next_staged(stored.as_ref()) else {
                return self.stored.next();
            };
            if stored.is_some_and(|stored| stored == key) {
                self.stored.next();
            }
            if let Some(value) = value {
                return Some(Ok(Entry { key, revision: self.revision, value }));
            }
        }
    }
}
