//! What was asked, when, and what was answered.

use bytes::Bytes;
use doug_client::Fault;
use std::time::Duration;

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Acknowledged,
    /// Its condition did not hold.
    Refused,
    /// It never will be applied.
    NotExecuted,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    /// The outcome of a write whose answer says whether its condition held.
    pub fn of(answer: &Result<bool, Fault>) -> Self {
        match answer {
            Ok(true) => Self::Acknowledged,
            Ok(false) => Self::Refused,
            Err(fault) if fault.is_not_executed() => Self::NotExecuted,
            Err(_) => Self::Unknown,
        }
    }
}

/// A key that exactly one write was for, if absent. The key is its own value.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The key.
    pub key: Bytes,
    /// How its write ended.
    pub outcome: Outcome,
}

/// An operation on a key that all clients write and read.
#[derive(Clone, Debug)]
pub struct RegisterOperation {
    /// Which of these keys.
    pub register: usize,
    /// When it was asked, since the start.
    pub asked: Duration,
    /// When it was answered; `None`: it may take effect at any later time.
    pub answered: Option<Duration>,
    /// What it did.
    pub act: Act,
}

/// What an operation did to a shared key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Wrote this number, which no other operation writes.
    Write(u64),
    /// Read this number, or that there is none.
    Read(Option<u64>),
}

/// Everything that clients did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Writes of fresh keys.
    pub fresh: Vec<Fresh>,
    /// Operations on shared keys, without those that were not executed.
    pub shared: Vec<RegisterOperation>,
    /// Operations asked.
    pub operations: u64,
    /// What went wrong, with the time since the start: errors of any kind.
    pub failures: Vec<(Duration, String)>,
    /// The longest time that one client went without a success.
    pub longest_gap: Duration,
}

impl History {
    /// Adds another client's.
    pub fn merge(&mut self, other: Self) {
        self.fresh.extend(other.fresh);
        self.shared.extend(other.shared);
        self.operations += other.operations;
        self.failures.extend(other.failures);
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}
