//! What a caller may ask of a read, a write or a scan.

use bytes::Bytes;
use doug_proto::routing::{next_key, prefix_end};
use doug_proto::v1::{self, Consistency, condition::Test};
use std::time::Duration;

/// How fresh a read must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// Sees every write acknowledged before the read began.
    #[default]
    Linearizable,
    /// Sees at least what this session token has seen (see
    /// [`crate::Client::session_token`]).
    Session(Bytes),
    /// Sees every write acknowledged longer ago than this (whole milliseconds).
    Bounded(Duration),
    /// Whatever the replica that answers has applied.
    Eventual,
}

impl Read {
    /// The wire form; nothing for the default.
    pub fn to_wire(&self) -> Option<v1::ReadOptions> {
        let options = |consistency: Consistency| v1::ReadOptions {
            consistency: consistency as i32,
            ..Default::default()
        };
        match self {
            Read::Linearizable => None,
            Read::Session(token) => Some(v1::ReadOptions {
                session_token: token.clone(),
                ..options(Consistency::Session)
            }),
            Read::Bounded(lag) => Some(v1::ReadOptions {
                max_lag_milliseconds: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
                ..options(Consistency::Bounded)
            }),
            Read::Eventual => Some(options(Consistency::Eventual)),
        }
    }
}

/// A moment of the past. Before the oldest state that a partition can be read at, a read ends with
/// [`Fault::floor`](crate::Fault::floor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After the command at this revision, of one partition.
    Revision(u64),
    /// After all that is stamped at or below this: of several partitions it is one cut.
    Stamp(u64),
}

impl At {
    /// The end of a millisecond, counted from 1970.
    pub fn milliseconds(since_1970: u64) -> Self {
        At::Stamp((since_1970 << 16) | 0xffff)
    }

    /// The wire form.
    pub fn to_wire(self) -> v1::At {
        let at = match self {
            At::Revision(revision) => v1::at::At::Revision(revision),
            At::Stamp(stamp) => v1::at::At::Stamp(stamp),
        };
        v1::At { at: Some(at) }
    }
}

/// What must hold of the key for a write to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum If {
    /// Nothing.
    #[default]
    Always,
    /// The key must not exist.
    Absent,
    /// The key must exist.
    Exists,
    /// The key must exist and have been last written at this revision.
    Revision(u64),
    /// The key must exist and have this value.
    Value(Bytes),
}

impl If {
    /// The wire form, about the key written; nothing for `Always`.
    pub fn to_wire(&self) -> Option<v1::Condition> {
        let test = match self {
            If::Always => return None,
            If::Absent => Test::Exists(false),
            If::Exists => Test::Exists(true),
            If::Revision(revision) => Test::Revision(*revision),
            If::Value(value) => Test::Value(value.clone()),
        };
        Some(v1::Condition { test: Some(test), ..Default::default() })
    }
}

/// An interval of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First key, inclusive. Empty: from the first.
    pub start: Bytes,
    /// Last key, exclusive. Empty: to the last.
    pub end: Bytes,
}

impl Range {
    /// All keys.
    pub fn all() -> Self {
        Self::default()
    }

    /// From `start`, inclusive, to `end`, exclusive; either empty for "open".
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: end.into() }
    }

    /// The wire form.
    pub fn to_wire(&self) -> v1::KeyRange {
        v1::KeyRange { start: self.start.clone(), end: self.end.clone() }
    }

    /// One key alone.
    pub fn key(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let end = next_key(&start);
        Self { start, end }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self { start, end }
    }
}

/// How to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// From the greatest key down.
    pub reverse: bool,
    /// Most entries of one page, 1 to 10,000; 0 means 1,000.
    pub page_limit: u32,
    /// Keys without values.
    pub keys_only: bool,
    /// How fresh.
    pub read: Read,
    /// As it was then; `None`: as it is.
    pub at: Option<At>,
}

impl ScanOptions {
    /// The request for one page of `range`, after the page that gave `page_token`.
    pub fn to_wire(&self, range: &Range, page_token: Bytes) -> v1::ScanRequest {
        v1::ScanRequest {
            start: range.start.clone(),
            end: range.end.clone(),
            reverse: self.reverse,
            limit: self.page_limit,
            keys_only: self.keys_only,
            page_token,
            read: self.read.to_wire(),
            at: self.at.map(At::to_wire),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_greater_prefix() {
        assert_eq!(&Range::prefix("ab").end[..], b"ac");
        assert_eq!(&Range::prefix(&b"a\xff\xff"[..]).end[..], b"b");
        assert_eq!(&Range::prefix(&b"\xff"[..]).end[..], b"");
        assert_eq!(Range::prefix(""), Range::all());
    }
}
