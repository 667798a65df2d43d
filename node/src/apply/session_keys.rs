//! How a partition's sessions stand in its tables.
//!
//! ```text
//! key   := kind:u8 = 1  partition of origin:u64 BE  id:u64 BE     in the class of system keys
//! value := dougdb.v1.SessionState
//! ```
//! The partition of origin keeps ids apart where a partition inherits sessions.

use bytes::{BufMut, Bytes, BytesMut};
use doug_proto::v1;
use doug_storage::StorageError;
use doug_storage::tree::{ReadError, ScanRange, View};
use prost::Message;

/// What a system key of this kind is about.
const SESSION: u8 = 1;
/// What one of this kind is about: an entry of the index of expiries. Others are a newer program's.
pub(super) const EXPIRY: u8 = 2;

/// The system key of a session.
pub(super) fn key(partition: u64, id: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(17);
    key.put_u8(SESSION);
    key.put_u64(partition);
    key.put_u64(id);
    key.freeze()
}

/// The value of that key.
pub(super) fn value(state: &v1::SessionState) -> Bytes {
    state.encode_to_vec().into()
}

/// All sessions in a partition's tables, by id.
///
/// # Errors
/// Damaged tables; system keys of another kind; a session of another partition or unreadable.
pub(super) fn read(partition: u64, tables: &View) -> Result<Vec<v1::SessionState>, StorageError> {
    let refused = |what: String| {
        StorageError::Refused(format!("{what} in the tables of partition {partition}"))
    };
    // What is known of is passed over: it may be much.
    let unknown = [(&[][..], Some(&[SESSION][..])), (&[EXPIRY + 1][..], None)];
    for (start, end) in unknown {
        let mut scan = tables.scan_system(kinds(start, end)).map_err(storage_error)?;
        if scan.next().is_some() {
            let what = "there are system keys that this program does not know: run a newer one; \
                        they stand";
            return Err(refused(what.to_owned()));
        }
    }
    let scan = tables.scan_system(kinds(&[SESSION], Some(&[EXPIRY]))).map_err(storage_error)?;
    let state = |entry: Result<doug_storage::tree::Entry, ReadError>| {
        let entry = entry.map_err(storage_error)?;
        let state = v1::SessionState::decode(entry.value)
            .map_err(|error| refused(format!("a session is unreadable ({error})")))?;
        if entry.key != key(partition, state.id) {
            return Err(refused(format!("session {} stands under another's key", state.id)));
        }
        Ok(state)
    };
    scan.map(state).collect()
}

fn kinds(start: &'static [u8], end: Option<&'static [u8]>) -> ScanRange {
    let end = end.map(Bytes::from_static);
    ScanRange { start: Bytes::from_static(start), end, reverse: false }
}

/// What a start-up makes of tables that cannot be read.
pub(super) fn storage_error(error: ReadError) -> StorageError {
    match error {
        ReadError::Storage(error) => error,
        other => StorageError::Refused(other.to_string()),
    }
}
