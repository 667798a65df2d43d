//! The log as its writer, its readers and the store see it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::LogOptions;
use super::index::{Index, Location};
use super::segment::SPARE_FILES;
use crate::disk::DiskFile;
use crate::{Applied, ReplicaKey, Result, StorageError};

/// A segment that exists on disk.
#[derive(Clone)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub salt: u64,
    /// Where its records end.
    pub end: u64,
    /// Bytes of its file, which may be more.
    pub bytes: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub index: Index,
    pub segments: BTreeMap<u64, Segment>,
    /// Payloads appended and not yet written, for readers.
    pub pending: BTreeMap<Location, Bytes>,
    /// Bytes appended and not yet written.
    pub buffered: u64,
    /// Greatest durable position.
    pub durable: u64,
    /// Files that wait to become segments.
    pub spares: u64,
}

impl State {
    /// Bytes of the log that count against its limit: the files of all segments, of the one
    /// that is written what it holds, and what is to be written. The end of a segment that the
    /// next record did not fit into is room that is gone until the segment is retired.
    pub fn used(&self) -> u64 {
        let newest = self.segments.keys().next_back();
        let bytes = |(number, segment): (&u64, &Segment)| {
            if Some(number) == newest { segment.end } else { segment.bytes }
        };
        self.segments.iter().map(bytes).sum::<u64>() + self.buffered
    }
}

pub(super) struct Log {
    pub options: LogOptions,
    pub state: Mutex<State>,
    failed: OnceLock<String>,
}

impl Log {
    pub fn new(options: LogOptions, state: State) -> Self {
        Self { options, state: Mutex::new(state), failed: OnceLock::new() }
    }

    /// Fails once a write or fsync has failed.
    pub fn check(&self) -> Result<()> {
        match self.failed.get() {
            Some(what) => Err(StorageError::Fatal { what: what.clone() }),
            None => Ok(()),
        }
    }

    /// Turns any failure of a write into the last answer this log gives.
    pub fn fatal<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let what = self.failed.get_or_init(|| error.to_string());
            StorageError::Fatal { what: what.clone() }
        })
    }

    pub fn create(&self, key: ReplicaKey, flushed: Applied) {
        self.state.lock().index.create(key, flushed);
    }

    pub fn remove(&self, key: ReplicaKey) {
        self.state.lock().index.forget(key);
    }

    pub fn set_flushed(&self, key: ReplicaKey, applied: Applied) {
        self.state.lock().index.set_flushed(key, applied);
    }

    pub fn set_floor(&self, key: ReplicaKey, index: u64) {
        self.state.lock().index.set_wanted(key, index);
    }

    pub fn growth(&self) -> u64 {
        let segment = self.options.segment_bytes;
        // Beyond the limit: what a segment's records are moved into before it is retired, two
        // segments as not all fit into the first, one of which is begun, and the spare files.
        let most = self.options.limit_bytes + segment * (3 + SPARE_FILES as u64);
        let state = self.state.lock();
        let there: u64 = state.segments.values().map(|segment| segment.bytes).sum();
        most.saturating_sub(there + state.spares * segment)
    }

    pub fn room(&self) -> u64 {
        let state = self.state.lock();
        let log = self.options.limit_bytes.saturating_sub(state.used());
        log.min(self.options.buffer_bytes.saturating_sub(state.buffered))
    }
}
