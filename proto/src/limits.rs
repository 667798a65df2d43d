//! Every limit on what a client may send, in one place. Beyond one the answer
//! is `INVALID_ARGUMENT` with the limit named.

use crate::error::Fault;
use crate::v1::{WatchRequest, write_operation};
use std::time::Duration;

/// Longest key, in bytes. The shortest is one byte.
pub const KEY_BYTES: usize = 4 << 10;
/// Longest value, in bytes. With its key it leaves room in a request for a condition
/// on the value before.
pub const VALUE_BYTES: usize = 2 << 20;
/// Largest request, in bytes, and the most that one batch may write.
pub const REQUEST_BYTES: usize = 4 << 20;
/// Largest message that nodes, facades and clients accept from each other: a
/// request with room for the envelope around it; or an answer, of which the largest
/// is a page of a scan that ends with a value of the greatest length.
pub const MESSAGE_BYTES: usize = REQUEST_BYTES + (1 << 20);
/// What a message adds to the largest operation, at most: session, target and
/// deadline, which whoever passes an operation on fills in.
pub const ENVELOPE_BYTES: usize = 1 << 10;
/// Most entries in a page of a scan.
pub const SCAN_ENTRIES: u32 = 10_000;
/// Entries in a page of a scan that names no limit.
pub const SCAN_ENTRIES_DEFAULT: u32 = 1_000;
/// A page of a scan ends when it holds this many bytes; its last entry may go beyond.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Most versions of a key in one answer, which also ends at [`SCAN_PAGE_BYTES`].
pub const KEY_VERSIONS: u32 = 1_000;
/// An answer to a watch ends with the change that reaches this many bytes.
pub const WATCH_BYTES: usize = 256 << 10;
/// The longest that a watch may wait for something to tell, in milliseconds.
pub const WATCH_WAIT_MILLISECONDS: u32 = 30_000;
/// Most watches that wait on one node.
pub const WATCHES: usize = 10_000;
/// Most operations and conditions of one batch or transaction.
pub const BATCH_OPERATIONS: usize = 10_000;
/// Most keys that the ranges of one transaction hold, all together.
pub const RANGE_KEYS: usize = 10_000;
/// The longest time to live of a key: beyond, a number is more likely in another unit than meant.
pub const TTL: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Most bytes of keys and values that they hold: they are read while the transaction is applied,
/// and until then its partition applies nothing else.
pub const RANGE_BYTES: usize = 64 << 20;
/// Most bytes of keys and values that one transaction answers.
pub const TRANSACTION_ANSWER_BYTES: usize = 4 << 20;
/// The answers of a transaction are kept for its repetition up to this length.
pub const KEPT_ANSWER_BYTES: usize = 1 << 10;
/// So many bytes of answers a client session keeps, so that none fills its partition's share.
pub const SESSION_ANSWER_BYTES: usize = 64 << 10;
/// The least memory that a node can be given, in bytes: below it, an eighth of what the program
/// leaves does not hold the largest request.
pub const NODE_MEMORY_BYTES: u64 = 64 << 20;
/// The least log that a node can be given, in bytes: eight segments, each of which holds the largest
/// batch.
pub const LOG_BYTES: u64 = 64 << 20;
/// The least memory that a facade can be given, in bytes: three eighths of it must hold the largest
/// request.
pub const FACADE_MEMORY_BYTES: u64 = 4 * REQUEST_BYTES as u64;
/// Longest prefix delimiter of hash routing, in bytes.
pub const DELIMITER_BYTES: usize = 16;
/// What the client sessions of a partition may count for, in bytes: 192 a session, 64 an
/// outcome, and the answers kept; so 4,096 sessions with the outcome of one put each. Beyond, the
/// least recently applied are evicted.
pub const SESSION_BYTES: usize = 1 << 20;
/// Outcomes kept of each session, and the most writes a client leaves unanswered.
pub const SESSION_WINDOW: u64 = 1_024;
/// Most partitions of a keyspace.
pub const PARTITIONS: u64 = 4_096;
/// Most partitions of a database: those of `default`, and the catalog.
pub const DATABASE_PARTITIONS: u64 = PARTITIONS + 1;
/// A request that names no deadline ends after this many milliseconds.
pub const DEFAULT_TIMEOUT_MILLISECONDS: u32 = 5_000;

/// Checks the length of a whole request.
///
/// # Errors
/// `INVALID_ARGUMENT` that says the limit.
pub fn check_request_bytes(bytes: usize) -> Result<(), Fault> {
    if bytes > REQUEST_BYTES {
        return Err(Fault::limit("request bytes", REQUEST_BYTES, bytes));
    }
    Ok(())
}

/// Checks a key's length.
///
/// # Errors
/// `INVALID_ARGUMENT` that says the limit.
pub fn check_key(key: &[u8]) -> Result<(), Fault> {
    if key.is_empty() {
        return Err(Fault::invalid("the key is empty: give a key of 1 to 4096 bytes"));
    }
    if key.len() > KEY_BYTES {
        return Err(Fault::limit("key bytes", KEY_BYTES, key.len()));
    }
    Ok(())
}

/// Checks a value's length.
///
/// # Errors
/// `INVALID_ARGUMENT` that says the limit.
pub fn check_value(value: &[u8]) -> Result<(), Fault> {
    if value.len() > VALUE_BYTES {
        return Err(Fault::limit("value bytes", VALUE_BYTES, value.len()));
    }
    Ok(())
}

/// Checks a watch: the lengths of its bounds, and how long it waits.
///
/// # Errors
/// `INVALID_ARGUMENT` that says the limit.
pub fn check_watch(watch: &WatchRequest) -> Result<(), Fault> {
    let keys = [&watch.start, &watch.end, &watch.after_key];
    if let Some(bound) = keys.into_iter().find(|key| key.len() > KEY_BYTES) {
        return Err(Fault::limit("key bytes", KEY_BYTES, bound.len()));
    }
    if watch.wait_milliseconds > WATCH_WAIT_MILLISECONDS {
        let (limit, wait) = (WATCH_WAIT_MILLISECONDS, watch.wait_milliseconds);
        return Err(Fault::limit("milliseconds that a watch waits", limit as usize, wait as usize));
    }
    Ok(())
}

/// Checks one operation of a batch.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is missing or which limit was exceeded.
pub fn check_operation(operation: Option<&write_operation::Operation>) -> Result<(), Fault> {
    match operation {
        Some(write_operation::Operation::Put(put)) => {
            check_key(&put.key)?;
            check_ttl(put.ttl_milliseconds)?;
            check_value(&put.value)
        }
        Some(write_operation::Operation::Delete(delete)) => check_key(&delete.key),
        None => Err(Fault::invalid("an operation of the batch is neither a put nor a delete")),
    }
}

/// Checks how long a key is to live, in milliseconds, if it is to expire at all.
///
/// # Errors
/// `INVALID_ARGUMENT`: nothing, or beyond [`TTL`].
pub fn check_ttl(milliseconds: Option<u64>) -> Result<(), Fault> {
    match milliseconds.map(Duration::from_millis) {
        Some(Duration::ZERO) => Err(Fault::invalid(
            "a key is to live for no time: give a time to live of at least a millisecond, or \
             none, and it never expires",
        )),
        Some(ttl) if ttl > TTL => {
            let (most, found) = (TTL.as_millis() as usize, ttl.as_millis() as usize);
            Err(Fault::limit("milliseconds of a key's time to live", most, found))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::PutOperation;
    use write_operation::Operation;

    #[test]
    fn a_time_to_live_is_neither_nothing_nor_a_century() {
        for ttl in [None, Some(1), Some(TTL.as_millis() as u64)] {
            check_ttl(ttl).unwrap();
        }
        assert!(check_ttl(Some(0)).unwrap_err().message.contains("at least a millisecond"));
        let century = check_ttl(Some(100 * 365 * 24 * 3_600 * 1_000)).unwrap_err();
        assert!(century.message.contains("time to live"), "{century}");
        assert!(check_ttl(Some(u64::MAX)).is_err());
    }

    #[test]
    fn keys_and_values_of_the_greatest_length_pass_and_one_byte_more_does_not() {
        let put = |key: usize, value: usize| {
            let (key, value) = (vec![b'k'; key].into(), vec![b'v'; value].into());
            check_operation(Some(&Operation::Put(PutOperation {
                key,
                value,
                ..Default::default()
            })))
        };
        put(4_096, 2 << 20).unwrap();
        assert!(put(4_097, 0).unwrap_err().message.contains("key bytes"));
        assert!(put(1, (2 << 20) + 1).unwrap_err().message.contains("value bytes"));
    }

    #[test]
    fn the_largest_page_and_the_largest_request_fit_into_a_message() {
        const LAST_ENTRY: usize = KEY_BYTES + VALUE_BYTES;
        const FRAMES: usize = SCAN_ENTRIES as usize * 32;
        const { assert!(SCAN_PAGE_BYTES + LAST_ENTRY + FRAMES < MESSAGE_BYTES) }
        const { assert!(REQUEST_BYTES + ENVELOPE_BYTES < MESSAGE_BYTES) }
        // Of a transaction's answers each has a frame, and so has each entry of its scans.
        const ANSWERS: usize = (BATCH_OPERATIONS + RANGE_KEYS) * 32;
        const { assert!(TRANSACTION_ANSWER_BYTES + ANSWERS < MESSAGE_BYTES) }
    }
}
