//! Transactions as a program writes them.

use crate::options::Range;
use bytes::Bytes;
use doug_proto::v1::{self, Relation, condition::Test, transact_operation::Operation};
use std::time::Duration;

/// What must hold of a key, or of every key in a range, for the first list of a
/// [`Transaction`] to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Check(v1::Condition);

impl Check {
    fn of_key(key: impl Into<Bytes>, relation: Relation, test: Test) -> Self {
        let relation = relation.into();
        Self(v1::Condition { key: key.into(), test: Some(test), relation, range: None })
    }

    fn of_range(range: Range, relation: Relation, test: Test) -> Self {
        let (relation, range) = (relation.into(), Some(range.to_wire()));
        Self(v1::Condition { key: Bytes::new(), test: Some(test), relation, range })
    }

    /// The key exists.
    pub fn exists(key: impl Into<Bytes>) -> Self {
        Self::of_key(key, Relation::Unspecified, Test::Exists(true))
    }

    /// The key does not exist.
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self::of_key(key, Relation::Unspecified, Test::Exists(false))
    }

    /// The key exists, and its value is so, compared bytewise: [`Relation::Less`] means that
    /// it is less than `value`.
    pub fn value(key: impl Into<Bytes>, relation: Relation, value: impl Into<Bytes>) -> Self {
        Self::of_key(key, relation, Test::Value(value.into()))
    }

    /// The key exists, and the revision at which it was last written is so.
    pub fn revision(key: impl Into<Bytes>, relation: Relation, revision: u64) -> Self {
        Self::of_key(key, relation, Test::Revision(revision))
    }

    /// There is a key in the range.
    pub fn any_in(range: Range) -> Self {
        Self::of_range(range, Relation::Unspecified, Test::Exists(true))
    }

    /// There is no key in the range.
    pub fn none_in(range: Range) -> Self {
        Self::of_range(range, Relation::Unspecified, Test::Exists(false))
    }

    /// The value of every key in the range is so; it holds of an empty range.
    pub fn every_value(range: Range, relation: Relation, value: impl Into<Bytes>) -> Self {
        Self::of_range(range, relation, Test::Value(value.into()))
    }

    /// The revision of every key in the range is so; it holds of an empty range.
    pub fn every_revision(range: Range, relation: Relation, revision: u64) -> Self {
        Self::of_range(range, relation, Test::Revision(revision))
    }
}

/// One operation of a [`Transaction`]. Each sees what those before it have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads a key.
    Get(Bytes),
    /// Reads the first entries of a range, in order.
    Scan {
        /// Which keys.
        range: Range,
        /// From the greatest key down.
        reverse: bool,
        /// Most entries, 1 to 10,000; 0 means 1,000.
        limit: u32,
        /// Keys without values.
        keys_only: bool,
    },
    /// Counts the keys of a range.
    Count(Range),
    /// Writes a key.
    Put {
        /// Which.
        key: Bytes,
        /// What it holds then.
        value: Bytes,
        /// After how long it expires (1 millisecond to ten years); never if nothing is said.
        ttl: Option<Duration>,
    },
    /// Deletes a key.
    Delete(Bytes),
    /// Deletes every key of a range.
    DeleteRange(Range),
    /// Adds to the number that a key's value is: decimal text of 64 bits with a sign. A missing
    /// key counts as 0.
    Increment(Bytes, i64),
}

impl Step {
    /// Reads `key`.
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get(key.into())
    }

    /// Writes `value` to `key`.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), ttl: None }
    }

    /// Writes `value` to `key`, which expires after `ttl`.
    pub fn put_expiring(key: impl Into<Bytes>, value: impl Into<Bytes>, ttl: Duration) -> Self {
        Self::Put { key: key.into(), value: value.into(), ttl: Some(ttl) }
    }

    /// Deletes `key`.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete(key.into())
    }

    /// Adds `by` to the number at `key`.
    pub fn increment(key: impl Into<Bytes>, by: i64) -> Self {
        Self::Increment(key.into(), by)
    }

    /// Reads the first `limit` entries of `range`.
    pub fn scan(range: Range, limit: u32) -> Self {
        Self::Scan { range, reverse: false, limit, keys_only: false }
    }

    fn into_wire(self) -> v1::TransactOperation {
        let operation = match self {
            Step::Get(key) => Operation::Get(v1::GetOperation { key }),
            Step::Scan { range, reverse, limit, keys_only } => {
                let range = Some(range.to_wire());
                Operation::Scan(v1::ScanOperation { range, reverse, limit, keys_only })
            }
            Step::Count(range) => {
                Operation::Count(v1::CountOperation { range: Some(range.to_wire()) })
            }
            Step::Put { key, value, ttl } => {
                let ttl_milliseconds = ttl.map(whole_milliseconds);
                Operation::Put(v1::PutOperation { key, value, ttl_milliseconds })
            }
            Step::Delete(key) => Operation::Delete(v1::DeleteOperation { key }),
            Step::DeleteRange(range) => {
                Operation::DeleteRange(v1::DeleteRangeOperation { range: Some(range.to_wire()) })
            }
            Step::Increment(key, by) => Operation::Increment(v1::IncrementOperation { key, by }),
        };
        v1::TransactOperation { operation: Some(operation) }
    }
}

/// Too long is still too long as a number.
pub(crate) fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Conditions and two lists of operations, of which one is carried out: atomically, at one
/// revision of one partition. See [`Client::transact`](crate::Client::transact).
///
/// ```no_run
/// use doug_client::v1::Relation;
/// use doug_client::{Check, Step, Transaction};
///
/// # async fn example(client: doug_client::Client) -> Result<(), doug_client::Fault> {
/// let transfer = Transaction::new()
///     .when(Check::value("account/1", Relation::NotEqual, "0"))
///     .then(Step::increment("account/1", -10))
///     .then(Step::increment("account/2", 10))
///     .otherwise(Step::get("account/1"));
/// let done = client.transact(transfer).await?;
/// if done.conditions_met && done.obstacle.is_none() {
///     println!("moved, at revision {}", done.header.unwrap_or_default().revision);
/// }
/// let hits = client.increment("hits", 1).await?;
/// # let _ = hits;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    conditions: Vec<v1::Condition>,
    then: Vec<v1::TransactOperation>,
    otherwise: Vec<v1::TransactOperation>,
}

impl Transaction {
    /// Nothing yet. Without conditions its first list is carried out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition: all of them must hold.
    #[must_use]
    pub fn when(mut self, check: Check) -> Self {
        self.conditions.push(check.0);
        self
    }

    /// Adds an operation to the list that is carried out if all conditions hold.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.then.push(step.into_wire());
        self
    }

    /// Adds an operation to the list that is carried out if a condition does not hold.
    #[must_use]
    pub fn otherwise(mut self, step: Step) -> Self {
        self.otherwise.push(step.into_wire());
        self
    }

    /// The wire form.
    pub fn into_wire(self) -> v1::TransactRequest {
        let Self { conditions, then, otherwise } = self;
        v1::TransactRequest { conditions, then, otherwise, ..Default::default() }
    }
}
