//! Ordered reads of a view.

use bytes::Bytes;

use super::levels::Placed;
use super::version::Version;
use super::{KeyClass, ReadError};
use crate::Result;
use crate::merge::Source;
use crate::merge::level::LevelCursor;
use crate::merge::visible::Visible;
use crate::table::Slot;
use crate::table::cursor::TableCursor;
use crate::table::entry::{Direction, Place};
use crate::table::reader::Caching;

/// Which keys of a class a scan visits and which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanRange {
    /// The first key, itself visited if present; empty is the very first.
    pub start: Bytes,
    /// The end, itself not visited; `None` is after the last key of the class.
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
    /// The value: its own bytes, or a slice of a block, which it keeps in memory.
    pub value: Bytes,
}

/// Yields a view's entries in order; after an error it ends.
pub struct Scan<'v> {
    visible: Option<Visible<Source<'v>>>,
    version: &'v Version,
    range: Bounds,
}

/// The bounds of a scan as keys in the tree.
#[derive(Debug)]
pub(super) struct Bounds {
    start: Bytes,
    end: Bytes,
    reverse: bool,
}

impl Bounds {
    pub(super) fn new(class: KeyClass, range: &ScanRange) -> Self {
        let end = range.end.as_ref().map_or_else(|| class.end(), |end| class.tree_key(end));
        Self { start: class.tree_key(&range.start), end, reverse: range.reverse }
    }

    /// Whether no key can be inside.
    pub(super) fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

impl<'v> Scan<'v> {
    /// Over the keys of `class`; the bounds of `range` are without it.
    pub(crate) fn new(
        version: &'v Version,
        class: KeyClass,
        range: ScanRange,
        at: u64,
    ) -> Result<Self> {
        let range = Bounds::new(class, &range);
        let visible = if range.is_empty() {
            None
        } else {
            let sources = sources(version, &range, 0)?;
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
            if let Slot::Value { value, .. } = slot
                && self.version.owns(&key)
            {
                return Ok(Some(Entry { key: key.slice(1..), revision, value }));
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

fn direction(range: &Bounds) -> Direction {
    if range.reverse { Direction::Reverse } else { Direction::Forward }
}

/// Whether the scan has walked past the far side of its range.
pub(super) fn beyond(range: &Bounds, key: &[u8]) -> bool {
    if range.reverse { key < range.start.as_ref() } else { key >= range.end.as_ref() }
}

/// A cursor over every source that may hold keys of the range, at its near side. Of tables only
/// those that hold something younger than `after`, level by level.
pub(super) fn sources<'v>(
    version: &'v Version,
    range: &Bounds,
    after: u64,
) -> Result<Vec<Source<'v>>> {
    // `u64::MAX` sorts before all versions of a key: it includes the start's versions
    // and excludes the end's.
    let start: Option<Place<'_>> = Some((&range.start, u64::MAX));
    let end: Option<Place<'_>> = Some((&range.end, u64::MAX));
    let mut sources = Vec::new();
    let frozen = version.frozen.iter().map(|frozen| &frozen.memtable);
    for memtable in frozen.chain([&version.active]) {
        sources.push(Source::Memtable(if range.reverse {
            memtable.reverse(end)
        } else {
            memtable.forward(start)
        }));
    }
    let young = |placed: &Placed| placed.meta.max_revision > after;
    let overlaps = |placed: &&Placed| {
        young(placed) && placed.meta.max_key >= range.start && placed.meta.min_key < range.end
    };
    let (level_0, sorted) = version.levels.each().split_first().expect("there is a level 0");
    for table in level_0.iter().filter(overlaps).map(|placed| placed.table.clone()) {
        sources.push(Source::Table(if range.reverse {
            TableCursor::reverse(table, end, Caching::Fill)?
        } else {
            TableCursor::forward(table, start, Caching::Fill)?
        }));
    }
    for tables in sorted.iter().filter(|tables| tables.iter().any(young)) {
        sources.push(Source::Level(if range.reverse {
            LevelCursor::reverse(tables, end, Caching::Fill)?
        } else {
            LevelCursor::forward(tables, start, Caching::Fill)?
        }));
    }
    Ok(sources)
}
