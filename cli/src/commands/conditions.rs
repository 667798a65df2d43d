//! Conditions of writes, as flags.

use bytes::Bytes;
use doug_proto::v1::{Condition, condition::Test};

/// What must hold for a put.
#[derive(clap::Args, Clone, Copy)]
#[group(multiple = false)]
pub struct PutCondition {
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
    /// Only if the key was last written at this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
}

impl PutCondition {
    /// The condition on `key`, if any was asked for.
    pub fn on(self, key: &Bytes) -> Option<Condition> {
        let test = match (self.if_absent, self.if_revision) {
            (true, _) => Test::Exists(false),
            (false, Some(revision)) => Test::Revision(revision),
            (false, None) => return None,
        };
        Some(Condition { key: key.clone(), test: Some(test) })
    }
}

/// The condition that `key` was last written at `revision`.
pub fn at_revision(key: &Bytes, revision: u64) -> Condition {
    Condition { key: key.clone(), test: Some(Test::Revision(revision)) }
}
