//! The tables a job writes.

use std::sync::Arc;

use crate::Result;
use crate::simulation::crash_point;
use crate::table::batches::Candidates;
use crate::table::{FileId, Slot, Table, TableBuilder};
use crate::tree::Workshop;

/// Writes versions into as many tables as their size asks for.
///
/// Dropped before [`Self::finish`], it reports its files for deletion.
pub(crate) struct Output {
    workshop: Arc<Workshop>,
    /// Bytes at which a table is closed, between two keys; `None` never splits.
    split: Option<u64>,
    batches: Candidates,
    current: Option<(FileId, TableBuilder)>,
    created: Vec<FileId>,
    /// Bytes of the tables that are closed.
    closed: u64,
    finished: bool,
}

impl Output {
    pub(crate) fn new(workshop: Arc<Workshop>, split: Option<u64>) -> Self {
        Self {
            workshop,
            split,
            batches: Candidates::default(),
            current: None,
            created: Vec::new(),
            closed: 0,
            finished: false,
        }
    }

    /// The batches that the versions may be of. Call it before the first is added.
    pub(crate) fn of_batches(&mut self, batches: Candidates) {
        self.batches = batches;
    }

    /// Appends a version, in internal order.
    pub(crate) fn add(&mut self, key: &[u8], revision: u64, slot: &Slot) -> Result<()> {
        // All versions of a key stay in one table: sorted levels are disjoint by key.
        let full = self.current.as_ref().is_some_and(|(_, builder)| {
            self.split.is_some_and(|split| builder.size() >= split) && builder.last_key() != key
        });
        if full {
            self.close()?;
        }
        if self.current.is_none() {
            self.current = Some(self.create()?);
        }
        match &mut self.current {
            Some((_, builder)) => builder.add(key, revision, slot),
            None => Ok(()),
        }
    }

    /// Bytes of all tables so far, to the last one once it is finished.
    pub(crate) fn written(&self) -> u64 {
        self.closed + self.current.as_ref().map_or(0, |(_, builder)| builder.size())
    }

    fn create(&mut self) -> Result<(FileId, TableBuilder)> {
        let context = &self.workshop.context;
        let file = context.ids.allocate();
        let path = context.table_path(file);
        let (identity, options) = (context.identity(file), context.options.table.clone());
        let builder = TableBuilder::create(&*context.disk, &path, identity, options)?;
        let builder = builder.of_batches(self.batches.clone());
        crash_point("table: created");
        self.created.push(file);
        Ok((file, builder))
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, builder)) = self.current.take() {
            // On the volume, whatever becomes of the rest: filter and index, which come last.
            let before = builder.size();
            self.closed += before;
            let (_, size) = builder.finish()?;
            self.closed += size.saturating_sub(before);
        }
        Ok(())
    }

    /// Makes everything durable, directory entries too, and opens the tables. Once.
    pub(crate) fn finish(&mut self) -> Result<Vec<Arc<Table>>> {
        assert!(!self.finished, "a job finishes once");
        self.close()?;
        if !self.created.is_empty() {
            // Before the manifest edit: an edit must not name a file power loss can take.
            self.workshop.sync_tables_dir()?;
            crash_point("table: name synced");
        }
        let open = |&file: &FileId| self.workshop.open_table(file);
        let tables = self.created.iter().map(open).collect::<Result<Vec<_>>>()?;
        self.finished = true;
        Ok(tables)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.finished {
            for file in self.created.drain(..) {
                self.workshop.context.obsolete.condemn(file);
            }
        }
    }
}
