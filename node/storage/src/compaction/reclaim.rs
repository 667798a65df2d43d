//! Reclaiming: a table written anew where it stands, without what newer tables hide.
//!
//! A compaction into the next level needs room for all of its input beside it until it is
//! published. On a full volume there is none, and so deletes would never free anything. A table
//! is reclaimed alone: that needs room for what stays of it, which after deletes is little or
//! nothing, and the table is deleted before the next one begins. Newer tables are only read.
//!
//! It is sound because of one key each level, and each table of level 0, holds only newer
//! versions than what lies below it. So a version is hidden if a newer table holds one at or
//! below the horizon; and what is left is a part of the table, which may take its place.
//!
//! How much is hidden stands in no property of a table: it depends on the others. So a [`Survey`]
//! reads first and writes nothing; only if enough would go is the table written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::job::{CompactionJob, STEP_OVERHEAD};
use super::pick::Picked;
use super::sieve::{Above, Sieve};
use crate::Result;
use crate::table::FileId;
use crate::table::cursor::TableCursor;
use crate::table::entry::Cursor;
use crate::table::reader::Caching;
use crate::tree::change::JobTicket;
use crate::tree::levels::{Levels, Placed};
use crate::tree::{Interval, Workshop};

/// A table is written anew if at least one of so many bytes goes.
const WORTH: u64 = 8;

/// What is known of tables that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Too little of these is hidden: as of which horizon, and over how many tables beneath.
    vain: BTreeMap<FileId, (u64, usize)>,
    /// What stays of these found no room: so many bytes.
    cramped: BTreeMap<FileId, u64>,
}

impl Looked {
    /// Some tables may be gone.
    pub(crate) fn installed(&mut self, levels: &Levels) {
        if !(self.vain.is_empty() && self.cramped.is_empty()) {
            let live: BTreeSet<_> = levels.all().map(|placed| placed.meta.file).collect();
            self.vain.retain(|file, _| live.contains(file));
            self.cramped.retain(|file, _| live.contains(file));
        }
    }

    /// Whether something is new about a table since it was looked at in vain.
    fn is_worth_a_look(
        &self,
        levels: &Levels,
        placed: &Placed,
        (horizon, room): (u64, u64),
    ) -> bool {
        let meta = &placed.meta;
        if self.cramped.get(&meta.file).is_some_and(|needs| *needs > room) {
            return false;
        }
        let (seen, beneath) = self.vain.get(&meta.file).copied().unzip();
        let seen = seen.unwrap_or(0);
        let hidden = above(levels, placed)
            .any(|newer| newer.meta.min_revision <= horizon && newer.meta.max_revision > seen);
        let deletes = meta.tombstones > 0 && meta.min_revision <= horizon;
        let ripe = seen < meta.max_revision.min(horizon);
        hidden || deletes && (ripe || beneath != Some(beneath_count(levels, placed)))
    }
}

/// The table most worth a look, if any is. The deepest first: once they are gone, tombstones
/// above them go, too.
pub(crate) fn choose(
    levels: &Levels,
    looked: &Looked,
    (horizon, room): (u64, u64),
) -> Option<Placed> {
    let deletes = |placed: &Placed| {
        let above: u64 = above(levels, placed).map(|newer| newer.meta.tombstones).sum();
        above + placed.meta.tombstones
    };
    levels.each().iter().rev().find_map(|level| {
        let worth = level.iter().filter(|t| looked.is_worth_a_look(levels, t, (horizon, room)));
        worth.max_by_key(|placed| (deletes(placed), placed.meta.file)).cloned()
    })
}

/// Tables that may hold newer versions of keys of this one, newest first.
fn above<'a>(levels: &'a Levels, placed: &'a Placed) -> impl Iterator<Item = &'a Placed> {
    let (meta, level) = (&placed.meta, usize::from(placed.meta.level));
    let tables = levels.each().iter().take(level + 1).enumerate().flat_map(move |(at, tables)| {
        // In its own level only that of flushed memtables has newer tables, which stand before it.
        let own = tables.iter().position(|other| other.meta.file == meta.file);
        let newer = match (at == level, level) {
            (true, 0) => own.unwrap_or(0),
            (true, _) => 0,
            (false, _) => tables.len(),
        };
        &tables[..newer]
    });
    tables.filter(move |other| other.meta.overlaps(&meta.min_key, &meta.max_key))
}

/// How many tables lie beneath this one.
fn beneath_count(levels: &Levels, placed: &Placed) -> usize {
    let (meta, level) = (&placed.meta, usize::from(placed.meta.level));
    let deeper = levels.each().iter().skip(level + 1).flatten();
    let older = levels.each()[0]
        .iter()
        .filter(|other| level == 0 && other.meta.max_revision < meta.min_revision);
    let overlaps = |other: &&Placed| other.meta.overlaps(&meta.min_key, &meta.max_key);
    deeper.chain(older).filter(overlaps).count()
}

/// What a [`Survey`] is of.
pub(crate) struct Subject {
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) ticket: JobTicket,
    pub(crate) levels: Arc<Levels>,
    /// The table.
    pub(crate) placed: Placed,
    pub(crate) interval: Option<Arc<dyn Interval>>,
    /// Nobody reads at an older revision.
    pub(crate) horizon: u64,
    /// Where the outcome is noted.
    pub(crate) looked: Arc<Mutex<Looked>>,
}

/// Reads one table, beside those above it, to see how much of it may go.
pub struct Survey {
    of: Subject,
    reading: Option<(TableCursor, Sieve)>,
    read: u64,
    kept: u64,
}

/// What a [`Survey`] found.
#[derive(Debug)]
pub enum Surveyed {
    /// Not done: step again.
    More(Box<Survey>),
    /// Too little may go.
    Vain,
    /// The table is worth writing anew, which [`Found::begin`] does.
    Worth(Box<Found>),
}

/// A table that is worth writing anew.
pub struct Found(Survey);

impl Survey {
    pub(crate) fn new(of: Subject) -> Self {
        Self { of, reading: None, read: 0, kept: 0 }
    }

    /// Reads about `budget` bytes. After an error drop the survey.
    ///
    /// # Errors
    /// I/O; corruption.
    pub fn step(mut self: Box<Self>, budget: usize) -> Result<Surveyed> {
        let (mut cursor, mut sieve) = match self.reading.take() {
            Some(reading) => reading,
            None => {
                let table = Arc::clone(&self.of.placed.table);
                (TableCursor::forward(table, None, Caching::Bypass)?, self.sieve()?)
            }
        };
        let mut spent = 0;
        while cursor.valid() && spent < budget.max(1) {
            let ((key, revision), slot) = (cursor.place(), cursor.slot());
            let bytes = key.len() + slot.len() + STEP_OVERHEAD;
            self.read += bytes as u64;
            if sieve.keeps(key, revision, slot.is_tombstone())? {
                self.kept += bytes as u64;
            }
            spent += bytes;
            cursor.advance()?;
        }
        if cursor.valid() {
            self.reading = Some((cursor, sieve));
            return Ok(Surveyed::More(self));
        }
        if (self.read - self.kept) * WORTH < self.read {
            let Subject { levels, placed, horizon, looked, .. } = &self.of;
            let beneath = beneath_count(levels, placed);
            looked.lock().vain.insert(placed.meta.file, (*horizon, beneath));
            return Ok(Surveyed::Vain);
        }
        Ok(Surveyed::Worth(Box::new(Found(*self))))
    }

    fn sieve(&self) -> Result<Sieve> {
        let Subject { levels, placed, interval, horizon, .. } = &self.of;
        let level = usize::from(placed.meta.level);
        let beneath = match level {
            0 => levels.beneath_table(&placed.meta),
            _ => levels.beneath(level + 1),
        };
        let newer = above(levels, placed).map(|newer| Arc::clone(&newer.table)).collect();
        let above = Above::new(newer, &placed.meta)?;
        Ok(Sieve::new(interval.clone(), beneath, *horizon).below(above))
    }
}

impl Found {
    /// Bytes that what stays takes on disk, at most.
    pub fn needs(&self) -> u64 {
        let Survey { of, read, kept, .. } = &self.0;
        if *kept == 0 {
            return 0;
        }
        let size = of.placed.meta.size;
        // Blocks are filled anew, and the filter, the index and the properties are written again.
        let share = u128::from(size) * u128::from(*kept) / u128::from(*read);
        size.min(share as u64 + size / 8 + 4_096)
    }

    /// There is no room for it: the table is looked at again once there is.
    pub fn put_off(self) {
        let needs = self.needs();
        let Subject { looked, placed, .. } = &self.0.of;
        looked.lock().cramped.insert(placed.meta.file, needs);
    }

    /// The job that writes it.
    ///
    /// # Errors
    /// I/O; corruption.
    pub fn begin(self) -> Result<CompactionJob> {
        let sieve = self.0.sieve()?;
        let Subject { workshop, ticket, placed, horizon, .. } = self.0.of;
        let level = usize::from(placed.meta.level);
        let picked =
            Picked { level, output: level, upper: vec![placed.meta.file], lower: Vec::new() };
        Ok(CompactionJob::of(workshop, ticket, picked, (vec![placed], Vec::new()), sieve, horizon))
    }
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey")
            .field("file", &self.of.placed.meta.file)
            .field("horizon", &self.of.horizon)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Found").field(&self.0).finish()
    }
}
