//! One compaction, done in steps.

use std::sync::Arc;

use super::output::Output;
use super::pick::Picked;
use super::sieve::Sieve;
use crate::Result;
use crate::merge::Source;
use crate::merge::heap::Merge;
use crate::merge::level::LevelCursor;
use crate::simulation::crash_point;
use crate::table::batches::{self, Candidates};
use crate::table::cursor::TableCursor;
use crate::table::entry::{Cursor, Direction};
use crate::table::reader::Caching;
use crate::tree::change::{ChangeKind, JobTicket, TreeChange};
use crate::tree::levels::{Levels, Placed};
use crate::tree::{Interval, Progress, TreeEdit, Workshop};

/// What each version costs a step beside its bytes.
pub(crate) const STEP_OVERHEAD: usize = 32;

/// Merges tables of two adjacent levels into the lower one, or writes one table anew where it
/// stands. Dropped before it is done, it changes nothing and reports its files for deletion.
pub struct CompactionJob {
    ticket: JobTicket,
    picked: Picked,
    /// The inputs as they stood when the job began.
    upper: Vec<Placed>,
    lower: Vec<Placed>,
    /// Whether the tree owns some keys only: then a table may hold others.
    has_interval: bool,
    sieve: Sieve,
    gc_floor: u64,
    merge: Option<Merge<Source<'static>>>,
    output: Output,
}

impl CompactionJob {
    pub(crate) fn new(
        workshop: Arc<Workshop>,
        ticket: JobTicket,
        picked: Picked,
        levels: &Levels,
        interval: Option<Arc<dyn Interval>>,
        horizon: u64,
    ) -> Self {
        let tables = (levels.take(&picked.upper), levels.take(&picked.lower));
        let beneath = levels.beneath(picked.output + 1);
        let has_interval = interval.is_some();
        let sieve = Sieve::new(interval, beneath, horizon);
        Self { has_interval, ..Self::of(workshop, ticket, picked, tables, sieve, horizon) }
    }

    /// Merges these upper and lower tables.
    pub(crate) fn of(
        workshop: Arc<Workshop>,
        ticket: JobTicket,
        picked: Picked,
        (upper, lower): (Vec<Placed>, Vec<Placed>),
        sieve: Sieve,
        horizon: u64,
    ) -> Self {
        // Two tables of level 0 must not overlap in revisions, so one stays one there.
        let split = (picked.output > 0).then_some(workshop.options().table_bytes);
        Self {
            upper,
            lower,
            has_interval: false,
            sieve,
            gc_floor: horizon,
            merge: None,
            output: Output::new(workshop, split),
            ticket,
            picked,
        }
    }

    /// What the job works on.
    pub fn picked(&self) -> &Picked {
        &self.picked
    }

    /// Bytes of its input: the output takes at most as much beside it, until the
    /// change is published.
    pub fn input_bytes(&self) -> u64 {
        let tables = self.upper.iter().chain(&self.lower);
        tables.map(|placed| placed.meta.size).sum()
    }

    /// Bytes of the output so far, to the last byte once the job is done.
    pub fn written(&self) -> u64 {
        self.output.written()
    }

    /// Works through about `budget` bytes of input. When it is done, its files are
    /// durable: publish the change in the manifest, then install it. The last step also
    /// syncs a table; after an error drop the job.
    pub fn step(&mut self, budget: usize) -> Result<Progress> {
        if self.only_sinks() {
            crash_point("compaction: table sinks");
            return Ok(Progress::Done(self.sink()));
        }
        let mut merge = match self.merge.take() {
            Some(merge) => merge,
            None => self.open_inputs()?,
        };
        let mut spent = 0;
        while spent < budget.max(1) {
            if !merge.valid() {
                return Ok(Progress::Done(self.finish()?));
            }
            spent += self.carry(&merge)?;
            merge.advance()?;
        }
        self.merge = Some(merge);
        crash_point("compaction: step");
        Ok(Progress::More)
    }

    fn open_inputs(&mut self) -> Result<Merge<Source<'static>>> {
        let inputs = self.upper.iter().chain(&self.lower);
        let lists = inputs.map(|placed| placed.table.batches()).collect::<Result<Vec<_>>>()?;
        self.output.of_batches(Candidates::new(&batches::merge(lists), self.gc_floor));
        let mut sources = Vec::new();
        for level in [self.upper_level(), vec![&self.lower[..]]].concat() {
            let cursor = LevelCursor::forward(level, None, Caching::Bypass)?;
            sources.push(Source::Level(cursor));
        }
        if self.picked.level == 0 {
            for placed in &self.upper {
                let table = Arc::clone(&placed.table);
                let cursor = TableCursor::forward(table, None, Caching::Bypass)?;
                sources.push(Source::Table(cursor));
            }
        }
        Ok(Merge::new(sources, Direction::Forward))
    }

    /// The upper tables as a sorted level; level 0 is none.
    fn upper_level(&self) -> Vec<&[Placed]> {
        match self.picked.level {
            0 => Vec::new(),
            _ => vec![&self.upper[..]],
        }
    }

    /// Writes the merge's current version if it must stay; returns what that cost.
    fn carry(&mut self, merge: &Merge<Source<'static>>) -> Result<usize> {
        let (key, revision) = merge.place();
        let slot = merge.slot();
        if self.sieve.keeps(key, revision, slot.is_tombstone())? {
            self.output.add(key, revision, &slot)?;
        }
        Ok(key.len() + slot.len() + STEP_OVERHEAD)
    }

    fn finish(&mut self) -> Result<TreeChange> {
        let level = self.picked.output;
        let added = self.output.finish()?;
        crash_point("compaction: tables complete");
        let added = added.into_iter().map(|t| Placed::new(t, level)).collect();
        Ok(self.change(added))
    }

    /// A single table over nothing, with nothing to drop, need not be rewritten.
    fn only_sinks(&self) -> bool {
        self.picked.level > 0
            && self.picked.output > self.picked.level
            && self.lower.is_empty()
            && self.upper.len() == 1
            && self.upper.iter().all(|placed| placed.meta.tombstones == 0)
            && !self.has_interval
    }

    fn sink(&mut self) -> TreeChange {
        let level = self.picked.output;
        let tables = self.upper.iter().map(|placed| placed.table.clone());
        let added = tables.map(|table| Placed::new(table, level)).collect();
        self.change(added)
    }

    fn change(&self, added: Vec<Placed>) -> TreeChange {
        let edit = TreeEdit {
            added: added.iter().map(|placed| placed.meta.clone()).collect(),
            removed: [&self.picked.upper[..], &self.picked.lower].concat(),
            gc_floor: self.gc_floor,
        };
        TreeChange::new(edit, added, self.ticket.clone(), ChangeKind::Compaction)
    }
}

impl std::fmt::Debug for CompactionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactionJob")
            .field("picked", &self.picked)
            .field("horizon", &self.gc_floor)
            .finish_non_exhaustive()
    }
}
