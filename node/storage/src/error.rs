//! What can go wrong on a disk, in words for whoever is on call.

use std::io;
use std::path::{Path, PathBuf};

/// Result of every storage operation.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Bytes on disk that are not what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at offset {offset}: {what}", file.display())]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where the damage was noticed, in bytes from the start of the file.
    pub offset: u64,
    /// What was expected and what was found.
    pub what: String,
}

impl Corruption {
    /// Describes damage noticed at `offset` of `file`.
    pub fn new(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        Self { file: file.into(), offset, what: what.into() }
    }
}

/// Every failure of the storage engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused an operation.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "open", "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Damaged bytes; nothing was changed.
    #[error("{0}; nothing was changed")]
    Corruption(#[from] Corruption),
    /// A file written by a newer program.
    #[error(
        "{} has format version {found}, and this program reads versions up to {supported}: \
         run the program that wrote it, or a newer one", file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// The version found in it.
        found: u32,
        /// The greatest version this program understands.
        supported: u32,
    },
    /// A file that holds something only a newer program knows.
    #[error(
        "{} holds {what}, which this program does not know: run the program that wrote it, or \
         a newer one", file.display()
    )]
    NewerContent {
        /// The file.
        file: PathBuf,
        /// What is unknown.
        what: &'static str,
    },
    /// Another process holds the data directory.
    #[error(
        "{} is in use by another process: stop that one first, or give this node its own directory",
        dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// A bounded queue or the log's byte limit is full; nothing was done, try later.
    #[error("{what} is full ({used} of {limit} bytes): try again later")]
    Busy {
        /// What is full.
        what: &'static str,
        /// Bytes in use.
        used: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A write or fsync failed: what is on disk is unknown, and the process must end.
    ///
    /// An fsync must never be tried again: the kernel may have dropped the dirty
    /// pages and answer the second call with success (Rebello et al., ATC 2020).
    #[error("{what}; what reached the disk is unknown, so this process must end and start again")]
    Fatal {
        /// The first failure.
        what: String,
    },
    /// The replica was removed from this node, or fenced: its id must never write again.
    #[error(
        "replica {replica} was removed from this node or fenced, and its id must never be used \
         again"
    )]
    Removed {
        /// The removed replica.
        replica: crate::ReplicaKey,
    },
    /// The replica's files are damaged: it must never vote, acknowledge or answer again.
    #[error(
        "replica {replica} is fenced ({why}): replace it from its peers, under a new id, \
         and remove this one"
    )]
    Fenced {
        /// The fenced replica.
        replica: crate::ReplicaKey,
        /// What is damaged: file, offset and what was found there.
        why: String,
    },
    /// Entries that are not in the log: below its floor, or never appended.
    #[error("the log does not hold entry {index} of replica {replica}")]
    NotInLog {
        /// The replica.
        replica: crate::ReplicaKey,
        /// The first entry that is missing.
        index: u64,
    },
    /// A table of a snapshot does not read, though each chunk matched its checksum.
    #[error("table {table:016x} of the snapshot arrived damaged ({what}): send it again")]
    ArrivedDamaged {
        /// The table's identity.
        table: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The caller asked for what must not be done.
    #[error("{0}")]
    Refused(String),
}

impl StorageError {
    /// Adapter for `map_err`: names the action and the path of an I/O error.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Adapter for `map_err` of what only reads, at `offset`: bytes that the medium has lost are
    /// [`Corruption`](Self::Corruption), as bytes that changed are. Any other failure says nothing
    /// of what is on disk, and stays an I/O error.
    pub fn reading(
        action: &'static str,
        path: impl AsRef<Path>,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| {
            if crate::disk::is_lost(&source) {
                let what = format!("could not {action} it: {source}");
                Corruption::new(path, offset, what).into()
            } else {
                Self::Io { action, path, source }
            }
        }
    }

    /// Adapter for `map_err` of the sync of a directory: [`Fatal`](Self::Fatal), but where there
    /// was no descriptor to sync it by, for then none was tried.
    pub fn syncing_dir(dir: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = dir.as_ref().to_path_buf();
        move |source| {
            if crate::cache::is_out_of_descriptors(&source) {
                Self::Io { action: "sync the directory", path, source }
            } else {
                Self::Fatal { what: format!("could not sync {}: {source}", path.display()) }
            }
        }
    }

    /// Whether the process must end because of this error.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }

    /// Whether the volume has no room. Of the log and the manifest such an error is
    /// fatal; of a table nothing is lost, since nobody relies on it yet.
    pub fn is_no_room(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether this process or the machine had no descriptor left. Of the log and the manifest
    /// such an error is fatal; a job or a read can be tried again.
    pub fn is_out_of_descriptors(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        crate::cache::is_out_of_descriptors(source)
    }

    /// Whether the same call may succeed later.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_of_a_directory_is_fatal_unless_there_was_no_descriptor_to_try_it_by() {
        const EIO: i32 = 5;
        const EMFILE: i32 = 24;
        let failed = |code| StorageError::syncing_dir("sst")(io::Error::from_raw_os_error(code));
        assert!(failed(EIO).is_fatal());
        assert!(failed(EMFILE).is_out_of_descriptors() && !failed(EMFILE).is_fatal());
    }
}
