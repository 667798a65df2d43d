//! Many sorted sources, read as one.
//!
//! [`heap`] merges cursors over memtables, tables and whole levels; [`visible`] keeps of
//! each key only the version a reader may see. A scan walks one way only, so no cursor
//! ever turns round.

pub(crate) mod heap;
pub(crate) mod level;
pub(crate) mod visible;

use crate::Result;
use crate::memtable::MemtableCursor;
use crate::table::Slot;
use crate::table::cursor::TableCursor;
use crate::table::entry::{Cursor, Place};
use level::LevelCursor;

/// Any source of versions.
pub(crate) enum Source<'a> {
    Memtable(MemtableCursor<'a>),
    Table(TableCursor),
    Level(LevelCursor),
}

/// Calls the same method on whichever cursor it is.
macro_rules! each {
    ($source:expr, $cursor:ident => $call:expr) => {
        match $source {
            Source::Memtable($cursor) => $call,
            Source::Table($cursor) => $call,
            Source::Level($cursor) => $call,
        }
    };
}

impl Cursor for Source<'_> {
    fn valid(&self) -> bool {
        each!(self, cursor => cursor.valid())
    }

    fn place(&self) -> Place<'_> {
        each!(self, cursor => cursor.place())
    }

    fn key(&self) -> &[u8] {
        each!(self, cursor => cursor.key())
    }

    fn revision(&self) -> u64 {
        each!(self, cursor => cursor.revision())
    }

    fn slot(&self) -> Slot {
        each!(self, cursor => cursor.slot())
    }

    fn advance(&mut self) -> Result<()> {
        each!(self, cursor => cursor.advance())
    }
}
