//! What a tree says of itself, for metrics and for whoever admits writes.

/// Contents of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// The level, from 0.
    pub level: usize,
    /// Tables in it.
    pub tables: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Versions in them.
    pub entries: u64,
    /// Tombstones among the versions.
    pub tombstones: u64,
}

/// Whether writers run ahead of flush and compaction. The tree only says so: it is the
/// host that slows or refuses writes, so that one full partition blocks no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Write on.
    None,
    /// Write slower.
    Slow,
    /// Write nothing until a job is installed.
    Stop,
}
