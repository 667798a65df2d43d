//! Builds the tables of a whole-partition snapshot received from a peer.

use std::cmp::Ordering;
use std::sync::Arc;

use super::context::Workshop;
use super::levels::Placed;
use crate::compaction::output::Output;
use crate::table::entry::compare;
use crate::{Result, StorageError};

/// Writes the entries of a snapshot as they arrive. Dropped before it is finished, it
/// reports its files for deletion. The tree stays readable meanwhile.
pub struct SnapshotWriter {
    workshop: Arc<Workshop>,
    output: Output,
    last: Option<(Vec<u8>, u64)>,
}

impl SnapshotWriter {
    pub(crate) fn new(workshop: Arc<Workshop>) -> Self {
        let split = Some(workshop.options().table_bytes);
        Self { output: Output::new(Arc::clone(&workshop), split), workshop, last: None }
    }

    /// Appends a value. Keys must ascend, and revisions descend within a key; else
    /// the snapshot is refused, for it came over the network.
    pub fn add(&mut self, key: &[u8], revision: u64, value: &[u8]) -> Result<()> {
        let place = (key, revision);
        if let Some((last_key, last_revision)) = &self.last
            && compare((last_key, *last_revision), place) != Ordering::Less
        {
            return Err(StorageError::Refused(format!(
                "the snapshot is out of order at revision {revision}: ask for another one"
            )));
        }
        self.output.add(key, revision, Some(value))?;
        let last = self.last.get_or_insert_default();
        last.0.clear();
        last.0.extend_from_slice(key);
        last.1 = revision;
        Ok(())
    }

    /// Makes the tables durable, ready for [`super::Tree::snapshot_change`].
    pub fn finish(self) -> Result<SnapshotTables> {
        let tables = self.output.finish()?;
        let bytes: u64 = tables.iter().map(|t| t.size()).sum();
        let options = self.workshop.options();
        // The shallowest level that can hold it: deeper, every later compaction would
        // first have to sink through empty levels.
        let level = (1..options.levels)
            .find(|&level| bytes <= options.level_target(level))
            .unwrap_or(options.levels - 1);
        let tables = tables.into_iter().map(|t| Placed::new(t, level)).collect();
        Ok(SnapshotTables { tables })
    }
}

/// Durable tables that no manifest names yet.
pub struct SnapshotTables {
    pub(crate) tables: Vec<Placed>,
}

impl SnapshotTables {
    /// Gives the snapshot up: its files may be deleted.
    pub fn discard(self) {
        for placed in &self.tables {
            placed.table.mark_obsolete();
        }
    }
}
