//! The geometry of a tree.

use crate::table::{Compression, TableOptions};

/// Sizes and thresholds of a tree; none of them is stored on disk, so they may change
/// between starts.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// Bytes at which [`super::Tree::wants_rotation`] advises to freeze the memtable.
    pub memtable_bytes: usize,
    /// Blocks, filter and compression of tables.
    pub table: TableOptions,
    /// Compaction splits its output at this many bytes (between two keys).
    pub table_bytes: u64,
    /// Bytes level 1 should hold; each deeper level holds `level_ratio` times more.
    pub base_level_bytes: u64,
    /// Growth from level to level, at least 2.
    pub level_ratio: u64,
    /// Number of levels, level 0 included, 2 to 16.
    pub levels: usize,
    /// Tables in level 0 at which compaction begins.
    pub l0_compaction: usize,
    /// Tables in level 0 taken by one compaction at most, the oldest first.
    pub l0_compaction_max: usize,
    /// Tables in level 0 at which writers should slow down.
    pub l0_slow: usize,
    /// Tables in level 0 at which writers should stop.
    pub l0_stop: usize,
    /// Frozen memtables at which writers should stop; they slow down one earlier.
    pub frozen_stop: usize,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 16 << 20,
            table: TableOptions::default(),
            table_bytes: 16 << 20,
            base_level_bytes: 64 << 20,
            level_ratio: 10,
            levels: 7,
            l0_compaction: 4,
            l0_compaction_max: 8,
            l0_slow: 12,
            l0_stop: 20,
            frozen_stop: 4,
        }
    }
}

impl TreeOptions {
    /// So small that a few hundred writes reach every level: for simulators and tests.
    pub fn tiny() -> Self {
        Self {
            memtable_bytes: 16 << 10,
            table: TableOptions {
                block_bytes: 256,
                restart_interval: 4,
                bloom_bits_per_key: 10,
                compression: Compression::Lz4,
            },
            table_bytes: 4 << 10,
            base_level_bytes: 8 << 10,
            level_ratio: 3,
            levels: 4,
            l0_compaction: 2,
            l0_compaction_max: 3,
            l0_slow: 6,
            l0_stop: 10,
            frozen_stop: 4,
        }
    }

    /// Bytes `level` (from 1) should hold; the last level has no limit.
    pub fn level_target(&self, level: usize) -> u64 {
        if level + 1 >= self.levels {
            return u64::MAX;
        }
        let growth = self.level_ratio.saturating_pow(level.saturating_sub(1) as u32);
        self.base_level_bytes.saturating_mul(growth)
    }

    pub(crate) fn check(&self) {
        assert!((2..=16).contains(&self.levels), "2 to 16 levels");
        assert!(self.level_ratio >= 2, "levels must grow");
        assert!(self.l0_compaction >= 1 && self.l0_compaction_max >= 1);
        assert!(self.table_bytes >= 1 && self.table.restart_interval >= 1);
    }
}
