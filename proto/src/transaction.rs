//! What a transaction may ask, checked alike by the library, facades and nodes; and which
//! keys it touches, which must all lie in one partition.

use crate::error::Fault;
use crate::limits;
use crate::v1::transact_operation::Operation;
use crate::v1::{self, Condition, KeyRange, Relation, TransactOperation, condition::Test};
use bytes::Bytes;
use prost::Message;

/// A key, or a range of keys, that an operation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'a> {
    /// One key.
    Key(&'a Bytes),
    /// All keys of a range.
    Range(&'a KeyRange),
}

impl<'a> Touched<'a> {
    /// The first key.
    pub fn first(self) -> &'a Bytes {
        match self {
            Touched::Key(key) => key,
            Touched::Range(range) => &range.start,
        }
    }
}

/// What a condition is about.
pub fn touched_by_condition(condition: &Condition) -> Touched<'_> {
    match &condition.range {
        Some(range) => Touched::Range(range),
        None => Touched::Key(&condition.key),
    }
}

/// What an operation is about; nothing where it is of no kind this program knows, which
/// [`check`] refuses, or lacks its range.
pub fn touched_by(operation: &TransactOperation) -> Option<Touched<'_>> {
    Some(match operation.operation.as_ref()? {
        Operation::Get(get) => Touched::Key(&get.key),
        Operation::Put(put) => Touched::Key(&put.key),
        Operation::Delete(delete) => Touched::Key(&delete.key),
        Operation::Increment(increment) => Touched::Key(&increment.key),
        Operation::Scan(scan) => Touched::Range(scan.range.as_ref()?),
        Operation::Count(count) => Touched::Range(count.range.as_ref()?),
        Operation::DeleteRange(delete) => Touched::Range(delete.range.as_ref()?),
    })
}

/// All that conditions and both lists of operations are about, in order.
pub fn touched<'a>(
    conditions: &'a [Condition],
    then: &'a [TransactOperation],
    otherwise: &'a [TransactOperation],
) -> impl Iterator<Item = Touched<'a>> {
    let operations = then.iter().chain(otherwise).filter_map(touched_by);
    conditions.iter().map(touched_by_condition).chain(operations)
}

/// Whether neither list changes anything: then it is answered as a linearizable read,
/// without an entry in the log.
pub fn is_read_only(request: &v1::TransactRequest) -> bool {
    let mut operations = request.then.iter().chain(&request.otherwise);
    operations.all(|operation| {
        matches!(
            operation.operation,
            Some(Operation::Get(_) | Operation::Scan(_) | Operation::Count(_))
        )
    })
}

/// Checks all limits of a transaction.
///
/// # Errors
/// `INVALID_ARGUMENT` that names the limit, or says what is missing.
pub fn check(request: &v1::TransactRequest) -> Result<(), Fault> {
    let v1::TransactRequest { conditions, then, otherwise, .. } = request;
    let count = conditions.len() + then.len() + otherwise.len();
    if count == 0 {
        return Err(Fault::invalid(
            "the transaction is empty: give it an operation or a condition",
        ));
    }
    if count > limits::BATCH_OPERATIONS {
        let what = "operations and conditions of a transaction";
        return Err(Fault::limit(what, limits::BATCH_OPERATIONS, count));
    }
    conditions.iter().try_for_each(check_condition)?;
    then.iter().chain(otherwise).try_for_each(check_operation)?;
    limits::check_request_bytes(request.encoded_len().saturating_sub(limits::ENVELOPE_BYTES))
}

/// Checks one condition.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is missing or which limit was exceeded.
pub fn check_condition(condition: &Condition) -> Result<(), Fault> {
    match &condition.range {
        None => limits::check_key(&condition.key)?,
        Some(range) if condition.key.is_empty() => check_range(range)?,
        Some(_) => return Err(Fault::invalid("a condition names a key and a range: give one")),
    }
    if Relation::try_from(condition.relation).is_err() {
        return Err(Fault::invalid(
            "a condition has a relation that this program does not know: its client is newer",
        ));
    }
    match &condition.test {
        None => {
            Err(Fault::invalid("a condition tests nothing: set one of exists, revision or value"))
        }
        Some(Test::Exists(_)) if condition.relation() != Relation::Unspecified => {
            Err(Fault::invalid(
                "a condition on whether a key exists has a relation: leave it out, and say \
                 exists or not",
            ))
        }
        Some(Test::Value(value)) => limits::check_value(value),
        Some(_) => Ok(()),
    }
}

fn check_operation(operation: &TransactOperation) -> Result<(), Fault> {
    let operation = operation.operation.as_ref().ok_or_else(|| {
        Fault::invalid(
            "an operation of the transaction is of no kind this program knows: its client is newer",
        )
    })?;
    match operation {
        Operation::Get(get) => limits::check_key(&get.key),
        Operation::Put(put) => {
            limits::check_key(&put.key)?;
            limits::check_ttl(put.ttl_milliseconds)?;
            limits::check_value(&put.value)
        }
        Operation::Delete(delete) => limits::check_key(&delete.key),
        Operation::Increment(increment) => limits::check_key(&increment.key),
        Operation::Scan(scan) => {
            if scan.limit > limits::SCAN_ENTRIES {
                let (most, limit) = (limits::SCAN_ENTRIES as usize, scan.limit as usize);
                return Err(Fault::limit("entries of a scan", most, limit));
            }
            required(scan.range.as_ref())
        }
        Operation::Count(count) => required(count.range.as_ref()),
        Operation::DeleteRange(delete) => required(delete.range.as_ref()),
    }
}

fn required(range: Option<&KeyRange>) -> Result<(), Fault> {
    let missing = || Fault::invalid("an operation on a range names none: set its range");
    check_range(range.ok_or_else(missing)?)
}

fn check_range(range: &KeyRange) -> Result<(), Fault> {
    for bound in [&range.start, &range.end] {
        if bound.len() > limits::KEY_BYTES {
            return Err(Fault::limit("key bytes", limits::KEY_BYTES, bound.len()));
        }
    }
    Ok(())
}

/// What an obstacle means, as a sentence without its end.
pub fn told(obstacle: &v1::Obstacle) -> String {
    use v1::obstacle::Reason;
    let what = if obstacle.of_condition { "condition" } else { "operation" };
    let number = obstacle.index + 1;
    let why = match obstacle.reason() {
        Reason::NotANumber => {
            "the value is not the decimal text of a signed 64-bit number, so it cannot be \
             incremented"
                .to_owned()
        }
        Reason::Overflow => "the sum is beyond a signed 64-bit number".to_owned(),
        Reason::RangesTooLarge => format!(
            "the ranges hold more than {} keys or {} bytes, which is the most for one transaction",
            limits::RANGE_KEYS,
            limits::RANGE_BYTES
        ),
        Reason::AnswersTooLong => format!(
            "the answers are longer than {} bytes, which is the most for one transaction",
            limits::TRANSACTION_ANSWER_BYTES
        ),
        Reason::Unspecified => "for a reason that this program does not know".to_owned(),
    };
    format!("nothing was carried out, because of {what} {number}: {why}")
}

/// The operation of a batch as one of a transaction.
pub fn of_batch(operation: v1::WriteOperation) -> TransactOperation {
    use v1::write_operation::Operation as Write;
    let operation = operation.operation.map(|write| match write {
        Write::Put(put) => Operation::Put(put),
        Write::Delete(delete) => Operation::Delete(delete),
    });
    TransactOperation { operation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(operation: Operation) -> TransactOperation {
        TransactOperation { operation: Some(operation) }
    }

    fn get(key: &'static str) -> TransactOperation {
        operation(Operation::Get(v1::GetOperation { key: key.into() }))
    }

    fn then(operations: Vec<TransactOperation>) -> v1::TransactRequest {
        v1::TransactRequest { then: operations, ..Default::default() }
    }

    fn refused(request: &v1::TransactRequest) -> String {
        check(request).expect_err("it is wrong").message
    }

    #[test]
    fn a_transaction_that_only_reads_needs_no_entry_in_the_log() {
        let mut request = then(vec![get("a")]);
        assert!(is_read_only(&request));
        let increment = Operation::Increment(v1::IncrementOperation { key: "a".into(), by: 1 });
        request.otherwise.push(operation(increment));
        assert!(!is_read_only(&request));
    }

    #[test]
    fn what_is_missing_or_beyond_a_limit_is_named() {
        assert!(refused(&then(Vec::new())).contains("empty"));
        assert!(refused(&then(vec![TransactOperation::default()])).contains("no kind"));
        let count = Operation::Count(v1::CountOperation { range: None });
        assert!(refused(&then(vec![operation(count)])).contains("set its range"));
        assert!(refused(&then(vec![get("")])).contains("key is empty"));
        let scan = v1::ScanOperation {
            range: Some(KeyRange::default()),
            limit: limits::SCAN_ENTRIES + 1,
            ..Default::default()
        };
        assert!(refused(&then(vec![operation(Operation::Scan(scan))])).contains("10000"));
        let many = vec![get("a"); limits::BATCH_OPERATIONS + 1];
        assert!(refused(&then(many)).contains("operations and conditions of a transaction"));
    }

    #[test]
    fn a_condition_is_about_one_key_or_one_range_and_tests_one_thing() {
        let condition = |key: &'static str, range: bool, relation: Relation, test| {
            let condition = Condition {
                key: key.into(),
                range: range.then(KeyRange::default),
                relation: relation.into(),
                test,
            };
            check_condition(&condition).map_err(|fault| fault.message)
        };
        let revision = || Some(Test::Revision(3));
        assert_eq!(condition("a", false, Relation::Less, revision()), Ok(()));
        assert_eq!(condition("", true, Relation::NotEqual, revision()), Ok(()));
        let wrong = |told: Result<(), String>, what: &str| {
            assert!(told.is_err_and(|told| told.contains(what)), "{what}");
        };
        wrong(condition("a", true, Relation::Equal, revision()), "give one");
        wrong(condition("", false, Relation::Equal, revision()), "key is empty");
        wrong(condition("a", false, Relation::Equal, None), "tests nothing");
        let exists = Some(Test::Exists(true));
        wrong(condition("a", false, Relation::Equal, exists), "leave it out");
    }
}
