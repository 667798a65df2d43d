//! Bloom filter over the keys of a table, in cache lines.
//!
//! ```text
//! filter := kind:u8 = 1  probes:u8  zero:u16  lines:u32 LE  line*
//! line   := 64 bytes = 512 bits
//! ```
//! A key's xxh3-64 picks one line with its high half and the probes in that line
//! with its low half, so that a lookup costs one cache miss (Putze, Sanders and
//! Singler, "Cache-, hash- and space-efficient bloom filters", 2007).

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Decoder, Malformed};
use crate::simulation::{Bug, has_bug};

const KIND: u8 = 1;
const HEADER: usize = 8;
const LINE: usize = 64;
const LINE_BITS_LOG2: u32 = 9;
/// Golden ratio: consecutive multiples spread evenly.
const SPREAD: u32 = 0x9e37_79b9;

/// The hash a filter is built from and asked with.
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Encodes a filter with about `bits_per_key` bits for each hash.
pub(crate) fn encode(hashes: &[u64], bits_per_key: usize) -> Vec<u8> {
    let bits = hashes.len().saturating_mul(bits_per_key);
    let lines = u32::try_from(bits.div_ceil(LINE * 8).max(1)).unwrap_or(u32::MAX);
    // ln 2 probes per bit minimise false positives; a little fewer in lines.
    let probes = (bits_per_key * 6 / 10).clamp(1, 16) as u8;
    let mut out = vec![0; HEADER + lines as usize * LINE];
    out[0] = KIND;
    out[1] = probes;
    out[4..8].copy_from_slice(&lines.to_le_bytes());
    for &hash in hashes {
        let at = HEADER + line_of(hash, lines) * LINE;
        let line = &mut out[at..at + LINE];
        for bit in bits_of(hash, probes) {
            line[bit / 8] |= 1 << (bit % 8);
        }
    }
    out
}

fn line_of(hash: u64, lines: u32) -> usize {
    (((hash >> 32) * u64::from(lines)) >> 32) as usize
}

fn bits_of(hash: u64, probes: u8) -> impl Iterator<Item = usize> {
    let mut h = hash as u32;
    (0..probes).map(move |_| {
        h = h.wrapping_mul(SPREAD).wrapping_add(1);
        (h >> (32 - LINE_BITS_LOG2)) as usize
    })
}

/// A filter read from a table.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    bytes: Bytes,
    lines: u32,
    probes: u8,
}

impl Filter {
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(&bytes);
        let (kind, probes) = (decoder.u8()?, decoder.u8()?);
        let zero = decoder.take(2)?;
        let lines = decoder.u32()?;
        if kind != KIND || probes == 0 || zero != [0, 0] || lines == 0 {
            return Err("the filter has an unknown kind");
        }
        if bytes.len() - HEADER != lines as usize * LINE {
            return Err("the filter's length does not fit its header");
        }
        Ok(Self { bytes, lines, probes })
    }

    /// `false` only if the key is certainly absent.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        if hash.is_multiple_of(8) && has_bug(Bug::BloomFalseNegative) {
            return false;
        }
        let at = HEADER + line_of(hash, self.lines) * LINE;
        let line = &self.bytes[at..at + LINE];
        bits_of(hash, self.probes).all(|bit| line[bit / 8] & (1 << (bit % 8)) != 0)
    }

    pub(crate) fn weight(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(keys: impl Iterator<Item = u32>, bits_per_key: usize) -> Filter {
        let hashes: Vec<u64> = keys.map(|i| hash(&i.to_be_bytes())).collect();
        Filter::parse(encode(&hashes, bits_per_key).into()).expect("just encoded")
    }

    #[test]
    fn a_filter_has_no_false_negative() {
        for count in [0, 1, 2, 100, 10_000] {
            for bits in [1, 10, 20] {
                let filter = filter(0..count, bits);
                for i in 0..count {
                    assert!(filter.may_contain(hash(&i.to_be_bytes())));
                }
            }
        }
    }

    #[test]
    fn ten_bits_a_key_let_few_absent_keys_pass() {
        let filter = filter(0..10_000, 10);
        let passed =
            (10_000u32..30_000).filter(|i| filter.may_contain(hash(&i.to_be_bytes()))).count();
        assert!(passed < 20_000 * 2 / 100, "{passed} of 20000 passed");
    }

    #[test]
    fn any_bytes_make_a_filter_or_an_error() {
        for len in 0..200 {
            for fill in [0u8, 1, 0xff] {
                if let Ok(filter) = Filter::parse(vec![fill; len].into()) {
                    filter.may_contain(u64::MAX);
                }
            }
        }
    }
}
