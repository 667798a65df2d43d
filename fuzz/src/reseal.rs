//! Makes the checksums in a file right, whatever the rest of it says: written
//! from docs/formats.md and docs/formats-sstable.md, not from the product.

use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEGMENT_HEADER: usize = 64;
const RECORD: usize = 88;
const FRAME: usize = 32;
const FOOTER: usize = 96;
const TRAILER: usize = 9;

/// A segment of the log: its header, and each record that its length delimits.
pub fn segment(bytes: &mut [u8]) {
    if bytes.len() < SEGMENT_HEADER {
        return;
    }
    reseal_crc(bytes, 8, 12..SEGMENT_HEADER, &[]);
    let salt = bytes[40..48].to_vec();
    let incarnation = bytes[16..24].to_vec();
    let mut at = SEGMENT_HEADER;
    while let Some(length) = u32_at(bytes, at + 4).filter(|length| *length as usize >= RECORD) {
        let end = at + (length as usize).next_multiple_of(8);
        if end > bytes.len() {
            return;
        }
        bytes[at + 16..at + 24].copy_from_slice(&incarnation);
        reseal_crc(bytes, at, at + 4..end, &salt);
        at = end;
    }
}

/// A manifest: its header, and each frame that its length delimits.
pub fn manifest(bytes: &mut [u8]) {
    if bytes.len() < SEGMENT_HEADER {
        return;
    }
    reseal_crc(bytes, 8, 12..SEGMENT_HEADER, &[]);
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    // The salt and the manifest's number: a frame of another manifest does not fit.
    let salt = word(24).wrapping_add(word(16)).to_le_bytes();
    let mut at = SEGMENT_HEADER;
    while let Some(length) = u32_at(bytes, at + 4) {
        let end = at + (FRAME + length as usize).next_multiple_of(8);
        if end > bytes.len() {
            return;
        }
        bytes[at + 16..at + 24].copy_from_slice(&(at as u64).to_le_bytes());
        reseal_crc(bytes, at, at + 4..end, &salt);
        at = end;
    }
}

/// A batch: length and checksum.
pub fn batch(bytes: &mut [u8]) {
    if bytes.len() < 8 {
        return;
    }
    let length = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    let all = bytes.len();
    reseal_crc(bytes, 0, 4..all, &[]);
}

/// A table: footer, filter, index, properties, batches, and the data blocks that the index lists.
pub fn table(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(FOOTER) else { return };
    let length = bytes.len() as u64;
    bytes[footer + 72..footer + 80].copy_from_slice(&length.to_le_bytes());
    let sum = xxh3_64(&bytes[footer..footer + 80]);
    bytes[footer + 80..footer + 88].copy_from_slice(&sum.to_le_bytes());
    let identity = u64_at(bytes, footer).expect("the footer is there");
    for part in [footer + 8, footer + 20, footer + 32, footer + 44] {
        if let Some(place) = place(bytes, part) {
            block(bytes, place, identity);
        }
    }
    let index = place(bytes, footer + 8);
    for place in index.map(|place| listed(&bytes[place])).unwrap_or_default() {
        if place.end <= bytes.len() {
            block(bytes, place, identity);
        }
    }
}

/// The sums beside a table that is being received: of each record, the checksum of the bytes
/// that its length delimits.
pub fn sums(bytes: &mut [u8], identity: u64, part: &[u8]) {
    let mut offset = 0_usize;
    for record in bytes.chunks_exact_mut(8) {
        let length = u32_at(record, 0).expect("a record has eight bytes") as usize;
        let Some(data) = part.get(offset..offset.saturating_add(length)) else { return };
        record[4..].copy_from_slice(&chunk_sum(identity, offset, data).to_le_bytes());
        offset += length;
    }
}

/// How many bytes of a table that is being received match their sums.
pub fn sound(part: &[u8], sums: &[u8], identity: u64) -> u64 {
    let mut offset = 0_usize;
    for record in sums.chunks_exact(8) {
        let (length, sum) = (u32_at(record, 0), u32_at(record, 4));
        let length = length.expect("a record has eight bytes") as usize;
        let data = part.get(offset..offset.saturating_add(length)).filter(|data| !data.is_empty());
        let Some(data) = data.filter(|data| Some(chunk_sum(identity, offset, data)) == sum) else {
            break;
        };
        offset += data.len();
    }
    offset as u64
}

fn chunk_sum(identity: u64, offset: usize, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.to_le_bytes());
    hasher.update(&(offset as u64).to_le_bytes());
    hasher.update(data);
    hasher.finalize()
}

/// The description of a snapshot that is kept.
pub fn description(bytes: &mut [u8]) {
    if bytes.len() >= 16 {
        let sum = description_id(bytes);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    }
}

/// What a description is named by, and its checksum: the hash of its body.
pub fn description_id(bytes: &[u8]) -> u64 {
    xxh3_64(bytes.get(16..).unwrap_or_default())
}

/// The part of a table that the handle at `at` of the footer names.
fn place(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let offset = usize::try_from(u64_at(bytes, at)?).ok()?;
    let end = offset.checked_add(u32_at(bytes, at + 8)? as usize)?;
    (end <= bytes.len()).then_some(offset..end)
}

fn block(bytes: &mut [u8], place: Range<usize>, identity: u64) {
    if place.len() < TRAILER {
        return;
    }
    let sum = place.end - 8;
    let seed = identity.wrapping_add(place.start as u64);
    let checksum = xxh3_64_with_seed(&bytes[place.start..sum], seed);
    bytes[sum..place.end].copy_from_slice(&checksum.to_le_bytes());
}

/// The blocks that an index lists: the values of its entries, as far as they can be read.
fn listed(index: &[u8]) -> Vec<Range<usize>> {
    let mut rest = &index[..index.len().saturating_sub(TRAILER)];
    let mut places = Vec::new();
    while let Some(place) = next_listed(&mut rest) {
        places.push(place);
    }
    places
}

fn next_listed(rest: &mut &[u8]) -> Option<Range<usize>> {
    let (_shared, unshared, slot, _revision) =
        (varint(rest)?, varint(rest)?, varint(rest)?, varint(rest)?);
    take(rest, unshared)?;
    let mut value = take(rest, slot)?;
    let _kind = take(&mut value, 1)?;
    let offset = varint(&mut value)?;
    Some(offset..offset.checked_add(varint(&mut value)?)?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn reseal_crc(bytes: &mut [u8], at: usize, covered: Range<usize>, salt: &[u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(&bytes[covered]);
    bytes[at..at + 4].copy_from_slice(&hasher.finalize().to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}
