//! The snapshots a node keeps to send.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Snapshot;
use super::incoming::remove_files;
use super::names;
use crate::disk::Disk;
use crate::table::FileId;
use crate::tree::Checkpoint;
use crate::{ReplicaKey, Result, StorageError};

/// All that is in `outgoing/`. A snapshot goes when it was sent, when a newer one of its
/// replica has taken its place, or when nobody has sent it for a while; never while it is sent.
pub(crate) struct Outgoing {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// By replica, oldest first.
    kept: Mutex<BTreeMap<ReplicaKey, Vec<Kept>>>,
}

struct Kept {
    snapshot: Arc<Snapshot>,
    /// When it was first found idle.
    idle_since: Option<Duration>,
    unwanted: bool,
    /// Found damaged: it is not sent again.
    damaged: bool,
}

impl Kept {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, idle_since: None, unwanted: false, damaged: false }
    }
}

impl Outgoing {
    /// Takes over what an earlier process left whole of replicas that live. Of each only the
    /// newest is wanted: a node that is killed again and again, before it has tidied, would
    /// gather one for each of its lives otherwise.
    pub fn load(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        lives: impl Fn(ReplicaKey) -> bool,
    ) -> Result<Self> {
        disk.create_dir_all(&dir).map_err(StorageError::io("create", &dir))?;
        let mut kept: BTreeMap<ReplicaKey, Vec<Kept>> = BTreeMap::new();
        for name in disk.list(&dir).map_err(StorageError::io("list", &dir))? {
            let Some((replica, rest)) = names::replica_of(&name) else { continue };
            if !rest.ends_with(".snapshot") || !lives(replica) {
                continue;
            }
            if let Some(snapshot) = Snapshot::load(disk.clone(), &dir, replica, rest) {
                let snapshot = Arc::new(snapshot);
                let all = kept.entry(replica).or_default();
                all.push(Kept::new(snapshot));
                all.sort_by_key(|kept| kept.snapshot.info().applied);
            }
        }
        for all in kept.values_mut() {
            let older = all.len() - 1;
            all[..older].iter_mut().for_each(|older| older.unwanted = true);
        }
        remove_files(&*disk, &dir, |replica, rest| {
            let all = kept.get(&replica).map_or(&[][..], |all| all);
            !all.iter().any(|kept| kept.snapshot.owns(replica, rest))
        })?;
        Ok(Self { disk, dir, kept: Mutex::new(kept) })
    }

    /// The newest sound snapshot of a replica, if it contains everything up to `at_least`.
    pub fn find(&self, replica: ReplicaKey, at_least: u64) -> Option<Arc<Snapshot>> {
        let mut kept = self.kept.lock();
        let newest = kept.get_mut(&replica)?.iter_mut().rfind(|kept| !kept.damaged)?;
        if newest.snapshot.info().applied.index < at_least {
            return None;
        }
        newest.unwanted = false;
        Some(newest.snapshot.clone())
    }

    /// Makes a snapshot of a checkpoint, in place of any older one.
    ///
    /// Refused if it would be one that was found damaged.
    pub fn add(
        &self,
        replica: ReplicaKey,
        checkpoint: &Checkpoint,
        table_path: impl Fn(FileId) -> PathBuf,
    ) -> Result<Arc<Snapshot>> {
        let mut kept = self.kept.lock();
        let all = kept.entry(replica).or_default();
        let id = checkpoint.info().id();
        if let Some(same) = all.iter_mut().find(|kept| kept.snapshot.id() == id) {
            if same.damaged {
                let what = format!("the snapshot of replica {replica} that is kept is damaged");
                return Err(StorageError::Refused(what));
            }
            same.unwanted = false;
            return Ok(same.snapshot.clone());
        }
        let snapshot = Snapshot::new(self.disk.clone(), &self.dir, replica, checkpoint.info());
        if let Err(error) = snapshot.link(checkpoint, table_path) {
            // Half of it is of no use, and would stay until the next start.
            let _ = snapshot.delete();
            return Err(error);
        }
        let snapshot = Arc::new(snapshot);
        all.iter_mut().for_each(|older| older.unwanted = true);
        all.push(Kept::new(snapshot.clone()));
        Ok(snapshot)
    }

    /// The files of all snapshots.
    pub fn files(&self) -> Vec<PathBuf> {
        let kept = self.kept.lock();
        kept.values().flatten().flat_map(|kept| kept.snapshot.files()).collect()
    }

    /// A replica's snapshots were sent, or the replica is gone: they go once nobody sends them.
    pub fn give_up(&self, replica: ReplicaKey) {
        for kept in self.kept.lock().get_mut(&replica).into_iter().flatten() {
            kept.unwanted = true;
        }
    }

    /// A snapshot is damaged: it is not sent again, and goes once nobody sends it.
    pub fn discard(&self, snapshot: &Snapshot) {
        let mut kept = self.kept.lock();
        for kept in kept.get_mut(&snapshot.replica()).into_iter().flatten() {
            if kept.snapshot.id() == snapshot.id() {
                (kept.unwanted, kept.damaged) = (true, true);
            }
        }
    }

    /// Deletes what is unwanted or was idle for as long as `patience`; `now` as
    /// [`Store::tidy_snapshots`](crate::store::Store::tidy_snapshots) has it.
    pub fn tidy(&self, now: Duration, patience: Duration) -> Result<()> {
        let mut kept = self.kept.lock();
        let mut outcome = Ok(());
        for all in kept.values_mut() {
            all.retain_mut(|kept| {
                if Arc::strong_count(&kept.snapshot) > 1 {
                    kept.idle_since = None;
                    return true;
                }
                let since = *kept.idle_since.get_or_insert(now);
                let idle = now.saturating_sub(since) >= patience;
                if !(kept.unwanted || idle) {
                    return true;
                }
                outcome = std::mem::replace(&mut outcome, Ok(())).and(kept.snapshot.delete());
                false
            });
        }
        kept.retain(|_, all| !all.is_empty());
        outcome
    }
}
