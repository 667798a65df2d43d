//! Which keys belong to a tree.

/// The keys a partition owns. After a split both children hold every file of their
/// parent: reads and compaction pass over what lies outside.
///
/// Under hash routing the interval is over hashes, so it is a test, not a key range.
pub trait Interval: Send + Sync + std::fmt::Debug {
    /// Whether the tree owns the user key `key`. System keys it always owns.
    fn contains(&self, key: &[u8]) -> bool;
}
