//! Which files a data directory is made of: for checkers that look for what leaked, or was lost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Store;
use crate::ReplicaKey;

/// What the store's parts answer for. No job may be under way, and everything obsolete deleted.
#[derive(Clone, Debug, Default)]
pub struct StoreFiles {
    /// Named by the manifest, the log or a snapshot that is kept: they must be there.
    pub needed: BTreeSet<PathBuf>,
    /// Tables of replicas that are fenced: they stay until the replica is removed, in whatever
    /// state.
    pub fenced: BTreeSet<PathBuf>,
    /// Replicas for which pieces of snapshots wait in `incoming/`.
    pub receiving: BTreeSet<ReplicaKey>,
}

impl StoreFiles {
    /// Whether somebody answers for the file.
    pub fn account_for(&self, file: &Path) -> bool {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let received = file.parent().is_some_and(|dir| dir.ends_with("incoming"))
            && crate::snapshot::replica_of(name).is_some_and(|key| self.receiving.contains(&key));
        self.needed.contains(file) || self.fenced.contains(file) || received
    }
}

impl Store {
    /// The files that make up the data directory now, but for the log's spare ones
    /// ([`LogWriter::spare_files`](crate::log::LogWriter::spare_files)).
    pub fn files(&self) -> StoreFiles {
        let mut files = StoreFiles::default();
        self.manifest.with_state(|state| {
            for record in state.live.values() {
                let tables = record.image.tables.keys().map(|file| self.context.table_path(*file));
                match record.fenced {
                    Some(_) => files.fenced.extend(tables),
                    None => files.needed.extend(tables),
                }
            }
        });
        files.needed.extend(self.manifest.files());
        files.needed.extend(self.log.segment_files());
        files.needed.extend(self.outgoing.files());
        files.receiving = self.incoming.replicas();
        files
    }
}
