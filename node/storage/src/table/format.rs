//! What frames the parts of a table: sealed blocks and the footer.
//!
//! ```text
//! table  := data block* filter block  index block  batches block  properties block  footer
//! sealed := stored bytes  compression:u8  checksum:u64 LE
//! footer := 96 bytes
//!    0  identity of the table u64
//!    8  index:      offset u64, length u32       20  filter: offset u64, length u32
//!   32  properties: offset u64, length u32       44  batches: offset u64, length u32
//!   56  range tombstones: reserved, 12 zeros     68  format version u32
//!   72  length of the whole table u64
//!   80  checksum u64 = xxh3-64 of bytes 0..80    88  magic "DOUG.SST"
//! ```
//! All integers are little-endian. A block's checksum is xxh3-64 of the stored bytes
//! and the compression byte, seeded with the table's identity plus the block's offset,
//! so that a block of another table or another place is noticed too.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::codec::{Decoder, Malformed, put_varint};
use crate::simulation::{Bug, has_bug};

/// The last eight bytes of every table.
pub(crate) const MAGIC: &[u8; 8] = b"DOUG.SST";
/// The greatest table format this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of the footer.
pub(crate) const FOOTER: usize = 96;
/// Bytes of the footer kept for the place of a block of range tombstones.
const RANGE_TOMBSTONES: usize = 12;
/// Bytes after a block's stored bytes: compression and checksum.
pub(crate) const TRAILER: usize = 9;
/// LZ4 cannot make more than 255 bytes from one.
const LZ4_MAX_RATIO: usize = 255;

const STORED: u8 = 0;
const LZ4: u8 = 1;

/// Where a sealed block lies, trailer included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

impl Handle {
    pub(crate) fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.len))
    }
}

/// What the index says of a data block, beside the place of its last version.
///
/// ```text
/// entry := offset:varint length:varint  least revision:varint  greatest - least:varint
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) handle: Handle,
    /// The least revision in the block.
    pub(crate) least: u64,
    /// The greatest.
    pub(crate) greatest: u64,
}

impl IndexEntry {
    /// The entry as a value of the index block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        let Handle { offset, len } = self.handle;
        for number in [offset, u64::from(len), self.least, self.greatest - self.least] {
            put_varint(&mut out, number);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let offset = decoder.varint()?;
        let len = u32::try_from(decoder.varint()?).map_err(|_| "a block length overflows")?;
        let least = decoder.varint()?;
        let greatest = least.checked_add(decoder.varint()?).ok_or("a revision overflows")?;
        decoder.finish()?;
        Ok(Self { handle: Handle { offset, len }, least, greatest })
    }
}

/// Where a block belongs: which table, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) identity: u64,
    pub(crate) offset: u64,
}

impl Site {
    /// Identities are random: no block elsewhere has the same sum.
    fn seed(self) -> u64 {
        self.identity.wrapping_add(self.offset)
    }
}

/// Appends `payload`, sealed, to `out`: in the form that was made of it by compressing, if any.
/// `site` is where it comes to lie.
pub(crate) fn seal(
    payload: &[u8],
    compressed: Option<&[u8]>,
    site: Site,
    out: &mut Vec<u8>,
) -> Handle {
    let start = out.len();
    match compressed {
        Some(compressed) => {
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend_from_slice(compressed);
            out.push(LZ4);
        }
        None => {
            out.extend_from_slice(payload);
            out.push(STORED);
        }
    }
    let checksum = xxh3_64_with_seed(&out[start..], site.seed());
    out.extend_from_slice(&checksum.to_le_bytes());
    let len = u32::try_from(out.len() - start);
    Handle {
        offset: site.offset,
        len: len.expect("a block's payload is addressed by u32 restarts"),
    }
}

/// Checks a sealed block read from `site` and gives its payload back.
pub(crate) fn unseal(sealed: Bytes, site: Site) -> Result<Bytes, Malformed> {
    let stored_len =
        sealed.len().checked_sub(TRAILER).ok_or("a block is shorter than its trailer")?;
    let expected = Decoder::starting_at(&sealed, stored_len + 1).u64()?;
    if xxh3_64_with_seed(&sealed[..=stored_len], site.seed()) != expected
        && !has_bug(Bug::ChecksumIgnored)
    {
        return Err("a block does not match its checksum");
    }
    match sealed[stored_len] {
        STORED => Ok(sealed.slice(..stored_len)),
        LZ4 => decompress(&sealed[..stored_len]),
        _ => Err("a block has an unknown compression"),
    }
}

fn decompress(stored: &[u8]) -> Result<Bytes, Malformed> {
    let len = Decoder::new(stored).u32()? as usize;
    let compressed = &stored[4..];
    if len > compressed.len().saturating_mul(LZ4_MAX_RATIO) {
        return Err("a compressed block claims an impossible length");
    }
    let mut payload = vec![0; len];
    match lz4_flex::block::decompress_into(compressed, &mut payload) {
        Ok(written) if written == len => Ok(payload.into()),
        _ => Err("a block cannot be decompressed"),
    }
}

/// The table's last bytes: where everything else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Names the table wherever copies of it are.
    pub(crate) identity: u64,
    pub(crate) index: Handle,
    pub(crate) filter: Handle,
    pub(crate) properties: Handle,
    pub(crate) batches: Handle,
    /// Length of the whole file: a table cut short or grown is noticed at once.
    pub(crate) file_len: u64,
}

/// Why a footer or the properties were refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(Malformed),
    /// A newer format version.
    Newer(u32),
    /// Something in the table that only a newer program knows.
    NewerContent(&'static str),
}

impl From<Malformed> for Refusal {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER);
        out.extend_from_slice(&self.identity.to_le_bytes());
        for handle in [self.index, self.filter, self.properties, self.batches] {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.len.to_le_bytes());
        }
        out.extend_from_slice(&[0; RANGE_TOMBSTONES]);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.file_len.to_le_bytes());
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(MAGIC);
        out
    }

    /// Reads a footer of exactly [`FOOTER`] bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut decoder = Decoder::new(bytes);
        let identity = decoder.u64()?;
        let index = decode_handle(&mut decoder)?;
        let filter = decode_handle(&mut decoder)?;
        let properties = decode_handle(&mut decoder)?;
        let batches = decode_handle(&mut decoder)?;
        let range_tombstones = decoder.take(RANGE_TOMBSTONES)?;
        let version = decoder.u32()?;
        let file_len = decoder.u64()?;
        let checked = decoder.position();
        let checksum = decoder.u64()?;
        if decoder.take(MAGIC.len())? != MAGIC {
            return Err("it does not end as a table does: the magic is missing".into());
        }
        decoder.finish()?;
        if xxh3_64(&bytes[..checked]) != checksum {
            return Err("the footer does not match its checksum".into());
        }
        if version > FORMAT_VERSION {
            return Err(Refusal::Newer(version));
        }
        if version == 0 {
            return Err("format version 0 does not exist".into());
        }
        if range_tombstones != [0; RANGE_TOMBSTONES] {
            return Err(Refusal::NewerContent("range tombstones"));
        }
        Ok(Self { identity, index, filter, properties, batches, file_len })
    }
}

fn decode_handle(decoder: &mut Decoder<'_>) -> Result<Handle, Malformed> {
    let offset = decoder.u64()?;
    let len = decoder.u32()?;
    Ok(Handle { offset, len })
}
