//! Keys of the memtable, searchable without building one.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

use crate::table::entry::{Place, compare};

/// A key at a revision, in internal order.
#[derive(Clone, Debug)]
pub(super) struct InternalKey {
    pub(super) key: Bytes,
    pub(super) revision: u64,
}

/// What has a place in the internal order. As a trait object it lets the skip list
/// compare its owned keys with a borrowed place: a lookup allocates nothing.
pub(super) trait Placed {
    fn place(&self) -> Place<'_>;
}

impl Placed for InternalKey {
    fn place(&self) -> Place<'_> {
        (&self.key, self.revision)
    }
}

impl Placed for Place<'_> {
    fn place(&self) -> Place<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Placed + 'a> for InternalKey {
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

impl Ord for InternalKey {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.place(), other.place())
    }
}

impl PartialOrd for InternalKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InternalKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for InternalKey {}
