//! What a finished job wants to change.

use std::sync::Arc;

use bytes::Bytes;

use super::levels::Placed;
use super::version::Frozen;
use super::{Applied, TreeEdit};

/// Ties a job to its tree: which incarnation of it the job read, and, while any clone
/// of `running` lives, that a job of its kind is under way.
#[derive(Clone)]
pub(crate) struct JobTicket {
    pub(crate) incarnation: u64,
    /// Held only to be counted.
    pub(crate) _running: Arc<()>,
}

pub(crate) enum ChangeKind {
    Flush(Arc<Frozen>),
    Compaction,
    Snapshot { applied: Applied, state: Bytes },
}

/// A change whose files are durable, to be published and installed:
///
/// 1. ask [`super::Tree::accepts`]; if not, [`Self::discard`] it;
/// 2. publish [`Self::edit`] with [`Self::applied`] in one durable manifest edit;
/// 3. [`super::Tree::install`] it.
///
/// Dropped instead, its files stay on disk: they may already be published.
pub struct TreeChange {
    edit: TreeEdit,
    pub(crate) added: Vec<Placed>,
    pub(crate) ticket: JobTicket,
    pub(crate) kind: ChangeKind,
}

impl TreeChange {
    pub(crate) fn new(
        edit: TreeEdit,
        added: Vec<Placed>,
        ticket: JobTicket,
        kind: ChangeKind,
    ) -> Self {
        Self { edit, added, ticket, kind }
    }

    /// The tables that enter and leave.
    pub fn edit(&self) -> &TreeEdit {
        &self.edit
    }

    /// The position and state block to publish with the edit; a compaction has none.
    pub fn applied(&self) -> Option<(Applied, Bytes)> {
        match &self.kind {
            ChangeKind::Flush(frozen) => Some((frozen.applied, frozen.state.clone())),
            ChangeKind::Snapshot { applied, state } => Some((*applied, state.clone())),
            ChangeKind::Compaction => None,
        }
    }

    /// Gives up a change that was never published: its new files may be deleted.
    pub fn discard(self) {
        for placed in &self.added {
            if !self.edit.removed.contains(&placed.meta.file) {
                placed.table.mark_obsolete();
            }
        }
    }
}

impl std::fmt::Debug for TreeChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeChange")
            .field("edit", &self.edit)
            .field("applied", &self.applied().map(|(applied, _)| applied))
            .finish_non_exhaustive()
    }
}

/// How far a job came.
#[derive(Debug)]
pub enum Progress {
    /// Step again.
    More,
    /// The job is done; this is what it changes. Do not step again.
    Done(TreeChange),
}
