//! The order of everything in a tree: key ascending, then revision descending.

use std::cmp::Ordering;

use super::slot::Slot;

/// A place in the internal order. `(key, u64::MAX)` lies before every version of `key`.
pub(crate) type Place<'a> = (&'a [u8], u64);

/// Newer versions come first, so the first version at or after `(key, at)` is the
/// one visible at revision `at`.
pub(crate) fn compare(a: Place<'_>, b: Place<'_>) -> Ordering {
    a.0.cmp(b.0).then(b.1.cmp(&a.1))
}

/// Which way a cursor walks. It never turns round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the first place to the last.
    Forward,
    /// From the last place to the first.
    Reverse,
}

/// One source of versions in internal order, positioned when it was made.
pub(crate) trait Cursor {
    /// Whether there is a current version; the accessors below may be called only then.
    fn valid(&self) -> bool;
    fn key(&self) -> &[u8];
    fn revision(&self) -> u64;
    fn slot(&self) -> Slot;
    /// Moves one version on in the cursor's direction.
    fn advance(&mut self) -> crate::Result<()>;

    fn place(&self) -> Place<'_> {
        (self.key(), self.revision())
    }
}
