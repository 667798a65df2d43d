//! Appends edits; whoever comes while a sync runs shares the next one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::files::{self, OpenManifest};
use super::frame::{self, Kind};
use super::{Change, ManifestState, ReplicaRecord};
use crate::disk::{Disk, DiskFile};
use crate::simulation::{Bug, crash_point, has_bug};
use crate::{ReplicaKey, Result, StorageError};

/// Sizes of the manifest.
#[derive(Clone, Copy, Debug)]
pub struct ManifestOptions {
    /// Length in bytes beyond which it is rewritten (default 4 MiB; and at least twice its size
    /// when fresh).
    pub rewrite_bytes: u64,
    /// Random bits that salt the checksums.
    pub salt: u64,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self { rewrite_bytes: 4 << 20, salt: 0 }
    }
}

/// The manifest in force. Shared between threads.
pub struct Manifest {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: ManifestOptions,
    inner: Mutex<Inner>,
    done: Condvar,
}

struct Inner {
    state: ManifestState,
    open: OpenManifest,
    /// Length when it was written afresh.
    fresh: u64,
    /// Encoded edits that wait for the next write.
    queue: Vec<Vec<u8>>,
    /// Edits accepted so far, and how many of them are durable.
    accepted: u64,
    durable: u64,
    writing: bool,
    failed: Option<String>,
}

impl Manifest {
    /// Writes `state` to a manifest of its own, makes it the one in force and removes all others.
    ///
    /// A start-up does this always: what was read may not have been durable, and ends in a torn
    /// edit.
    pub fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: ManifestOptions,
        state: ManifestState,
    ) -> Result<Self> {
        let number = files::next_number(&*disk, dir)?;
        let open = files::switch(&*disk, dir, number, options.salt, &state)?;
        files::remove_others(&*disk, dir, number)?;
        let inner = Inner {
            state,
            fresh: open.end,
            open,
            queue: Vec::new(),
            accepted: 0,
            durable: 0,
            writing: false,
            failed: None,
        };
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
            options,
            inner: Mutex::new(inner),
            done: Condvar::new(),
        })
    }

    /// Looks at the sum of all edits; some of them may still be on their way to the disk.
    pub fn with_state<T>(&self, look: impl FnOnce(&ManifestState) -> T) -> T {
        look(&self.inner.lock().state)
    }

    /// The files that make it up.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [files::current(&self.dir), self.inner.lock().open.path.clone()]
    }

    /// Makes one edit of all `changes`; when it returns, the edit is durable, and damage to it
    /// would be noticed.
    ///
    /// Errors: [`Removed`](StorageError::Removed), [`Fenced`](StorageError::Fenced) and
    /// [`Refused`](StorageError::Refused) if they do not fit the state (nothing is written then),
    /// [`Fatal`](StorageError::Fatal) if the disk failed: the process must end.
    pub fn commit(&self, changes: &[Change]) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.check()?;
        inner.accept(changes)?;
        self.finish(&mut inner)
    }

    /// Leaves a tombstone and returns what was known of the replica, if it was here.
    /// Removing it again changes nothing.
    ///
    /// Errors: [`Fatal`](StorageError::Fatal) if the disk failed.
    pub fn remove(&self, replica: ReplicaKey) -> Result<Option<ReplicaRecord>> {
        let mut inner = self.inner.lock();
        inner.check()?;
        let record = inner.state.live.get(&replica).cloned();
        if !inner.state.removed.contains(&replica) {
            inner.accept(&[Change::Remove(replica)])?;
        }
        // The tombstone of another caller may still be on its way to the disk.
        self.finish(&mut inner)?;
        Ok(record)
    }

    /// Waits until everything accepted so far is durable, and writes it if nobody else does.
    fn finish(&self, inner: &mut MutexGuard<'_, Inner>) -> Result<()> {
        let mine = inner.accepted;
        while inner.durable < mine {
            inner.check()?;
            if inner.writing {
                self.done.wait(inner);
            } else {
                self.write(inner)?;
            }
        }
        Ok(())
    }

    /// Writes what has queued up, with the lock released.
    fn write(&self, inner: &mut MutexGuard<'_, Inner>) -> Result<()> {
        inner.writing = true;
        let upto = inner.accepted;
        let queue = std::mem::take(&mut inner.queue);
        let (file, start, salt) = (inner.open.file.clone(), inner.open.end, inner.open.salt);
        let path = inner.open.path.clone();
        let written = MutexGuard::unlocked(inner, || {
            append(&*file, start, salt, &queue).map_err(StorageError::io("write", path))
        });
        inner.writing = false;
        let outcome = written.and_then(|end| {
            inner.open.end = end;
            inner.durable = upto;
            self.rewrite_if_long(inner)
        });
        self.done.notify_all();
        outcome.map_err(|error| inner.fail(error))
    }

    fn rewrite_if_long(&self, inner: &mut Inner) -> Result<()> {
        if inner.open.end <= self.options.rewrite_bytes.max(2 * inner.fresh) {
            return Ok(());
        }
        let (old, number) = (inner.open.path.clone(), inner.open.number + 1);
        inner.open =
            files::switch(&*self.disk, &self.dir, number, self.options.salt, &inner.state)?;
        inner.fresh = inner.open.end;
        // The state holds the queued edits too: they are durable with it.
        inner.queue.clear();
        inner.durable = inner.accepted;
        self.disk.remove(&old).map_err(StorageError::io("remove", old))?;
        crash_point("manifest switch: old one removed");
        Ok(())
    }
}

/// Writes edits, makes them durable, and then durably says so.
///
/// The mark comes before the answer because the log forgets on the strength of
/// an edit: damage to that edit must never pass for a torn write.
fn append(file: &dyn DiskFile, start: u64, salt: u64, edits: &[Vec<u8>]) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    for edit in edits {
        frame::encode(Kind::Edit, salt, start, start, edit, &mut bytes);
    }
    file.write_at(&bytes, start)?;
    crash_point("manifest: edit written");
    sync(file)?;
    crash_point("manifest: edit synced");
    let durable = start + bytes.len() as u64;
    let mut mark = Vec::new();
    frame::encode(Kind::Mark, salt, durable, durable, &[], &mut mark);
    file.write_at(&mark, durable)?;
    crash_point("manifest: mark written");
    sync(file)?;
    crash_point("manifest: mark synced");
    Ok(durable + mark.len() as u64)
}

fn sync(file: &dyn DiskFile) -> std::io::Result<()> {
    if has_bug(Bug::ManifestNotSynced) { Ok(()) } else { file.sync_data() }
}

impl Inner {
    fn check(&self) -> Result<()> {
        match &self.failed {
            Some(what) => Err(StorageError::Fatal { what: what.clone() }),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: StorageError) -> StorageError {
        let what = self.failed.get_or_insert_with(|| error.to_string());
        StorageError::Fatal { what: what.clone() }
    }

    /// Applies the changes to the state, all or none, and queues the edit.
    fn accept(&mut self, changes: &[Change]) -> Result<()> {
        // Only creations come in lists; a list that names a partition twice must not half apply.
        let mut created = std::collections::BTreeSet::new();
        for change in changes {
            self.check_change(change)?;
            if let Change::Create { replica, .. } = change
                && !created.insert(replica.partition)
            {
                let what = format!("two replicas of partition {} in one edit", replica.partition);
                return Err(StorageError::Refused(what));
            }
        }
        for (i, change) in changes.iter().enumerate() {
            let applied = self.state.apply(change);
            assert!(applied.is_ok() || i == 0, "an edit applied half: {applied:?}");
            applied.map_err(StorageError::Refused)?;
        }
        let mut bytes = Vec::new();
        changes.iter().for_each(|change| change.encode(&mut bytes));
        self.queue.push(bytes);
        self.accepted += 1;
        Ok(())
    }

    /// What a process that runs must not do, though an edit on disk may say it.
    fn check_change(&self, change: &Change) -> Result<()> {
        match change {
            Change::Create { replica, .. } => {
                self.state.check_new(*replica).map_err(StorageError::Refused)?;
                match self.state.replica_of(replica.partition) {
                    Some(other) => Err(StorageError::Refused(format!(
                        "replica {replica} cannot be created beside {other}, which is on this \
                         node: remove that one first"
                    ))),
                    None => Ok(()),
                }
            }
            Change::Publish { replica, .. }
            | Change::Compact { replica, .. }
            | Change::Fence { replica, .. }
            | Change::AmbiguousTail { replica, .. }
                if self.state.removed.contains(replica) =>
            {
                Err(StorageError::Removed { replica: *replica })
            }
            Change::Publish { replica, .. } | Change::Compact { replica, .. } => {
                self.state.check_sound(*replica)
            }
            _ => Ok(()),
        }
    }
}
