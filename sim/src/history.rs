//! What clients asked, when, and what they were told.

use crate::time::SimTime;
use bytes::Bytes;
use doug_client::At;
use doug_proto::transaction::is_read_only;
use doug_proto::v1::{Outcome, TransactRequest};
use std::time::Duration;

/// How fresh a read was asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// By the leader.
    Linearizable,
    /// At most so far behind.
    Bounded(Duration),
    /// At least this revision.
    Session(u64),
    /// Whatever is there.
    Eventual,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Action {
    /// A session.
    Register,
    /// One or several keys written together, if the condition on the first holds.
    Put {
        /// The keys; all get the value.
        keys: Vec<Bytes>,
        /// Unique in the run.
        value: Bytes,
        /// What must hold of the first key.
        condition: Condition,
    },
    /// A key removed.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// A key read.
    Get {
        /// The key.
        key: Bytes,
        /// How fresh.
        freshness: Freshness,
    },
    /// A transaction: its conditions and both lists.
    Transact(Box<TransactRequest>),
    /// One key, or all of them, read as they were.
    Past {
        /// The key; none: all keys.
        key: Option<Bytes>,
        /// When.
        at: At,
        /// From the last to the first.
        reverse: bool,
    },
    /// All keys of the partition read.
    Scan {
        /// How fresh.
        freshness: Freshness,
        /// From the last to the first.
        reverse: bool,
    },
}

impl Action {
    /// Whether it may change what the database holds.
    pub fn writes(&self) -> bool {
        match self {
            Action::Put { .. } | Action::Delete { .. } => true,
            Action::Transact(request) => !is_read_only(request),
            Action::Register | Action::Get { .. } | Action::Past { .. } | Action::Scan { .. } => {
                false
            }
        }
    }

    /// Of a scan, whether it goes from the last key to the first.
    pub fn scans(&self) -> Option<bool> {
        match self {
            Action::Scan { reverse, .. } | Action::Past { key: None, reverse, .. } => {
                Some(*reverse)
            }
            _ => None,
        }
    }
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    None,
    /// The key is missing.
    Absent,
    /// The key was last written at this revision, with this value.
    Revision(u64, Bytes),
    /// The key has this value.
    Value(Bytes),
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A session's id.
    Registered(u64),
    /// A write's outcome.
    Written {
        /// Revision of the command.
        revision: u64,
        /// Whether its condition held.
        met: bool,
        /// For a delete: whether the key existed.
        existed: bool,
        /// If the condition did not hold: the key's revision, 0 if missing.
        current: u64,
    },
    /// What a transaction did; its revision is that of the command, or of what it read.
    Transacted(Box<Outcome>),
    /// One key.
    Got {
        /// Revision the reader had applied.
        revision: u64,
        /// The value and its revision.
        found: Option<(Bytes, u64)>,
    },
    /// All keys.
    Scanned {
        /// Revision the reader had applied.
        revision: u64,
        /// Keys, values and revisions.
        entries: Vec<(Bytes, Bytes, u64)>,
    },
}

impl Answer {
    /// Whether it says that a write was done.
    pub fn is_done(&self) -> bool {
        match self {
            Answer::Written { met, .. } => *met,
            Answer::Transacted(outcome) => outcome.obstacle.is_none(),
            _ => false,
        }
    }
}

/// The server of an answer that does not say who gave it.
pub const ANY_SERVER: usize = usize::MAX;

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Number of the client.
    pub client: usize,
    /// The partition.
    pub partition: u64,
    /// What was asked.
    pub action: Action,
    /// When.
    pub asked: SimTime,
    /// What was answered and when; `None`: nobody knows what became of it.
    pub answered: Option<(SimTime, Answer)>,
    /// The answer claims to see all that was answered more than so long before it was
    /// asked.
    pub staleness: Option<Duration>,
    /// The node that answered.
    pub server: usize,
    /// How often it was sent.
    pub tries: u32,
}

/// The number that makes a value unique: its first eight bytes.
pub fn value_number(value: &[u8]) -> u64 {
    value.get(..8).map_or(0, |head| u64::from_be_bytes(head.try_into().expect("eight bytes")))
}
