//! Keys that expire: which are due, found by an index among the system keys.
//!
//! ```text
//! key   := kind:u8 = 2  expiry:u64 BE, milliseconds since 1970  user key     of the system keys
//! value := revision of the put that gave the key its expiry: u64 BE
//! ```
//! A put that gives a key an expiry adds an entry, and no write ever takes one out: so puts read
//! nothing. An entry may be out of date, then, and is checked when it is due: it ends its key only
//! if the key still has the revision that the entry names.

use super::session_keys::EXPIRY;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use doug_raft::Clock;
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::table::{DeletionCause, Slot};
use doug_storage::tree::{Entry, KeyClass, Op, ReadError, ScanRange, View};
use std::time::Duration;

/// Most entries that one command looks at. What is left is due for the next one.
pub const DUE_ENTRIES: usize = 1_000;
/// So many bytes of values read, and it looks at no more: a value stands beside the revision that
/// the entry is compared with, and the partition applies nothing else meanwhile.
pub const DUE_BYTES: usize = 16 << 20;

/// What is to be written where a command makes keys expire.
#[derive(Debug)]
pub(super) struct Expired {
    /// Deletions of keys, and of entries of the index.
    pub(super) changes: Vec<Op>,
    /// How late each of those keys is, by the clock of the command.
    pub(super) lateness: Vec<Duration>,
    /// When the first entry that is left will be due.
    pub(super) next: Option<Clock>,
}

/// The entry of a put at `revision`.
pub(super) fn indexed(expiry: Clock, key: &[u8], revision: u64) -> Op {
    let value = Bytes::copy_from_slice(&revision.to_be_bytes());
    Op::put(KeyClass::System, entry_key(expiry, key), value)
}

fn entry_key(expiry: Clock, key: &[u8]) -> Bytes {
    let mut entry = BytesMut::with_capacity(9 + key.len());
    entry.put_u8(EXPIRY);
    entry.put_u64(expiry.0);
    entry.put_slice(key);
    entry.freeze()
}

/// All entries from `least` on, the earliest first.
fn entries(
    view: &View,
    least: Clock,
) -> Result<impl Iterator<Item = Result<Entry, ReadError>>, ReadError> {
    let (start, end) = (entry_key(least, b""), Bytes::from_static(&[EXPIRY + 1]));
    view.scan_system(ScanRange { start, end: Some(end), reverse: false })
}

/// When an entry is due.
fn expiry(entry: &Entry) -> Clock {
    Clock(entry.key.slice(1..).get_u64())
}

/// When the first entry of the whole index is due.
///
/// # Errors
/// What the view reports when it cannot be read.
pub(super) fn first(view: &View) -> Result<Option<Clock>, ReadError> {
    let first = entries(view, Clock(0))?.next().transpose()?;
    Ok(first.as_ref().map(expiry))
}

/// What is due at `clock`, of which the first entry is due at `first`: those before it are
/// deleted, and a scan from the beginning would visit their tombstones every time.
///
/// # Errors
/// What the view reports when it cannot be read.
pub(super) fn expire(view: &View, first: Clock, clock: Clock) -> Result<Expired, ReadError> {
    let (mut changes, mut lateness, mut next) = (Vec::new(), Vec::new(), None);
    let (mut entries_left, mut bytes_left) = (DUE_ENTRIES, DUE_BYTES);
    for entry in entries(view, first)? {
        let entry = entry?;
        let due = expiry(&entry);
        if due > clock || entries_left == 0 || bytes_left == 0 {
            next = Some(due);
            break;
        }
        entries_left -= 1;
        let (key, revision) = (entry.key.slice(9..), entry.value.clone().get_u64());
        changes.push(Op::delete(KeyClass::System, entry.key));
        let Some(found) = view.get(&key, None)? else { continue };
        bytes_left = bytes_left.saturating_sub(found.value.len());
        if found.revision == revision || has_bug(Bug::ExpiryIgnoresOverwrite) {
            let slot = Slot::Tombstone { cause: DeletionCause::Expiry };
            changes.push(Op { class: KeyClass::User, key, slot });
            lateness.push(Duration::from_millis(clock.0 - due.0));
        }
    }
    // As every command's: by key, which is how they are told to those who watch.
    changes.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(Expired { changes, lateness, next })
}
