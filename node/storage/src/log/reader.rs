//! Reads batches back, from any thread, without making the writer wait.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Lsn;
use super::envelope::{ENVELOPE, Envelope, Kind};
use super::index::{Entry, Location};
use super::state::{Log, Segment};
use crate::{Applied, Corruption, ReplicaKey, Result, StorageError};

/// A handle on the log for everyone but its writer. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    log: Arc<Log>,
}

/// Where a batch was found.
enum Source {
    Memory(Bytes),
    Disk(Entry, Segment),
}

impl LogReader {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// A replica exists from now on, with everything up to `flushed` in its tree. For the Store.
    ///
    /// Panics if the replica id was used before.
    pub fn create(&self, key: ReplicaKey, flushed: Applied) {
        self.log.create(key, flushed);
    }

    /// A replica is removed for ever: its records are dead. For the Store.
    pub fn remove(&self, key: ReplicaKey) {
        self.log.remove(key);
    }

    /// The tree durably holds everything up to `applied`, says the manifest. For the Store. Never
    /// falls.
    pub fn set_flushed(&self, key: ReplicaKey, applied: Applied) {
        self.log.set_flushed(key, applied);
    }

    /// The host needs no batch that ends at or below `index` from the log any more.
    ///
    /// Batches that are not yet in SSTables stay all the same. Never falls.
    pub fn set_floor(&self, key: ReplicaKey, index: u64) {
        self.log.set_floor(key, index);
    }

    /// Everything up to `commit` is committed: the next mark says so, and a start-up knows. Never
    /// falls.
    pub fn note_commit(&self, key: ReplicaKey, commit: u64) {
        self.log.state.lock().index.note_commit(key, commit);
    }

    /// Bytes that can be appended before batches are refused as busy: look before proposing.
    pub fn room(&self) -> u64 {
        self.log.room()
    }

    /// Bytes of the volume that the log may still take: its limit, what it is beyond it while
    /// records are moved, and the spare files, less the segments that are there.
    pub fn growth(&self) -> u64 {
        self.log.growth()
    }

    /// The segments' files.
    pub(crate) fn segment_files(&self) -> Vec<PathBuf> {
        let state = self.log.state.lock();
        state.segments.values().map(|segment| segment.path.clone()).collect()
    }

    /// Greatest durable position.
    pub fn durable(&self) -> Lsn {
        Lsn(self.log.state.lock().durable)
    }

    /// See [`LogWriter::pressure`](super::LogWriter::pressure).
    pub fn pressure(&self) -> Option<ReplicaKey> {
        self.log.pressure()
    }

    /// The encoded batches that hold the entries `from` to `to`, both included.
    ///
    /// Errors: [`NotInLog`](StorageError::NotInLog) if some of them are below the floor or were
    /// never appended, [`Corruption`](StorageError::Corruption), [`Fatal`](StorageError::Fatal)
    /// once the log has failed.
    pub fn read(&self, key: ReplicaKey, from: u64, to: u64) -> Result<Vec<Bytes>> {
        self.log.check()?;
        let mut batches = Vec::new();
        let mut next = from;
        while next <= to {
            let (data, last) = self.read_one(key, next)?;
            batches.push(data);
            next = last + 1;
        }
        Ok(batches)
    }

    /// Like [`read`](Self::read), but leaves out what is not in the log: for whoever may have been
    /// overtaken by a floor or a snapshot since it decided what to read.
    pub fn read_living(&self, key: ReplicaKey, from: u64, to: u64) -> Result<Vec<Bytes>> {
        self.log.check()?;
        let mut batches = Vec::new();
        let mut next = from;
        while next <= to {
            match self.read_one(key, next) {
                Ok((data, last)) => {
                    batches.push(data);
                    next = last + 1;
                }
                Err(StorageError::NotInLog { .. }) => match self.first_behind(key, next) {
                    Some(base) => next = base,
                    None => break,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(batches)
    }

    /// Base of the first batch that begins above `index`.
    fn first_behind(&self, key: ReplicaKey, index: u64) -> Option<u64> {
        let state = self.log.state.lock();
        let log = state.index.get(key)?;
        let behind = log.entries.range(log.position(index)..);
        behind.map(|entry| entry.base).find(|base| *base > index)
    }

    fn read_one(&self, key: ReplicaKey, index: u64) -> Result<(Bytes, u64)> {
        loop {
            let (source, last, at) = self.find(key, index)?;
            let (entry, segment) = match source {
                Source::Memory(data) => return Ok((data, last)),
                Source::Disk(entry, segment) => (entry, segment),
            };
            match read_record(&segment, entry.at) {
                Ok((envelope, data))
                    if envelope.original == entry.original && envelope.base == entry.base =>
                {
                    return Ok((data, last));
                }
                // The segment may have been recycled under our hands: then the batch has moved, or
                // is gone.
                outcome => {
                    if self.find(key, index)?.2 == at {
                        outcome?;
                        let what = "another record stands where this batch was written";
                        return Err(Corruption::new(&segment.path, at.offset, what).into());
                    }
                }
            }
        }
    }

    fn find(&self, key: ReplicaKey, index: u64) -> Result<(Source, u64, Location)> {
        let state = self.log.state.lock();
        let missing = || StorageError::NotInLog { replica: key, index };
        let entry =
            *state.index.get(key).and_then(|log| log.covering(index)).ok_or_else(missing)?;
        let source = match state.pending.get(&entry.at) {
            Some(data) => Source::Memory(data.clone()),
            None => {
                let segment = state
                    .segments
                    .get(&entry.at.segment)
                    .expect("living records are in known segments");
                Source::Disk(entry, segment.clone())
            }
        };
        Ok((source, entry.last(), entry.at))
    }
}

/// Reads and verifies one record.
pub(super) fn read_record(segment: &Segment, at: Location) -> Result<(Envelope, Bytes)> {
    let mut bytes = vec![0; at.size as usize];
    segment.file.read_exact_at(&mut bytes, at.offset).map_err(StorageError::reading(
        "read",
        &segment.path,
        at.offset,
    ))?;
    let damaged = |what: &str| Corruption::new(&segment.path, at.offset, what);
    let envelope = Envelope::decode(&bytes, at.segment, segment.salt).map_err(damaged)?;
    if envelope.size() != bytes.len() || matches!(envelope.kind, Kind::Mark | Kind::Reset) {
        return Err(damaged("another record stands where this one was written").into());
    }
    let payload = Bytes::from(bytes).slice(ENVELOPE..ENVELOPE + envelope.payload);
    Ok((envelope, payload))
}
