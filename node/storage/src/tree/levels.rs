//! The tables of a tree by level.
//!
//! Level 0 holds flushed memtables, newest first; their revisions do not overlap. Every
//! deeper level is sorted and disjoint: all versions of a key in it are in one table.
//! Of one key, each level holds only newer versions than the levels below; so a search
//! ends at the first version it finds.

use std::borrow::Borrow;
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

impl AsRef<TableMeta> for Placed {
    fn as_ref(&self) -> &TableMeta {
        &self.meta
    }
}

impl Borrow<Arc<Table>> for Placed {
    fn borrow(&self) -> &Arc<Table> {
        &self.table
    }
}

/// All tables, never changed once readers see it.
#[derive(Clone, Debug)]
pub(crate) struct Levels(Vec<Vec<Placed>>);

impl Levels {
    pub(crate) fn empty(levels: usize) -> Self {
        Self(vec![Vec::new(); levels])
    }

    /// Tables of each level; level 0 newest first, the others by key.
    pub(crate) fn each(&self) -> &[Vec<Placed>] {
        &self.0
    }

    /// All tables, from level 0 on.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Placed> {
        self.0.iter().flatten()
    }

    /// The tables of these files, in that order.
    pub(crate) fn take(&self, files: &[FileId]) -> Vec<Placed> {
        let find = |file: &FileId| self.all().find(|placed| placed.meta.file == *file).cloned();
        files.iter().filter_map(find).collect()
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
        for level in &mut self.0 {
            if let Some(at) = level.iter().position(|placed| placed.meta.file == file) {
                return level.remove(at).table;
            }
        }
        panic!("table {file} left a tree it was not in");
    }

    /// Puts a table in its place; the error says which order that would break.
    pub(crate) fn try_insert(&mut self, placed: Placed) -> Result<(), String> {
        // A tree made with more levels than now: its deepest tables keep their order.
        let level = usize::from(placed.meta.level);
        if self.0.len() <= level {
            self.0.resize_with(level + 1, Vec::new);
        }
        let tables = &mut self.0[level];
        let meta = &placed.meta;
        let at = if level == 0 {
            tables.partition_point(|other| other.meta.max_revision > meta.max_revision)
        } else {
            tables.partition_point(|other| other.meta.min_key < meta.min_key)
        };
        let apart = |newer: &TableMeta, older: &TableMeta| match level {
            0 => newer.min_revision > older.max_revision,
            _ => newer.max_key < older.min_key,
        };
        let before = at == 0 || apart(&tables[at - 1].meta, meta);
        let after = at == tables.len() || apart(meta, &tables[at].meta);
        if !(before && after) {
            return Err(format!(
                "table {} overlaps another of level {level}: a search could miss versions",
                meta.file
            ));
        }
        tables.insert(at, placed);
        Ok(())
    }

    /// The newest version of `key` at or below revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Result<Option<(u64, Slot)>> {
        let hash = crate::table::bloom::hash(key);
        for placed in &self.0[0] {
            if let Some(found) = placed.table.get(key, hash, at)? {
                return Ok(Some(found));
            }
        }
        for level in &self.0[1..] {
            let holder = level.binary_search_by(|t| t.table.compare_key(key).reverse());
            if let Ok(holder) = holder
                && let Some(found) = level[holder].table.get(key, hash, at)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn stats(&self) -> Vec<LevelStats> {
        let stats = |(level, tables): (usize, &Vec<Placed>)| {
            let sum = |of: fn(&TableMeta) -> u64| tables.iter().map(|t| of(&t.meta)).sum();
            LevelStats {
                level,
                tables: tables.len(),
                bytes: sum(|meta| meta.size),
                entries: sum(|meta| meta.entries),
                tombstones: sum(|meta| meta.tombstones),
            }
        };
        self.0.iter().enumerate().map(stats).collect()
    }

    /// Which keys lie beneath a table of level 0: in older ones, and in all deeper levels.
    pub(crate) fn beneath_table(&self, meta: &TableMeta) -> Beneath {
        let mut beneath = self.beneath(0);
        beneath.level_0.retain(|other| other.max_revision < meta.min_revision);
        beneath
    }

    /// Which keys the levels from `first` on may hold.
    pub(crate) fn beneath(&self, first: usize) -> Beneath {
        let metas = |level: &Vec<Placed>| level.iter().map(|t| t.meta.clone()).collect();
        Beneath {
            level_0: if first == 0 { metas(&self.0[0]) } else { Vec::new() },
            sorted: self.0.iter().skip(first.max(1)).map(metas).collect(),
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
