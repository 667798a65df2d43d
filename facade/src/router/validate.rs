//! Limits and obligatory fields, checked before anything is sent on.

use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::transaction;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::{BatchRequest, Condition, RegisterRequest, ScanRequest};

/// Checks one operation of `bytes` encoded bytes.
///
/// # Errors
/// `INVALID_ARGUMENT` that names the limit, or what is missing.
pub fn check(operation: &Operation, bytes: usize) -> Result<(), Fault> {
    limits::check_request_bytes(bytes)?;
    match operation {
        Operation::Get(get) => limits::check_key(&get.key),
        Operation::Put(put) => {
            limits::check_key(&put.key)?;
            limits::check_ttl(put.ttl_milliseconds)?;
            limits::check_value(&put.value)?;
            check_own_condition(&put.key, put.condition.as_ref())
        }
        Operation::Delete(delete) => {
            limits::check_key(&delete.key)?;
            check_own_condition(&delete.key, delete.condition.as_ref())
        }
        Operation::Scan(scan) => check_scan(scan),
        Operation::Watch(watch) => limits::check_watch(watch),
        Operation::Batch(batch) => check_batch(batch),
        Operation::Transact(transact) => transaction::check(transact),
        Operation::Register(register) => check_register(register),
        Operation::Status(_) => Ok(()),
    }
}

/// The condition of a put or delete is about the key written; an empty key
/// means just that.
fn check_own_condition(key: &[u8], condition: Option<&Condition>) -> Result<(), Fault> {
    let Some(condition) = condition else { return Ok(()) };
    let another = !condition.key.is_empty() && condition.key != key;
    if another || condition.range.is_some() {
        return Err(Fault::invalid(
            "the condition names another key than the one written: use Transact for conditions \
             on other keys of the same partition",
        ));
    }
    transaction::check_condition(&Condition { key: key.to_vec().into(), ..condition.clone() })
}

fn check_scan(scan: &ScanRequest) -> Result<(), Fault> {
    if scan.limit > limits::SCAN_ENTRIES {
        let limit = limits::SCAN_ENTRIES as usize;
        return Err(Fault::limit("scan entries", limit, scan.limit as usize));
    }
    for bound in [&scan.start, &scan.end] {
        if bound.len() > limits::KEY_BYTES {
            return Err(Fault::limit("key bytes", limits::KEY_BYTES, bound.len()));
        }
    }
    Ok(())
}

fn check_batch(batch: &BatchRequest) -> Result<(), Fault> {
    if batch.operations.is_empty() {
        return Err(Fault::invalid("the batch has no operations: give at least one"));
    }
    let parts = batch.operations.len() + batch.conditions.len();
    if parts > limits::BATCH_OPERATIONS {
        let what = "operations and conditions of the batch";
        return Err(Fault::limit(what, limits::BATCH_OPERATIONS, parts));
    }
    batch.conditions.iter().try_for_each(transaction::check_condition)?;
    batch.operations.iter().try_for_each(|op| limits::check_operation(op.operation.as_ref()))
}

fn check_register(register: &RegisterRequest) -> Result<(), Fault> {
    match &register.target {
        Some(target) if target.partition > 0 => Ok(()),
        _ => Err(Fault::invalid("Register needs target.partition: sessions are per partition")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_proto::v1::condition::Test;
    use doug_proto::v1::error_detail::Detail;
    use doug_proto::v1::{GetRequest, PutRequest};

    fn put(key: usize, value: usize) -> Operation {
        Operation::Put(PutRequest {
            key: vec![b'k'; key].into(),
            value: vec![b'v'; value].into(),
            ..Default::default()
        })
    }

    fn limit_of(fault: &Fault) -> Option<(&str, u64)> {
        fault.details.iter().find_map(|detail| match detail {
            Detail::LimitExceeded(limit) => Some((limit.what.as_str(), limit.limit)),
            _ => None,
        })
    }

    #[test]
    fn the_greatest_key_and_value_are_allowed_and_one_byte_more_is_not() {
        check(&put(4096, 2 << 20), 0).unwrap();
        let fault = check(&put(4097, 0), 0).unwrap_err();
        assert_eq!(limit_of(&fault), Some(("key bytes", 4096)));
        let fault = check(&put(1, (2 << 20) + 1), 0).unwrap_err();
        assert_eq!(limit_of(&fault), Some(("value bytes", 2 << 20)));
        assert!(fault.is_not_executed());
    }

    #[test]
    fn an_empty_key_is_refused() {
        let get = Operation::Get(GetRequest::default());
        assert!(check(&get, 0).unwrap_err().message.contains("key is empty"));
    }

    #[test]
    fn a_request_beyond_its_limit_is_refused_even_if_its_parts_are_not() {
        let fault = check(&put(1, 1), (4 << 20) + 1).unwrap_err();
        assert_eq!(limit_of(&fault), Some(("request bytes", 4 << 20)));
    }

    #[test]
    fn a_condition_on_another_key_is_refused_with_the_way_out() {
        let condition = |key: &'static [u8]| Condition {
            key: Bytes::from_static(key),
            test: Some(Test::Exists(false)),
            ..Default::default()
        };
        let put = |key| {
            Operation::Put(PutRequest {
                key: Bytes::from_static(b"a"),
                condition: Some(condition(key)),
                ..Default::default()
            })
        };
        check(&put(b""), 0).unwrap();
        check(&put(b"a"), 0).unwrap();
        assert!(check(&put(b"b"), 0).unwrap_err().message.contains("Transact"));
    }

    #[test]
    fn an_empty_batch_and_a_register_without_partition_are_refused() {
        let batch = Operation::Batch(BatchRequest::default());
        assert!(check(&batch, 0).unwrap_err().message.contains("no operations"));
        let register = Operation::Register(RegisterRequest::default());
        assert!(check(&register, 0).unwrap_err().message.contains("target.partition"));
    }
}
