//! The tables of a tree by level.
//!
//! Level 0 holds flushed memtables, newest first; their revisions do not overlap. Every
//! deeper level is sorted and disjoint: all versions of a key in it are in one table.
//! Of one key, each level holds only newer versions than the levels below; so a search
//! ends at the first version it finds.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{LevelStats, TableMeta, TreeEdit};
use crate::Result;
use crate::table::{FileId, Slot, Table};

/// A table with what the manifest says of it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) meta: TableMeta,
    pub(crate) table: Arc<Table>,
}

impl Placed {
    /// Puts `table` into `level`, which is at most 255.
    pub(crate) fn new(table: Arc<Table>, level: usize) -> Self {
        let level = u8::try_from(level).expect("a tree has at most 16 levels");
        let meta = TableMeta::new(&table, level);
        Self { meta, table }
    }
}

/// All tables, never changed once readers see it.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    metas: Vec<Vec<TableMeta>>,
    tables: Vec<Vec<Arc<Table>>>,
}

impl Levels {
    pub(crate) fn empty(levels: usize) -> Self {
        Self { metas: vec![Vec::new(); levels], tables: vec![Vec::new(); levels] }
    }

    /// Tables of each level; level 0 newest first, the others by key.
    pub(crate) fn metas(&self) -> &[Vec<TableMeta>] {
        &self.metas
    }

    pub(crate) fn tables(&self, level: usize) -> &[Arc<Table>] {
        &self.tables[level]
    }

    pub(crate) fn count(&self) -> usize {
        self.tables.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter().flatten()
    }

    pub(crate) fn find(&self, file: FileId) -> Option<Arc<Table>> {
        self.all().find(|t| t.id() == file).cloned()
    }

    /// Applies an edit whose new tables are `added`; returns the tables that left.
    ///
    /// Panics if a removed table is not there or the order of a level would break.
    pub(crate) fn apply(&mut self, edit: &TreeEdit, added: &[Placed]) -> Vec<Arc<Table>> {
        let mut left: Vec<_> = edit.removed.iter().map(|&file| self.remove(file)).collect();
        for placed in added {
            left.retain(|table| table.id() != placed.meta.file);
            if let Err(what) = self.try_insert(placed.clone()) {
                panic!("{what}");
            }
        }
        left
    }

    fn remove(&mut self, file: FileId) -> Arc<Table> {
        for (metas, tables) in self.metas.iter_mut().zip(&mut self.tables) {
            if let Some(at) = tables.iter().position(|t| t.id() == file) {
                metas.remove(at);
                return tables.remove(at);
            }
        }
        panic!("table {file} left a tree it was not in");
    }

    /// Puts a table in its place; the error says which order that would break.
    pub(crate) fn try_insert(&mut self, placed: Placed) -> Result<(), String> {
        // A tree made with more levels than now: its deepest tables keep their order.
        let level = usize::from(placed.meta.level);
        while self.tables.len() <= level {
            self.metas.push(Vec::new());
            self.tables.push(Vec::new());
        }
        let metas = &mut self.metas[level];
        let meta = &placed.meta;
        let at = if level == 0 {
            metas.partition_point(|m| m.max_revision > meta.max_revision)
        } else {
            metas.partition_point(|m| m.min_key < meta.min_key)
        };
        let apart = |newer: &TableMeta, older: &TableMeta| match level {
            0 => newer.min_revision > older.max_revision,
            _ => newer.max_key < older.min_key,
        };
        let before = at == 0 || apart(&metas[at - 1], meta);
        let after = at == metas.len() || apart(meta, &metas[at]);
        if !(before && after) {
            return Err(format!(
                "table {} overlaps another of level {level}: a search could miss versions",
                meta.file
            ));
        }
        metas.insert(at, placed.meta);
        self.tables[level].insert(at, placed.table);
        Ok(())
    }

    /// The newest version of `key` at or below revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Result<Option<(u64, Slot)>> {
        let hash = crate::table::bloom::hash(key);
        for table in &self.tables[0] {
            if let Some(found) = table.get(key, hash, at)? {
                return Ok(Some(found));
            }
        }
        for tables in &self.tables[1..] {
            let holder = tables.binary_search_by(|t| t.compare_key(key).reverse());
            if let Ok(holder) = holder
                && let Some(found) = tables[holder].get(key, hash, at)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn stats(&self) -> Vec<LevelStats> {
        let stats = |(level, metas): (usize, &Vec<TableMeta>)| LevelStats {
            level,
            tables: metas.len(),
            bytes: metas.iter().map(|m| m.size).sum(),
            entries: metas.iter().map(|m| m.entries).sum(),
            tombstones: metas.iter().map(|m| m.tombstones).sum(),
        };
        self.metas.iter().enumerate().map(stats).collect()
    }

    /// Which keys the levels from `first` on may hold.
    pub(crate) fn beneath(&self, first: usize) -> Beneath {
        Beneath {
            level_0: match first {
                0 => self.metas[0].clone(),
                _ => Vec::new(),
            },
            sorted: self.metas.iter().skip(first.max(1)).cloned().collect(),
        }
    }
}

/// Key ranges of the tables below a job's output when the job began. A key outside all
/// of them has no older version there, now or later: data only sinks.
pub(crate) struct Beneath {
    level_0: Vec<TableMeta>,
    sorted: Vec<Vec<TableMeta>>,
}

impl Beneath {
    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        let holds = |meta: &TableMeta| meta.overlaps(key, key);
        self.level_0.iter().any(holds)
            || self.sorted.iter().any(|metas| {
                let at = metas.partition_point(|m| m.max_key.as_ref().cmp(key) == Ordering::Less);
                metas.get(at).is_some_and(holds)
            })
    }
}
