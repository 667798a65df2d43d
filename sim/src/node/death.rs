//! Why a process ends.

use crate::checks::Violation;
use doug_node::apply::ApplyError;
use doug_node::watchdog::Complaint;
use doug_storage::StorageError;

/// Why a process ended, or could not start.
#[derive(Debug)]
pub enum Death {
    /// Its disk failed it, or what is on it.
    Storage(StorageError),
    /// A committed command could not be applied.
    Apply(ApplyError),
    /// One of its threads is stuck, and its supervisor ends it.
    Stuck(Complaint),
    /// It broke a promise.
    Broken(Violation),
}

impl From<StorageError> for Death {
    fn from(error: StorageError) -> Self {
        Death::Storage(error)
    }
}

impl From<ApplyError> for Death {
    fn from(error: ApplyError) -> Self {
        Death::Apply(error)
    }
}

impl From<Violation> for Death {
    fn from(violation: Violation) -> Self {
        Death::Broken(violation)
    }
}
