//! Byte layout of a manifest: a header, then frames, each with its own checksum.

use std::path::Path;

use crate::codec::{salted_checksum, u32_at, u64_at};
use crate::{Corruption, Result, StorageError};

/// Bytes of the file's header.
pub(super) const HEADER: usize = 64;
const MAGIC: &[u8; 8] = b"DOUGMAN\0";
const VERSION: u32 = 1;
/// Bytes in front of a frame's payload.
const ENVELOPE: usize = 32;
const ALIGNMENT: usize = 8;

/// What a frame carries; the numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Edit = 1,
    /// Nothing but the length known durable.
    Mark = 2,
}

pub(super) fn header(number: u64, salt: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..32].copy_from_slice(&salt.to_le_bytes());
    let sum = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks the header and returns the salt of the frames' checksums.
pub(super) fn read_header(bytes: &[u8], path: &Path, number: u64) -> Result<u64> {
    let damaged =
        |offset: u64, what: &str| -> StorageError { Corruption::new(path, offset, what).into() };
    if bytes.len() < HEADER {
        return Err(damaged(bytes.len() as u64, "the file ends inside the manifest's header"));
    }
    if &bytes[..8] != MAGIC {
        return Err(damaged(0, "this is not a manifest of DougDB"));
    }
    if crc32fast::hash(&bytes[12..HEADER]) != u32_at(bytes, 8) {
        return Err(damaged(8, "the checksum of the manifest's header does not match"));
    }
    let found = u32_at(bytes, 12);
    if found > VERSION {
        return Err(StorageError::NewerFormat {
            file: path.to_path_buf(),
            found,
            supported: VERSION,
        });
    }
    if found < VERSION {
        return Err(damaged(12, "format version 0 was never written"));
    }
    if u64_at(bytes, 16) != number {
        return Err(damaged(16, "the header is of another manifest"));
    }
    Ok(frame_salt(u64_at(bytes, 24), number))
}

/// The salt of the frames' checksums: a frame of another manifest is noticed too.
pub(super) fn frame_salt(salt: u64, number: u64) -> u64 {
    salt.wrapping_add(number)
}

/// Appends a frame to `out`, which will stand at `start` of the file.
pub(super) fn encode(
    kind: Kind,
    salt: u64,
    start: u64,
    durable: u64,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    let offset = start + begin as u64;
    let length = u32::try_from(payload.len()).expect("an edit is far below 4 GiB");
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let sum = salted_checksum(salt, &out[begin + 4..]);
    out[begin..begin + 4].copy_from_slice(&sum.to_le_bytes());
}

/// A frame that reads.
pub(super) struct Frame<'a> {
    pub kind: Kind,
    pub durable: u64,
    pub payload: &'a [u8],
    /// Where the next frame starts.
    pub end: usize,
}

/// Reads the frame at `at`; on failure says what is wrong.
pub(super) fn decode(bytes: &[u8], at: usize, salt: u64) -> Result<Frame<'_>, &'static str> {
    let frame = bytes.get(at..).unwrap_or_default();
    if frame.len() < ENVELOPE {
        return Err("no room for an edit");
    }
    let length = u32_at(frame, 4) as usize;
    let size = (ENVELOPE + length).next_multiple_of(ALIGNMENT);
    if size > frame.len() {
        return Err("the edit's length reaches beyond the file");
    }
    if u64_at(frame, 16) != at as u64 {
        return Err("no edit starts here");
    }
    if salted_checksum(salt, &frame[4..size]) != u32_at(frame, 0) {
        return Err("the edit's checksum does not match");
    }
    let kind = match frame[8] {
        1 => Kind::Edit,
        2 => Kind::Mark,
        _ => return Err("the edit is of an unknown kind"),
    };
    Ok(Frame {
        kind,
        durable: u64_at(frame, 24),
        payload: &frame[ENVELOPE..ENVELOPE + length],
        end: at + size,
    })
}

/// The greatest length that whole frames behind damage prove to have been durable.
pub(super) fn greatest_mark_beyond(bytes: &[u8], from: usize, salt: u64) -> u64 {
    let starts = (from..bytes.len()).step_by(ALIGNMENT);
    starts
        .filter_map(|at| decode(bytes, at, salt).ok())
        .map(|frame| frame.durable)
        .max()
        .unwrap_or(0)
}
