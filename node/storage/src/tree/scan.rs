//! Ordered reads of a view.

use bytes::Bytes;

use super::ReadError;
use super::version::Version;
use crate::Result;
use crate::merge::Source;
use crate::merge::level::LevelCursor;
use crate::merge::visible::Visible;
use crate::table::Slot;
use crate::table::cursor::TableCursor;
use crate::table::entry::{Direction, Place};
use crate::table::reader::{Caching, Table};

/// Which keys a scan visits and which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanRange {
    /// The first key, itself visited if present; empty is the very first.
    pub start: Bytes,
    /// The end, itself not visited; `None` is after the last key.
    pub end: Option<Bytes>,
    /// From the end down to the start.
    pub reverse: bool,
}

impl ScanRange {
    /// Every key, ascending.
    pub fn all() -> Self {
        Self::default()
    }
}

/// A key with the value it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The revision of the write.
    pub revision: u64,
    /// The value: a slice of a memtable entry or of a block, which it keeps in memory.
    pub value: Bytes,
}

/// Yields a view's entries in order; after an error it ends.
pub struct Scan<'v> {
    visible: Option<Visible<Source<'v>>>,
    version: &'v Version,
    range: ScanRange,
}

impl<'v> Scan<'v> {
    pub(crate) fn new(version: &'v Version, range: ScanRange, at: u64) -> Result<Self> {
        let empty = range.end.as_ref().is_some_and(|end| *end <= range.start);
        let visible = if empty {
            None
        } else {
            let sources = sources(version, &range)?;
            Some(Visible::new(sources, direction(&range), at))
        };
        Ok(Self { visible, version, range })
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        let Some(visible) = &mut self.visible else {
            return Ok(None);
        };
        while let Some((key, revision, slot)) = visible.next()? {
            if beyond(&self.range, &key) {
                return Ok(None);
            }
            if let Slot::Put(value) = slot
                && self.version.owns(&key)
            {
                return Ok(Some(Entry { key, revision, value }));
            }
        }
        Ok(None)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().map_err(ReadError::from).transpose();
        if !matches!(step, Some(Ok(_))) {
            self.visible = None;
        }
        step
    }
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("range", &self.range).finish_non_exhaustive()
    }
}

fn direction(range: &ScanRange) -> Direction {
    match range.reverse {
        false => Direction::Forward,
        true => Direction::Reverse,
    }
}

/// Whether the scan has walked past the far side of its range.
fn beyond(range: &ScanRange, key: &[u8]) -> bool {
    match range.reverse {
        false => range.end.as_ref().is_some_and(|end| key >= end.as_ref()),
        true => key < range.start.as_ref(),
    }
}

/// A cursor over every source that may hold keys of the range, at its near side.
fn sources<'v>(version: &'v Version, range: &ScanRange) -> Result<Vec<Source<'v>>> {
    // `u64::MAX` sorts before all versions of a key: it includes the start's versions
    // and excludes the end's.
    let start: Option<Place<'_>> = Some((&range.start, u64::MAX));
    let end: Option<Place<'_>> = range.end.as_ref().map(|end| (end.as_ref(), u64::MAX));
    let mut sources = Vec::new();
    let frozen = version.frozen.iter().map(|frozen| &frozen.memtable);
    for memtable in frozen.chain([&version.active]) {
        sources.push(Source::Memtable(match range.reverse {
            false => memtable.forward(start),
            true => memtable.reverse(end),
        }));
    }
    let overlaps = |table: &&std::sync::Arc<Table>| {
        let p = table.properties();
        p.max_key >= range.start && range.end.as_ref().is_none_or(|end| p.min_key < *end)
    };
    for table in version.levels.tables(0).iter().filter(overlaps).cloned() {
        sources.push(Source::Table(match range.reverse {
            false => TableCursor::forward(table, start, Caching::Fill)?,
            true => TableCursor::reverse(table, end, Caching::Fill)?,
        }));
    }
    for level in 1..version.levels.count() {
        let tables = version.levels.tables(level);
        sources.push(Source::Level(match range.reverse {
            false => LevelCursor::forward(tables, start, Caching::Fill)?,
            true => LevelCursor::reverse(tables, end, Caching::Fill)?,
        }));
    }
    Ok(sources)
}
