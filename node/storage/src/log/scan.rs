//! Reads a log directory without changing a byte, and tells a lost tail from damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::envelope::{ALIGNMENT, Envelope, INCARNATION, LSN};
use super::index::Location;
use super::segment::{self, HEADER, Header};
use super::{Lsn, TailCut};
use crate::disk::{Disk, DiskFile, OpenMode, read_front};
use crate::{Corruption, Result, StorageError};

/// A record that counts.
pub(super) struct Found {
    pub envelope: Envelope,
    pub at: Location,
}

/// A segment and where its records end.
pub(super) struct ScannedSegment {
    pub header: Header,
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub end: u64,
}

/// Everything a log directory holds.
#[derive(Default)]
pub(super) struct Scan {
    /// Oldest first, without gaps.
    pub segments: Vec<ScannedSegment>,
    /// In the order of their place on disk.
    pub found: Vec<Found>,
    /// Position of the next record.
    pub next_lsn: u64,
    /// Offset in the last segment from which on nothing proves that the records were ever synced.
    pub unproven_from: u64,
    /// The tail was cut where a record of this incarnation had been begun.
    pub cut: Option<Box<TailCut>>,
}

/// Examines the log in `dir`. Refuses, naming file and offset, what a power loss cannot explain.
pub(super) fn scan(disk: &dyn Disk, dir: &Path) -> Result<Scan> {
    let mut scan = Scan { next_lsn: 1, ..Scan::default() };
    let names = disk.list(dir).map_err(StorageError::io("list", dir))?;
    for incarnation in names.iter().filter_map(|name| segment::incarnation_of(name)) {
        let path = dir.join(segment::name(incarnation));
        let file =
            disk.open(&path, OpenMode::Read).map_err(StorageError::reading("open", &path, 0))?;
        let mut bytes = vec![0; HEADER as usize];
        let read = file.read_at(&mut bytes, 0).map_err(StorageError::reading("read", &path, 0))?;
        let header = Header::decode(&bytes[..read], &path, incarnation)?;
        scan.segments.push(ScannedSegment { header, path, file, end: HEADER });
    }
    for i in 0..scan.segments.len() {
        match scan.segments.get(i + 1).map(|next| next.header) {
            Some(next) => scan.sealed(i, next)?,
            None => scan.tail(i)?,
        }
    }
    Ok(scan)
}

impl ScannedSegment {
    fn damaged(&self, offset: u64, what: String) -> StorageError {
        Corruption::new(&self.path, offset, what).into()
    }

    /// Reads up to `end`, or to the end of the file.
    fn read(&self, end: u64) -> Result<Vec<u8>> {
        let len = self.file.len().map_err(StorageError::io("measure", &self.path))?;
        read_front(&*self.file, &self.path, end.min(len))
    }

    fn decode(&self, bytes: &[u8], offset: usize, lsn: u64) -> Result<Envelope, String> {
        let rest = bytes.get(offset..).unwrap_or_default();
        let envelope = Envelope::decode(rest, self.header.incarnation, self.header.salt)?;
        if envelope.lsn != lsn {
            return Err(format!("record {} stands where {lsn} belongs", envelope.lsn));
        }
        Ok(envelope)
    }
}

impl Scan {
    fn take(&mut self, i: usize, envelope: Envelope, offset: usize) {
        let segment = &mut self.segments[i];
        let size = envelope.size();
        segment.end = (offset + size) as u64;
        let at = Location {
            segment: segment.header.incarnation,
            offset: offset as u64,
            size: size as u32,
        };
        self.found.push(Found { envelope, at });
        self.next_lsn += 1;
    }

    /// A segment with a successor was durable to its stated end: any damage in it is corruption.
    fn sealed(&mut self, i: usize, next: Header) -> Result<()> {
        let segment = &self.segments[i];
        self.next_lsn = segment.header.first_lsn;
        if next.incarnation != segment.header.incarnation + 1 {
            let what = format!(
                "the next segment, {}, is missing",
                segment::name(segment.header.incarnation + 1)
            );
            return Err(segment.damaged(segment.header.size, what));
        }
        let bytes = segment.read(next.previous_end)?;
        let mut offset = HEADER as usize;
        while (offset as u64) < next.previous_end {
            let segment = &self.segments[i];
            let envelope = segment.decode(&bytes, offset, self.next_lsn).map_err(|why| {
                segment.damaged(
                    offset as u64,
                    format!("{why}, though record {} was durable", self.next_lsn),
                )
            })?;
            self.take(i, envelope, offset);
            offset += envelope.size();
        }
        if self.next_lsn != next.first_lsn {
            let what =
                format!("it should start with record {}, not {}", self.next_lsn, next.first_lsn);
            return Err(self.segments[i + 1].damaged(24, what));
        }
        Ok(())
    }

    /// The last segment may have lost what was never synced, in any order, but no more.
    fn tail(&mut self, i: usize) -> Result<()> {
        let segment = &self.segments[i];
        self.next_lsn = segment.header.first_lsn;
        let bytes = segment.read(u64::MAX)?;
        let first = self.found.len();
        let mut mark = segment.header.first_lsn - 1;
        let mut offset = HEADER as usize;
        let why = loop {
            match self.segments[i].decode(&bytes, offset, self.next_lsn) {
                Ok(envelope) => {
                    mark = mark.max(envelope.durable);
                    self.take(i, envelope, offset);
                    offset += envelope.size();
                }
                Err(why) => break why,
            }
        };
        let beyond = self.segments[i].greatest_mark_beyond(&bytes, offset);
        mark = mark.max(beyond.unwrap_or(0));
        if mark >= self.next_lsn {
            let what = format!(
                "{why}; later records prove that everything up to record {mark} was durable"
            );
            return Err(self.segments[i].damaged(offset as u64, what));
        }
        if beyond.is_some() || self.segments[i].was_begun(&bytes, offset, self.next_lsn) {
            let damage = Corruption::new(&self.segments[i].path, offset as u64, why);
            self.cut = Some(Box::new(TailCut { damage, lsn: Lsn(self.next_lsn) }));
        }
        let unproven = self.found[first..].iter().find(|f| f.envelope.lsn > mark);
        self.unproven_from = unproven.map_or(offset as u64, |f| f.at.offset);
        Ok(())
    }
}

impl ScannedSegment {
    /// Whether the record at `offset` was begun in this incarnation of the segment, and is not
    /// room that was never written or that an earlier incarnation left: one flipped bit may have
    /// hit one of the two numbers that say so, but not both.
    fn was_begun(&self, bytes: &[u8], offset: usize, lsn: u64) -> bool {
        let word = |at: usize| bytes.get(offset + at..offset + at + 8);
        word(INCARNATION) == Some(&self.header.incarnation.to_le_bytes()[..])
            || word(LSN) == Some(&lsn.to_le_bytes()[..])
    }

    /// Whole records behind a hole still testify to what was durable when they were written;
    /// `None` if there is none.
    fn greatest_mark_beyond(&self, bytes: &[u8], from: usize) -> Option<u64> {
        // Nearly all of it is empty room: only where the incarnation stands can a record be.
        let incarnation = self.header.incarnation.to_le_bytes();
        let words = bytes.get(from..).unwrap_or_default().chunks_exact(ALIGNMENT);
        let places = words.enumerate().filter(|(_, word)| *word == incarnation);
        let starts = places.filter_map(|(place, _)| (place * ALIGNMENT).checked_sub(INCARNATION));
        let whole = starts.filter_map(|start| {
            let rest = &bytes[from + start..];
            Envelope::decode(rest, self.header.incarnation, self.header.salt).ok()
        });
        whole.map(|envelope| envelope.durable).max()
    }
}
