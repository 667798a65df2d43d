//! Opens a log: replay in original order, seal the tail, go on in a new incarnation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::envelope::{Envelope, Kind};
use super::index::{Entry, HardEntry, Index};
use super::scan::{Found, Scan, ScannedSegment, scan};
use super::segment::{HEADER, Header, SegmentFiles};
use super::state::{Log, Segment, State};
use super::writer::{Active, LogWriter, NOBODY, salt_of};
use super::{HardState, KnownReplicas, LogOptions, LoggedBatch, OpenedLog, RecoveredLog};
use crate::disk::{Disk, OpenMode};
use crate::simulation::{Bug, crash_point, has_bug};
use crate::{Applied, Corruption, ReplicaKey, Result, StorageError};

/// Opens the log in `dir`, creating it if there is none.
///
/// Everything is examined before anything is written: after an error nothing
/// has changed on disk. When it returns, the tail a power loss left is sealed
/// for good, and all recovered records are durable.
pub fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: LogOptions,
    known: &KnownReplicas,
) -> Result<OpenedLog> {
    examine(disk, dir, options, known)?.start()
}

/// Whether `dir` holds any segment.
pub(crate) fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    if !disk.exists(dir).map_err(StorageError::io("look for", dir))? {
        return Ok(false);
    }
    let names = disk.list(dir).map_err(StorageError::io("list", dir))?;
    Ok(names.iter().any(|name| super::segment::incarnation_of(name).is_some()))
}

/// Whether the log in `dir` holds any record.
pub(crate) fn holds_records(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Ok(!scan(disk, dir)?.found.is_empty())
}

/// A log that was read and found sound; nothing has been written yet.
pub(crate) struct Examined {
    disk: Arc<dyn Disk>,
    dir: std::path::PathBuf,
    options: LogOptions,
    scan: Scan,
    index: Index,
    /// Replicas whose logged batches contradict the snapshot they installed.
    contradicted: Vec<(ReplicaKey, Applied)>,
    replicas: BTreeMap<ReplicaKey, RecoveredLog>,
}

/// The part of [`open`] that only reads.
pub(crate) fn examine(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: LogOptions,
    known: &KnownReplicas,
) -> Result<Examined> {
    let scan = if exists(&*disk, dir)? {
        scan(&*disk, dir)?
    } else {
        Scan { next_lsn: 1, ..Scan::default() }
    };
    let mut index = replay(&scan, known)?;
    let contradicted = settle(&scan, &mut index, known)?;
    let replicas = recovered(&index);
    Ok(Examined { disk, dir: dir.to_path_buf(), options, scan, index, contradicted, replicas })
}

/// Runs the records through the index in the order in which they were first appended.
fn replay(scan: &Scan, known: &KnownReplicas) -> Result<Index> {
    let mut index = Index::default();
    for (key, applied) in &known.live {
        index.create(*key, *applied);
    }
    for key in &known.removed {
        index.forget(*key);
    }
    let mut order: Vec<&Found> =
        scan.found.iter().filter(|f| f.envelope.replica != NOBODY).collect();
    order.sort_by_key(|f| (f.envelope.original, f.envelope.lsn));
    for (i, found) in order.iter().enumerate() {
        // A copy made by relocation replaces its original, so that the old segment can go.
        if order.get(i + 1).is_none_or(|next| next.envelope.original != found.envelope.original) {
            replay_one(scan, &mut index, found)?;
        }
    }
    Ok(index)
}

fn replay_one(scan: &Scan, index: &mut Index, found: &Found) -> Result<()> {
    let Envelope { kind, count, replica, base, term, commit, original, .. } = found.envelope;
    if index.is_removed(replica) {
        return Ok(());
    }
    if index.get(replica).is_none() {
        return Err(damaged(
            scan,
            found,
            format!("replica {replica} was never created, says the manifest"),
        ));
    }
    match kind {
        Kind::Batch => {
            if let Some(why) = index.cuts_a_batch(replica, base) {
                return Err(damaged(scan, found, why));
            }
            index.batch(replica, Entry { base, count, term, original, at: found.at }, commit);
        }
        Kind::HardState => {
            let state = HardState { term, vote: (count > 0).then_some(base) };
            index.hard_state(replica, HardEntry { state, original, at: found.at }, commit);
        }
        Kind::Mark => index.record_commit(replica, commit, found.at.segment),
        Kind::Reset if count > 0 => index.discard(replica),
        Kind::Reset => {}
    }
    Ok(())
}

fn damaged(scan: &Scan, found: &Found, what: String) -> StorageError {
    let path = scan
        .segments
        .iter()
        .find(|s| s.header.incarnation == found.at.segment)
        .map(|s| s.path.clone());
    Corruption::new(path.unwrap_or_default(), found.at.offset, what).into()
}

/// Checks each replica's batches against what its tree holds.
fn settle(
    scan: &Scan,
    index: &mut Index,
    known: &KnownReplicas,
) -> Result<Vec<(ReplicaKey, Applied)>> {
    let mut contradicted = Vec::new();
    for (&key, &applied) in &known.live {
        let Some(log) = index.get(key) else { continue };
        if log.disagrees(applied.index, applied.term) {
            contradicted.push((key, applied));
            index.discard(key);
            continue;
        }
        let mut expected = applied.index + 1;
        for entry in log.entries.iter().filter(|e| e.last() > applied.index) {
            if entry.base > expected {
                let segment =
                    scan.segments.iter().find(|s| s.header.incarnation == entry.at.segment);
                let path = segment.map(|s| s.path.clone()).unwrap_or_default();
                let what =
                    format!("replica {key} continues at {}, but {expected} is missing", entry.base);
                return Err(Corruption::new(path, entry.at.offset, what).into());
            }
            expected = entry.last() + 1;
        }
        // Batches the tree holds have served; the host starts with what is above.
        index.set_wanted(key, applied.index);
    }
    Ok(contradicted)
}

/// What the index says of each replica. Every record was verified by the scan.
fn recovered(index: &Index) -> BTreeMap<ReplicaKey, RecoveredLog> {
    let replicas = index.replicas().map(|(key, log)| {
        let logged =
            |entry: &Entry| LoggedBatch { base: entry.base, count: entry.count, term: entry.term };
        let batches = log.entries.iter().map(logged).collect();
        let hard_state = log.hard.map(|hard| hard.state);
        (key, RecoveredLog { hard_state, commit: log.commit, batches })
    });
    replicas.collect()
}

fn segments_of(scan: &Scan) -> Result<BTreeMap<u64, Segment>> {
    let segment = |s: &ScannedSegment| {
        // Shorter than the header says, where it was the last one at an earlier start.
        let bytes = s.file.len().map_err(StorageError::reading("measure", &s.path, 0))?;
        let (path, file, salt) = (s.path.clone(), s.file.clone(), s.header.salt);
        Ok((s.header.incarnation, Segment { path, file, salt, end: s.end, bytes }))
    };
    scan.segments.iter().map(segment).collect()
}

impl Examined {
    /// Whether records may be lost that were acknowledged.
    pub fn is_cut(&self) -> bool {
        self.scan.cut.is_some()
    }

    /// The part of [`open`] that writes.
    pub fn start(self) -> Result<OpenedLog> {
        let incarnation = self.next_incarnation();
        self.disk.create_dir_all(&self.dir).map_err(StorageError::io("create", &self.dir))?;
        // A rename seen here may not be durable yet, and a file of that name is about to be written
        // to.
        self.disk.sync_dir(&self.dir).map_err(StorageError::io("sync the directory", &self.dir))?;
        self.persist_tail()?;
        crash_point("log recovery: tail durable");
        let mut files = SegmentFiles::new(self.disk.clone(), &self.dir)?;
        let last = self.scan.segments.last();
        let header = Header {
            incarnation,
            first_lsn: self.scan.next_lsn,
            previous_end: last.map_or(0, |s| s.end),
            salt: salt_of(self.options.salt, incarnation),
            size: self.options.segment_bytes,
        };
        let (path, file) = files.activate(&header)?;
        crash_point("log recovery: tail sealed");
        self.release_sealed_room()?;
        crash_point("log recovery: sealed room released");
        let mut state =
            State { index: self.index, segments: segments_of(&self.scan)?, ..State::default() };
        state.durable = self.scan.next_lsn - 1;
        state.segments.insert(
            incarnation,
            Segment {
                path,
                file: file.clone(),
                salt: header.salt,
                end: HEADER,
                bytes: header.size,
            },
        );
        let log = Arc::new(Log::new(self.options, state));
        // The bug leaves a hole where the torn tail would have been.
        let end = if has_bug(Bug::AppendAfterTornTail) { HEADER + 512 } else { HEADER };
        let active = Active { incarnation, file, end };
        let mut writer = LogWriter::new(log, files, active, self.scan.next_lsn);
        for (replica, applied) in self.contradicted {
            writer.reset(replica, applied, true);
        }
        writer.sync()?;
        crash_point("log recovery: done");
        let cut = self.scan.cut.map(|cut| *cut);
        if let Some(cut) = &cut {
            tracing::warn!(
                file = %cut.damage.file.display(), offset = cut.damage.offset, lsn = cut.lsn.0,
                why = cut.damage.what,
                "the log ends in a record that does not read: a write cut short by a power loss, \
                 or damage to what this node had acknowledged; only its peers can tell"
            );
        }
        Ok(OpenedLog { reader: writer.reader(), writer, replicas: self.replicas, cut })
    }

    fn next_incarnation(&self) -> u64 {
        self.scan.segments.last().map_or(1, |last| last.header.incarnation + 1)
    }

    /// Writes the unproven records once more and syncs them.
    ///
    /// They may be in the page cache only, and after a failed fsync of the last
    /// process the kernel may think them clean: a sync alone would prove nothing.
    fn persist_tail(&self) -> Result<()> {
        let Some(last) = self.scan.segments.last() else { return Ok(()) };
        let from = self.scan.unproven_from;
        if from >= last.end {
            return Ok(());
        }
        let file = self
            .disk
            .open(&last.path, OpenMode::ReadWrite)
            .map_err(StorageError::io("open", &last.path))?;
        let mut bytes = vec![0; (last.end - from) as usize];
        file.read_exact_at(&mut bytes, from)
            .map_err(StorageError::reading("read", &last.path, from))?;
        file.write_at(&bytes, from).map_err(StorageError::io("write", &last.path))?;
        file.sync_data().map_err(StorageError::io("sync", &last.path))
    }

    /// Gives back what lies behind the seal, so that many restarts do not fill the disk.
    fn release_sealed_room(&self) -> Result<()> {
        let Some(last) = self.scan.segments.last() else { return Ok(()) };
        let file = self
            .disk
            .open(&last.path, OpenMode::ReadWrite)
            .map_err(StorageError::io("open", &last.path))?;
        file.set_len(last.end).map_err(StorageError::io("shorten", &last.path))
    }
}
