//! A sorted level as one source: its tables are disjoint, so one is open at a time.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::Result;
use crate::table::Slot;
use crate::table::cursor::TableCursor;
use crate::table::entry::{Cursor, Direction, Place};
use crate::table::reader::{Caching, Table};

/// Walks over tables that follow one another.
pub(crate) struct LevelCursor {
    current: Option<TableCursor>,
    /// Tables still to come, in walking order.
    rest: VecDeque<Arc<Table>>,
    direction: Direction,
    caching: Caching,
}

impl LevelCursor {
    /// Over `tables`, ascending and disjoint, from the first version at or after `start`.
    pub(crate) fn forward(
        tables: &[impl Borrow<Arc<Table>>],
        start: Option<Place<'_>>,
        caching: Caching,
    ) -> Result<Self> {
        let skip =
            start.map_or(0, |(key, _)| tables.partition_point(|t| max_key(t.borrow()) < key));
        let rest = tables[skip..].iter().map(|t| Arc::clone(t.borrow())).collect();
        Self::new(rest, Direction::Forward, caching, start)
    }

    /// Over `tables`, ascending and disjoint, from the last version before `end`.
    pub(crate) fn reverse(
        tables: &[impl Borrow<Arc<Table>>],
        end: Option<Place<'_>>,
        caching: Caching,
    ) -> Result<Self> {
        let keep = end.map_or(tables.len(), |(key, _)| {
            tables.partition_point(|t| min_key(t.borrow()) <= key)
        });
        let rest = tables[..keep].iter().rev().map(|t| Arc::clone(t.borrow())).collect();
        Self::new(rest, Direction::Reverse, caching, end)
    }

    fn new(
        rest: VecDeque<Arc<Table>>,
        direction: Direction,
        caching: Caching,
        bound: Option<Place<'_>>,
    ) -> Result<Self> {
        let mut cursor = Self { current: None, rest, direction, caching };
        cursor.open_next(bound)?;
        Ok(cursor)
    }

    /// Opens tables until one has a version; only the first can be cut by the bound.
    fn open_next(&mut self, mut bound: Option<Place<'_>>) -> Result<()> {
        self.current = None;
        while let Some(table) = self.rest.pop_front() {
            let bound = bound.take();
            let cursor = match self.direction {
                Direction::Forward => TableCursor::forward(table, bound, self.caching)?,
                Direction::Reverse => TableCursor::reverse(table, bound, self.caching)?,
            };
            if cursor.valid() {
                self.current = Some(cursor);
                return Ok(());
            }
        }
        Ok(())
    }

    fn current(&self) -> &TableCursor {
        self.current.as_ref().expect("a cursor is asked only while it is valid")
    }
}

impl Cursor for LevelCursor {
    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn place(&self) -> Place<'_> {
        self.current().place()
    }

    fn key(&self) -> &[u8] {
        self.current().key()
    }

    fn revision(&self) -> u64 {
        self.current().revision()
    }

    fn slot(&self) -> Slot {
        self.current().slot()
    }

    fn advance(&mut self) -> Result<()> {
        if let Some(current) = &mut self.current {
            current.advance()?;
            if !current.valid() {
                self.open_next(None)?;
            }
        }
        Ok(())
    }
}

fn min_key(table: &Table) -> &[u8] {
    &table.properties().min_key
}

fn max_key(table: &Table) -> &[u8] {
    &table.properties().max_key
}
