//! Which versions a job's tables carry over, given all that lies above and below them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::retention::Retention;
use crate::Result;
use crate::merge::Source;
use crate::merge::heap::Merge;
use crate::table::Table;
use crate::table::cursor::TableCursor;
use crate::table::entry::{Cursor, Direction, compare};
use crate::table::reader::Caching;
use crate::tree::levels::Beneath;
use crate::tree::version::owns;
use crate::tree::{Interval, TableMeta};

/// Asked version by version, in internal order.
pub(crate) struct Sieve {
    interval: Option<Arc<dyn Interval>>,
    retention: Retention,
    beneath: Beneath,
    above: Option<Above>,
}

/// Newer tables that a job reads and does not write: their versions hide those of its own.
pub(crate) struct Above(Merge<Source<'static>>);

impl Above {
    /// Of these tables what may hide versions of the table of `meta`.
    pub(crate) fn new(tables: Vec<Arc<Table>>, meta: &TableMeta) -> Result<Self> {
        let from = Some((&meta.min_key[..], u64::MAX));
        let mut sources = Vec::new();
        for table in tables {
            sources.push(Source::Table(TableCursor::forward(table, from, Caching::Bypass)?));
        }
        Ok(Self(Merge::new(sources, Direction::Forward)))
    }
}

impl Sieve {
    pub(crate) fn new(interval: Option<Arc<dyn Interval>>, beneath: Beneath, horizon: u64) -> Self {
        Self { interval, retention: Retention::new(horizon), beneath, above: None }
    }

    /// The same below newer tables.
    pub(crate) fn below(self, above: Above) -> Self {
        Self { above: Some(above), ..self }
    }

    /// Whether this version stays.
    pub(crate) fn keeps(&mut self, key: &[u8], revision: u64, tombstone: bool) -> Result<bool> {
        if let Some(Above(above)) = &mut self.above {
            while above.valid() && compare(above.place(), (key, revision)) == Ordering::Less {
                let (newer, revision) = above.place();
                // It stays where it is; what counts is that it was met.
                self.retention.keeps(newer, revision, false, |_| true);
                above.advance()?;
            }
        }
        let beneath = |key: &[u8]| self.beneath.may_hold(key);
        Ok(owns(self.interval.as_deref(), key)
            && self.retention.keeps(key, revision, tombstone, beneath))
    }
}
