//! Turns a frozen memtable into a table of level 0, in steps.

use std::sync::Arc;

use bytes::Bytes;

use super::change::{ChangeKind, JobTicket, Progress, TreeChange};
use super::context::Workshop;
use super::levels::{Beneath, Placed};
use super::version::Frozen;
use super::{Applied, Op, TreeEdit};
use crate::Result;
use crate::compaction::STEP_OVERHEAD;
use crate::compaction::output::Output;
use crate::compaction::retention::Retention;
use crate::simulation::crash_point;
use crate::table::batches::Candidates;
use crate::table::entry::Cursor;

/// Writes one memtable to disk. Dropped before it is done, it changes nothing and
/// reports its file for deletion.
pub struct FlushJob {
    ticket: JobTicket,
    frozen: Arc<Frozen>,
    retention: Retention,
    beneath: Beneath,
    gc_floor: u64,
    output: Output,
    /// The version written last: a cursor into the memtable does not outlive a step.
    last: Option<(Bytes, u64)>,
}

impl FlushJob {
    pub(crate) fn new(
        workshop: Arc<Workshop>,
        ticket: JobTicket,
        frozen: Arc<Frozen>,
        beneath: Beneath,
        horizon: u64,
    ) -> Self {
        let mut output = Output::new(workshop, None);
        output.of_batches(Candidates::new(&frozen.memtable.batches(), horizon));
        Self {
            ticket,
            frozen,
            retention: Retention::new(horizon),
            beneath,
            gc_floor: horizon,
            output,
            last: None,
        }
    }

    /// Adds to what was frozen: that is the bug [`Bug::SessionFrozenLate`], and nothing else
    /// may call it.
    ///
    /// [`Bug::SessionFrozenLate`]: crate::simulation::Bug::SessionFrozenLate
    pub fn freeze_late(&self, system: &[Op]) {
        self.frozen.memtable.apply(self.frozen.applied.index, system);
    }

    /// The position the flush will publish.
    pub fn applied(&self) -> Applied {
        self.frozen.applied
    }

    /// Bytes of its memtable: its table takes no more.
    pub fn input_bytes(&self) -> u64 {
        self.frozen.memtable.bytes() as u64
    }

    /// Bytes of the table so far, to its last byte once the job is done.
    pub fn written(&self) -> u64 {
        self.output.written()
    }

    /// Works through about `budget` bytes of the memtable. When it is done, its file is
    /// durable: publish the change in the manifest, then install it. The last step also
    /// syncs the table; after an error drop the job.
    pub fn step(&mut self, budget: usize) -> Result<Progress> {
        let frozen = Arc::clone(&self.frozen);
        let last = self.last.take();
        let from = last.as_ref().map(|(key, revision)| (&key[..], *revision));
        let mut cursor = frozen.memtable.forward(from);
        if from.is_some() {
            cursor.advance()?;
        }
        let mut spent = 0;
        while cursor.valid() {
            let (key, revision) = cursor.place();
            let slot = cursor.slot();
            let beneath = |key: &[u8]| self.beneath.may_hold(key);
            let keep = self.retention.keeps(key, revision, slot.is_tombstone(), beneath);
            if keep {
                self.output.add(key, revision, &slot)?;
            }
            spent += key.len() + slot.len() + STEP_OVERHEAD;
            if spent >= budget {
                crash_point("flush: step");
                self.last = Some((Bytes::copy_from_slice(key), revision));
                return Ok(Progress::More);
            }
            cursor.advance()?;
        }
        Ok(Progress::Done(self.finish()?))
    }

    fn finish(&mut self) -> Result<TreeChange> {
        let tables = self.output.finish()?.into_iter();
        let added: Vec<_> = tables.map(|table| Placed::new(table, 0)).collect();
        crash_point("flush: tables complete");
        let edit = TreeEdit {
            added: added.iter().map(|placed| placed.meta.clone()).collect(),
            removed: Vec::new(),
            gc_floor: self.gc_floor,
        };
        let kind = ChangeKind::Flush(Arc::clone(&self.frozen));
        Ok(TreeChange::new(edit, added, self.ticket.clone(), kind))
    }
}

impl std::fmt::Debug for FlushJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlushJob").field("applied", &self.frozen.applied).finish_non_exhaustive()
    }
}
