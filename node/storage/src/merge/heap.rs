//! Merges sorted sources into one, by a binary heap of cursors.

use std::cmp::Ordering;

use crate::Result;
use crate::table::Slot;
use crate::table::entry::{Cursor, Direction, Place, compare};

/// All versions of all sources, in internal order or its reverse.
pub(crate) struct Merge<C> {
    /// Valid cursors only, the next one first.
    heap: Vec<C>,
    direction: Direction,
}

impl<C: Cursor> Merge<C> {
    /// Merges cursors that all walk in `direction`.
    pub(crate) fn new(cursors: Vec<C>, direction: Direction) -> Self {
        let heap = cursors.into_iter().filter(Cursor::valid).collect();
        let mut merge = Self { heap, direction };
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        merge
    }

    fn comes_first(&self, a: usize, b: usize) -> bool {
        let order = compare(self.heap[a].place(), self.heap[b].place());
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Reverse => order == Ordering::Greater,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut first = at;
            for child in [left, right] {
                if child < self.heap.len() && self.comes_first(child, first) {
                    first = child;
                }
            }
            if first == at {
                return;
            }
            self.heap.swap(at, first);
            at = first;
        }
    }
}

impl<C: Cursor> Cursor for Merge<C> {
    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    fn place(&self) -> Place<'_> {
        self.heap[0].place()
    }

    fn key(&self) -> &[u8] {
        self.heap[0].key()
    }

    fn revision(&self) -> u64 {
        self.heap[0].revision()
    }

    fn slot(&self) -> Slot {
        self.heap[0].slot()
    }

    fn advance(&mut self) -> Result<()> {
        self.heap[0].advance()?;
        if !self.heap[0].valid() {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(())
    }
}
