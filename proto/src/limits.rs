//! Every limit on what a client may send, in one place. Beyond one the answer
//! is `INVALID_ARGUMENT` with the limit named.

use crate::error::Fault;
use crate::v1::{Condition, write_operation};

/// Longest key, in bytes. The shortest is one byte.
pub const KEY_BYTES: usize = 4 << 10;
/// Longest value, in bytes.
pub const VALUE_BYTES: usize = 1 << 20;
/// Largest request, in bytes, and the most that one batch may write.
pub const REQUEST_BYTES: usize = 4 << 20;
/// Largest message that nodes, facades and clients accept from each other: a
/// request with room for the envelope around it.
pub const MESSAGE_BYTES: usize = REQUEST_BYTES + (1 << 20);
/// Most entries in a page of a scan.
pub const SCAN_ENTRIES: u32 = 10_000;
/// Entries in a page of a scan that names no limit.
pub const SCAN_ENTRIES_DEFAULT: u32 = 1_000;
/// A page of a scan ends when it holds this many bytes.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Most operations and conditions of one batch.
pub const BATCH_OPERATIONS: usize = 10_000;
/// Longest prefix delimiter of hash routing, in bytes.
pub const DELIMITER_BYTES: usize = 16;
/// Sessions a partition keeps; the least recently applied is evicted.
pub const SESSIONS: usize = 4_096;
/// Outcomes kept of each session, and the most writes a client leaves unanswered.
pub const SESSION_WINDOW: u64 = 1_024;
/// Most partitions of a database.
pub const PARTITIONS: u64 = 4_096;
/// A request that names no deadline ends after this many milliseconds.
pub const DEFAULT_TIMEOUT_MILLISECONDS: u32 = 5_000;

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

/// Checks one operation of a batch.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is missing or which limit was exceeded.
pub fn check_operation(operation: Option<&write_operation::Operation>) -> Result<(), Fault> {
    match operation {
        Some(write_operation::Operation::Put(put)) => {
            check_key(&put.key)?;
            check_value(&put.value)
        }
        Some(write_operation::Operation::Delete(delete)) => check_key(&delete.key),
        None => Err(Fault::invalid("an operation of the batch is neither a put nor a delete")),
    }
}

/// Checks one condition.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is missing or which limit was exceeded.
pub fn check_condition(condition: &Condition) -> Result<(), Fault> {
    check_key(&condition.key)?;
    match &condition.test {
        None => {
            Err(Fault::invalid("a condition tests nothing: set one of exists, revision or value"))
        }
        Some(crate::v1::condition::Test::Value(value)) => check_value(value),
        Some(_) => Ok(()),
    }
}
