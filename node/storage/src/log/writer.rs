//! The single writer: appends to memory, makes durable with one write and one fdatasync.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::envelope::{Envelope, Kind, padded};
use super::index::{Entry, HardEntry, Location};
use super::reader::LogReader;
use super::segment::{HEADER, Header, SegmentFiles};
use super::state::{Log, Segment};
use super::{HardState, Lsn, Record};
use crate::disk::DiskFile;
use crate::simulation::{Bug, crash_point, has_bug};
use crate::{Applied, ReplicaKey, Result, StorageError};

/// Of whom a mark speaks that only says what is durable.
pub(super) const NOBODY: ReplicaKey = ReplicaKey { partition: 0, replica: 0 };

/// The segment records are written to.
pub(super) struct Active {
    pub incarnation: u64,
    pub file: Arc<dyn DiskFile>,
    pub end: u64,
}

/// Encoded records that wait for the next sync, all of one segment.
struct Chunk {
    incarnation: u64,
    salt: u64,
    start: u64,
    first_lsn: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Appends records. One per log; its methods do I/O only where they say so.
pub struct LogWriter {
    pub(super) log: Arc<Log>,
    pub(super) files: SegmentFiles,
    pub(super) active: Active,
    chunks: Vec<Chunk>,
    next_lsn: u64,
    /// Position of the last record that is worth a mark.
    last_worthy: u64,
    /// Greatest mark that will be on disk after the next sync.
    marked: u64,
    /// What waits for the next sync must be proven before anybody relies on it: a vote, or a copy
    /// whose original goes.
    needs_proof: bool,
}

impl LogWriter {
    pub(super) fn new(log: Arc<Log>, files: SegmentFiles, active: Active, next_lsn: u64) -> Self {
        let first = Chunk {
            incarnation: active.incarnation,
            salt: salt_of(log.options.salt, active.incarnation),
            start: active.end,
            first_lsn: next_lsn,
            bytes: Vec::new(),
        };
        let marked = next_lsn - 1;
        Self {
            log,
            files,
            active,
            chunks: vec![first],
            next_lsn,
            last_worthy: marked,
            marked,
            needs_proof: false,
        }
    }

    /// Files without records that wait to become segments.
    pub fn spare_files(&self) -> &[PathBuf] {
        self.files.free()
    }

    /// A reader of this log.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.log.clone())
    }

    /// Appends a record to the buffer; it is durable once [`sync`](Self::sync) returned its
    /// position or a later one.
    ///
    /// Errors: [`Busy`](StorageError::Busy) for a batch when the buffer or the log is at its limit
    /// (nothing was appended), [`Removed`](StorageError::Removed),
    /// [`Refused`](StorageError::Refused) for what would leave a gap, cut a batch or not fit into a
    /// segment, [`Fatal`](StorageError::Fatal).
    pub fn append(&mut self, record: Record) -> Result<Lsn> {
        self.log.check()?;
        match record {
            Record::Batch { replica, base, count, term, commit, data } => {
                self.admit(replica, base, count, data.len())?;
                let envelope =
                    Envelope { count, base, term, commit, ..self.blank(Kind::Batch, replica) };
                let (lsn, at) = self.place(envelope, &data);
                let mut state = self.log.state.lock();
                let log = state.index.get(replica);
                if log.is_some_and(|log| base > log.last() + 1) {
                    // Only a snapshot leaves such a gap: what stood before it is covered by it.
                    state.index.discard(replica);
                }
                state.index.batch(
                    replica,
                    Entry { base, count, term, original: lsn.0, at },
                    commit,
                );
                state.pending.insert(at, data);
                Ok(lsn)
            }
            Record::HardState { replica, term, vote } => {
                let commit = self.known(replica)?;
                Ok(self.hard_state(replica, HardState { term, vote }, commit, None))
            }
            Record::Reset { replica, index, term } => {
                self.known(replica)?;
                let discard = self
                    .log
                    .state
                    .lock()
                    .index
                    .get(replica)
                    .is_some_and(|l| l.disagrees(index, term));
                Ok(self.reset(replica, Applied { index, term }, discard))
            }
        }
    }

    /// Logs where a replica's log starts anew, and whether what it held is discarded.
    pub(super) fn reset(
        &mut self,
        replica: ReplicaKey,
        Applied { index, term }: Applied,
        discard: bool,
    ) -> Lsn {
        self.needs_proof = true;
        let blank = self.blank(Kind::Reset, replica);
        let (lsn, _) =
            self.place(Envelope { count: u32::from(discard), base: index, term, ..blank }, &[]);
        if discard {
            self.log.state.lock().index.discard(replica);
        }
        lsn
    }

    fn known(&self, key: ReplicaKey) -> Result<u64> {
        let state = self.log.state.lock();
        if state.index.is_removed(key) {
            return Err(StorageError::Removed { replica: key });
        }
        let unknown =
            || StorageError::Refused(format!("replica {key} was never created on this node"));
        state.index.get(key).map(|log| log.commit).ok_or_else(unknown)
    }

    fn admit(&self, key: ReplicaKey, base: u64, count: u32, payload: usize) -> Result<()> {
        self.known(key)?;
        let options = &self.log.options;
        let size = padded(payload) as u64;
        if size > options.segment_bytes - HEADER {
            let limit = options.segment_bytes - HEADER;
            return Err(StorageError::Refused(format!(
                "a batch of {size} bytes exceeds the log's segments ({limit})"
            )));
        }
        let state = self.log.state.lock();
        if let Some(objection) = state.index.objection(key, base, count) {
            return Err(StorageError::Refused(objection));
        }
        let busy = |what, used, limit| Err(StorageError::Busy { what, used, limit });
        if state.buffered > 0 && state.buffered + size > options.buffer_bytes {
            return busy("the log's write buffer", state.buffered, options.buffer_bytes);
        }
        if state.used() + size > options.limit_bytes {
            return busy("the log", state.used(), options.limit_bytes);
        }
        Ok(())
    }

    pub(super) fn hard_state(
        &mut self,
        key: ReplicaKey,
        hard: HardState,
        commit: u64,
        original: Option<u64>,
    ) -> Lsn {
        self.needs_proof = true;
        let blank = self.blank(Kind::HardState, key);
        let original = original.unwrap_or(blank.original);
        let count = u32::from(hard.vote.is_some());
        let base = hard.vote.unwrap_or(0);
        let (lsn, at) =
            self.place(Envelope { count, base, term: hard.term, commit, original, ..blank }, &[]);
        self.log.state.lock().index.hard_state(
            key,
            HardEntry { state: hard, original, at },
            commit,
        );
        lsn
    }

    /// An envelope at the next position; `place` fills in the rest.
    fn blank(&self, kind: Kind, replica: ReplicaKey) -> Envelope {
        Envelope {
            kind,
            count: 0,
            incarnation: 0,
            lsn: self.next_lsn,
            original: self.next_lsn,
            durable: 0,
            replica,
            base: 0,
            term: 0,
            commit: 0,
            payload: 0,
        }
    }

    /// Encodes a record behind the last one, in the next segment if this one is full.
    pub(super) fn place(&mut self, envelope: Envelope, payload: &[u8]) -> (Lsn, Location) {
        let size = padded(payload.len());
        let last = self.chunks.last().expect("there is always a chunk");
        if last.end() + size as u64 > self.log.options.segment_bytes {
            let incarnation = last.incarnation + 1;
            let salt = salt_of(self.log.options.salt, incarnation);
            let next = Chunk {
                incarnation,
                salt,
                start: HEADER,
                first_lsn: self.next_lsn,
                bytes: Vec::new(),
            };
            self.chunks.push(next);
        }
        let chunk = self.chunks.last_mut().expect("there is always a chunk");
        let mut state = self.log.state.lock();
        let lsn = self.next_lsn;
        let full = Envelope {
            incarnation: chunk.incarnation,
            lsn,
            durable: state.durable,
            payload: payload.len(),
            ..envelope
        };
        let size = u32::try_from(size).expect("a record fits into a segment, far below 4 GiB");
        let at = Location { segment: chunk.incarnation, offset: chunk.end(), size };
        full.encode(chunk.salt, payload, &mut chunk.bytes);
        self.next_lsn += 1;
        self.marked = self.marked.max(state.durable);
        if full.kind != Kind::Mark {
            self.last_worthy = lsn;
        }
        state.buffered += u64::from(size);
        (Lsn(lsn), at)
    }

    /// Greatest durable position.
    pub fn durable(&self) -> Lsn {
        Lsn(self.log.state.lock().durable)
    }

    /// Makes everything appended so far durable: one write and one fdatasync (more only across
    /// segments).
    ///
    /// A term or vote, and a copy of a record whose segment is to go, takes a mark and a second
    /// fdatasync: damage to it is noticed from then on. Damage to batches above the mark looks
    /// like a torn write, which replicas can bear; a vote that is cut could be given twice.
    ///
    /// Returns the greatest durable position, which never falls. Any failure is
    /// [`Fatal`](StorageError::Fatal): the process must end, nothing is tried again.
    pub fn sync(&mut self) -> Result<Lsn> {
        self.log.check()?;
        let durable = self.write_and_sync()?;
        if !std::mem::take(&mut self.needs_proof) || has_bug(Bug::VoteWithoutProof) {
            return Ok(durable);
        }
        self.place(self.blank(Kind::Mark, NOBODY), &[]);
        self.write_and_sync()
    }

    fn write_and_sync(&mut self) -> Result<Lsn> {
        let written = self.write_chunks();
        self.log.fatal(written)?;
        let mut state = self.log.state.lock();
        state.durable = self.next_lsn - 1;
        state.pending.clear();
        state.buffered = 0;
        Ok(Lsn(state.durable))
    }

    fn write_chunks(&mut self) -> Result<()> {
        for i in 0..self.chunks.len() {
            if self.chunks[i].incarnation != self.active.incarnation {
                self.rotate(i)?;
            }
            self.write_chunk(i)?;
        }
        // The last chunk's memory is kept for the next round.
        self.chunks.drain(..self.chunks.len() - 1);
        let last = &mut self.chunks[0];
        last.start = self.active.end;
        last.first_lsn = self.next_lsn;
        last.bytes.clear();
        Ok(())
    }

    fn write_chunk(&mut self, i: usize) -> Result<()> {
        let chunk = &self.chunks[i];
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let path = || self.files.dir.join(super::segment::name(chunk.incarnation));
        self.active
            .file
            .write_at(&chunk.bytes, chunk.start)
            .map_err(|e| StorageError::io("write", path())(e))?;
        crash_point("log: records written");
        let mut synced = self.active.file.sync_data();
        if synced.is_err() && has_bug(Bug::FsyncRetried) {
            synced = self.active.file.sync_data();
        }
        synced.map_err(|e| StorageError::io("sync", path())(e))?;
        crash_point("log: records synced");
        self.active.end = chunk.end();
        let mut state = self.log.state.lock();
        let segment =
            state.segments.get_mut(&chunk.incarnation).expect("the active segment is known");
        segment.end = chunk.end();
        Ok(())
    }

    /// Seals the active segment, whose records are all durable, by the birth of the next.
    fn rotate(&mut self, i: usize) -> Result<()> {
        crash_point("log: switch of segments begun");
        let chunk = &self.chunks[i];
        let header = Header {
            incarnation: chunk.incarnation,
            first_lsn: chunk.first_lsn,
            previous_end: self.active.end,
            salt: chunk.salt,
            size: self.log.options.segment_bytes,
        };
        let (path, file) = self.files.activate(&header)?;
        let Header { salt, size: bytes, .. } = header;
        let segment = Segment { path, file: file.clone(), salt, end: HEADER, bytes };
        self.log.state.lock().segments.insert(header.incarnation, segment);
        self.count_spares();
        self.active = Active { incarnation: header.incarnation, file, end: HEADER };
        self.marked = self.marked.max(header.first_lsn - 1);
        Ok(())
    }

    /// What is there already, the volume need not have room for.
    pub(super) fn count_spares(&self) {
        self.log.state.lock().spares = self.files.free().len() as u64;
    }

    /// Whether there is anything for [`Self::mark`] to write.
    pub fn wants_mark(&self) -> bool {
        let state = self.log.state.lock();
        let news = self.marked < self.last_worthy || state.index.has_unrecorded();
        news && state.buffered == 0
    }

    /// For a log that is idle: writes to disk what is known durable and what is known committed,
    /// if no record said so since.
    ///
    /// Until then, damage to the last records is taken for a power loss and cut, and a start-up
    /// does not know that what came last is committed. Returns whether it wrote.
    pub fn mark(&mut self) -> Result<bool> {
        self.log.check()?;
        if !self.wants_mark() {
            return Ok(false);
        }
        let commits = self.log.state.lock().index.unrecorded();
        if commits.is_empty() {
            self.place(self.blank(Kind::Mark, NOBODY), &[]);
        }
        for (key, commit) in commits {
            let (_, at) = self.place(Envelope { commit, ..self.blank(Kind::Mark, key) }, &[]);
            self.log.state.lock().index.record_commit(key, commit, at.segment);
        }
        self.sync()?;
        crash_point("log: durability marked");
        Ok(true)
    }

    /// See [`LogReader::set_floor`].
    pub fn set_floor(&mut self, key: ReplicaKey, index: u64) {
        self.log.set_floor(key, index);
    }

    /// Copies a living batch to the end of the log, keeping its original position.
    pub(super) fn relocate_batch(
        &mut self,
        envelope: &Envelope,
        payload: &Bytes,
    ) -> (u64, Location) {
        self.needs_proof = true;
        let copy = Envelope { lsn: self.next_lsn, ..*envelope };
        let (_, at) = self.place(copy, payload);
        (envelope.original, at)
    }
}

/// Salt of a segment's checksums.
pub(super) fn salt_of(salt: u64, incarnation: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&incarnation.to_le_bytes(), salt)
}
