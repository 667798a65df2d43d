//! Walks through a whole table, block by block.

use std::sync::Arc;

use super::block_cursor::{ForwardBlock, ReverseBlock};
use super::entry::{Cursor, Place};
use super::lookup::Lookup;
use super::reader::{Caching, Table};
use super::slot::Slot;
use crate::Result;
use crate::codec::Malformed;

/// A cursor over one table.
pub(crate) struct TableCursor {
    table: Arc<Table>,
    /// Held as long as the cursor lives, whatever the cache keeps.
    lookup: Arc<Lookup>,
    caching: Caching,
    block: usize,
    walk: Walk,
}

enum Walk {
    Forward(ForwardBlock),
    Reverse(ReverseBlock),
    Done,
}

impl TableCursor {
    /// Stands at the first version at or after `start`; `None` is the very first.
    pub(crate) fn forward(
        table: Arc<Table>,
        start: Option<Place<'_>>,
        caching: Caching,
    ) -> Result<Self> {
        let lookup = table.lookup()?;
        let block = start.map_or(Ok(0), |start| table.block_for(&lookup, start))?;
        let mut cursor = Self { table, lookup, caching, block, walk: Walk::Done };
        if block < cursor.lookup.blocks() {
            let walk = cursor.open(|block| match start {
                Some(start) => ForwardBlock::seek(block, start),
                None => ForwardBlock::first(block),
            })?;
            cursor.walk = Walk::Forward(walk);
        }
        Ok(cursor)
    }

    /// Stands at the last version before `end`; `None` is the very last.
    pub(crate) fn reverse(
        table: Arc<Table>,
        end: Option<Place<'_>>,
        caching: Caching,
    ) -> Result<Self> {
        let lookup = table.lookup()?;
        let last = lookup.blocks() - 1;
        let block = end.map_or(Ok(last), |end| table.block_for(&lookup, end))?.min(last);
        let mut cursor = Self { table, lookup, caching, block, walk: Walk::Done };
        let walk = cursor.open(|block| match end {
            Some(end) => ReverseBlock::before(block, end),
            None => ReverseBlock::last(block),
        })?;
        cursor.walk = Walk::Reverse(walk);
        cursor.leave_exhausted_block()?;
        Ok(cursor)
    }

    /// The block the cursor stands in.
    pub(crate) fn block(&self) -> usize {
        self.block
    }

    fn leave_exhausted_block(&mut self) -> Result<()> {
        match &self.walk {
            Walk::Forward(walk) if !walk.valid() => {
                self.block += 1;
                self.walk = if self.block < self.lookup.blocks() {
                    Walk::Forward(self.open(ForwardBlock::first)?)
                } else {
                    Walk::Done
                };
            }
            Walk::Reverse(walk) if !walk.valid() => {
                self.walk = if self.block > 0 {
                    self.block -= 1;
                    Walk::Reverse(self.open(ReverseBlock::last)?)
                } else {
                    Walk::Done
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn open<T>(&self, walk: impl FnOnce(super::block::Block) -> Result<T, Malformed>) -> Result<T> {
        self.table.in_block(&self.lookup, self.block, self.caching, walk)
    }
}

impl Cursor for TableCursor {
    fn valid(&self) -> bool {
        match &self.walk {
            Walk::Forward(walk) => walk.valid(),
            Walk::Reverse(walk) => walk.valid(),
            Walk::Done => false,
        }
    }

    fn place(&self) -> Place<'_> {
        match &self.walk {
            Walk::Forward(walk) => walk.place(),
            Walk::Reverse(walk) => walk.place(),
            Walk::Done => panic!("a cursor was asked beyond its end"),
        }
    }

    fn key(&self) -> &[u8] {
        self.place().0
    }

    fn revision(&self) -> u64 {
        self.place().1
    }

    fn slot(&self) -> Slot {
        match &self.walk {
            Walk::Forward(walk) => walk.slot(),
            Walk::Reverse(walk) => walk.slot(),
            Walk::Done => panic!("a cursor was asked beyond its end"),
        }
    }

    fn advance(&mut self) -> Result<()> {
        let moved = match &mut self.walk {
            Walk::Forward(walk) => walk.advance(),
            Walk::Reverse(walk) => walk.advance(),
            Walk::Done => Ok(()),
        };
        moved.map_err(|what| self.table.damaged_in(&self.lookup, self.block, what))?;
        self.leave_exhausted_block()
    }
}
