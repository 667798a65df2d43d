//! Opens a data directory: read everything first, then write.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Opened, Recovered, Store, StoreOptions};
use crate::cache::{BlockCache, Reserve, TableFiles};
use crate::disk::{DirLock, Disk};
use crate::log::{self, KnownReplicas, RecoveredLog};
use crate::manifest::{self, Manifest, ManifestState};
use crate::simulation::crash_point;
use crate::snapshot::{IncomingFiles, Outgoing};
use crate::table::{FileId, FileIds, ObsoleteFiles};
use crate::tree::{self, Tree, TreeContext};
use crate::{Corruption, ReplicaKey, Result, StorageError};

const LOG: &str = "log";

pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, options: StoreOptions) -> Result<Opened> {
    let files = TableFiles::new(disk, options.open_tables);
    let reserve = Arc::new(Reserve::default());
    let disk = files.disk_with(&reserve);
    disk.create_dir_all(dir).map_err(StorageError::io("create", dir))?;
    let lock = lock(&*disk, dir)?;
    let loaded = manifest::load(&*disk, dir)?;
    let log_dir = dir.join(LOG);
    let log_exists = log::exists(&*disk, &log_dir)?;
    // The log is created first. So a manifest without a log has lost votes and entries.
    if loaded.is_some() && !log_exists {
        return Err(
            Corruption::new(log_dir, 0, "the log is missing, though the manifest exists").into()
        );
    }
    if loaded.is_none() && log_exists && log::holds_records(&*disk, &log_dir)? {
        let current = dir.join("CURRENT");
        let what = "the manifest is missing, though the log holds records";
        return Err(Corruption::new(current, 0, what).into());
    }
    let state = loaded.map(|l| l.state).unwrap_or_default();
    let examined = log::examine(disk.clone(), &log_dir, options.log, &known(&state))?;
    let context = context(files.clone(), dir, &options, &state)?;
    let trees = open_trees(&context, &state)?;
    let orphans = tree::orphans(&*disk, dir, |file| is_listed(&state, file))?;

    // The cut is sealed when the log starts, and no later start-up sees it: so the manifest says
    // before that whose batches may be missing.
    let mut state = state;
    let start_manifest =
        |state: &ManifestState| Manifest::start(disk.clone(), dir, options.manifest, state.clone());
    let noted = if examined.is_cut() {
        state.live.values_mut().for_each(|record| record.ambiguous_tail = true);
        Some(start_manifest(&state)?)
    } else {
        None
    };
    crash_point("log recovery: ambiguous tails noted");
    let opened = examined.start()?;
    let manifest = noted.map_or_else(|| start_manifest(&state), Ok)?;
    reserve.hold(files.plain(), &manifest::current(dir));
    for orphan in orphans {
        disk.remove(&orphan).map_err(StorageError::io("delete", &orphan))?;
    }
    let lives = |key: ReplicaKey| matches!(trees.get(&key), Some(Ok(_)));
    let store = Store {
        manifest,
        log: opened.reader.clone(),
        context,
        outgoing: Outgoing::load(files.disk(), dir.join("outgoing"), lives)?,
        incoming: IncomingFiles::load(files.disk(), dir.join("incoming"), lives)?,
        log_cut: opened.cut,
        _lock: lock,
    };
    for (key, damage) in trees.iter().filter_map(|(key, tree)| Some((*key, tree.as_ref().err()?))) {
        let why = match damage {
            StorageError::Corruption(damage) => damage.to_string(),
            other => other.to_string(),
        };
        store.fence_replica(key, &why)?;
    }
    Ok(Opened {
        store: Arc::new(store),
        log: opened.writer,
        reader: opened.reader,
        identity: state.identity,
        map: state.map.clone(),
        creation: state.creation.clone(),
        removed: state.removed.clone(),
        replicas: recovered(state, opened.replicas, trees),
    })
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DirLock>> {
    disk.lock_exclusive(dir).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => StorageError::Locked { dir: dir.to_path_buf() },
        _ => StorageError::io("lock", dir)(error),
    })
}

fn known(state: &ManifestState) -> KnownReplicas {
    let (fenced, sound): (Vec<_>, Vec<_>) =
        state.live.iter().partition(|(_, record)| record.fenced.is_some());
    let removed = state.removed.iter().chain(fenced.into_iter().map(|(key, _)| key));
    KnownReplicas {
        removed: removed.copied().collect(),
        live: sound.into_iter().map(|(key, record)| (*key, record.applied)).collect(),
    }
}

fn is_listed(state: &ManifestState, file: FileId) -> bool {
    state.live.values().any(|record| record.image.tables.contains_key(&file))
}

/// File ids start above everything the manifest or the directory ever named.
fn context(
    files: TableFiles,
    dir: &Path,
    options: &StoreOptions,
    state: &ManifestState,
) -> Result<TreeContext> {
    let disk = files.disk();
    let context = TreeContext {
        disk: disk.clone(),
        files,
        dir: dir.to_path_buf(),
        cache: BlockCache::new(options.cache_bytes, options.lookup_bytes),
        ids: FileIds::starting_at(state.next_file),
        obsolete: ObsoleteFiles::default(),
        salt: options.salt,
        options: options.tree.clone(),
    };
    let tables = context.tables_dir();
    if disk.exists(&tables).map_err(StorageError::io("look for", &tables))? {
        let names = disk.list(&tables).map_err(StorageError::io("list", &tables))?;
        names
            .iter()
            .filter_map(|name| tree::file_of_name(name))
            .for_each(|file| context.ids.observe(file));
    }
    Ok(context)
}

type Trees = BTreeMap<ReplicaKey, Result<Tree>>;

/// Opens every tree. Damaged or missing tables fence their replica; anything else stops the
/// start-up.
fn open_trees(context: &TreeContext, state: &ManifestState) -> Result<Trees> {
    let mut trees = Trees::new();
    for (key, record) in &state.live {
        if let Some(why) = record.fenced.clone() {
            trees.insert(*key, Err(StorageError::Fenced { replica: *key, why }));
            continue;
        }
        let tree = match Tree::open(context.clone(), &record.image, record.applied.index) {
            Ok(tree) => Ok(tree),
            Err(error) if fences(&error) => {
                tracing::error!(replica = %key, %error, "the replica is fenced: replace it from \
                    its peers");
                Err(error)
            }
            Err(error) => return Err(error),
        };
        trees.insert(*key, tree);
    }
    Ok(trees)
}

fn fences(error: &StorageError) -> bool {
    match error {
        StorageError::Corruption(_) => true,
        StorageError::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

fn recovered(
    state: ManifestState,
    mut logs: BTreeMap<ReplicaKey, RecoveredLog>,
    trees: Trees,
) -> Vec<Recovered> {
    let mut live = state.live;
    let assemble = |(key, tree)| {
        let record = live.remove(&key)?;
        let log = logs.remove(&key).unwrap_or_default();
        Some(Recovered {
            key,
            applied: record.applied,
            state: record.state,
            hard_state: log.hard_state,
            commit: log.commit,
            batches: log.batches,
            ambiguous_tail: record.ambiguous_tail,
            tree,
        })
    };
    trees.into_iter().filter_map(assemble).collect()
}
