//! Why a read was refused.

use crate::StorageError;

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Versions that old may have been collected: read at a newer revision, or pin it
    /// beforehand.
    #[error("revision {at} is no longer readable here: versions below {floor} may be gone")]
    RevisionGone {
        /// The revision asked for.
        at: u64,
        /// The oldest revision still readable.
        floor: u64,
    },
    /// The view does not hold that revision yet.
    #[error("revision {at} is not applied here yet: the newest is {newest}")]
    RevisionAhead {
        /// The revision asked for.
        at: u64,
        /// The view's own revision.
        newest: u64,
    },
    /// The disk failed or a table is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
