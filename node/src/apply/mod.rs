//! Applying committed batches: the partition's state machine over its tree.

mod expiry;
mod history;
mod machine;
mod number;
mod recent;
mod replica_data;
mod served;
mod session_keys;
mod sessions;
mod staged;
mod transaction;

pub use expiry::{DUE_BYTES, DUE_ENTRIES};
pub use history::{Ages, Floor, Kept};
pub use machine::{ApplyError, Machine, STATE_FORMAT_VERSION};
pub use recent::{Change, Holds, Place, Recent, RecentMemory, Told};
pub use replica_data::{AppliedWork, Checkpoint, Jobs, ReplicaData, Unapplied};
pub use served::ServedCounts;
pub use sessions::{SessionAdmission, Sessions};
pub use transaction::{Transaction, execute};
