//! Routing: which partition a key belongs to. Fixed at a database's creation.

use crate::error::Fault;
use crate::limits;
use crate::v1;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Deref;
use xxhash_rust::xxh3::xxh3_64;

/// How keys become routing bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// xxh3-64 with seed 0, big-endian, of the whole key, or of what precedes
    /// the first delimiter. An empty delimiter means the whole key.
    Hash {
        /// 0 to 16 bytes.
        prefix_delimiter: Bytes,
    },
    /// The key itself.
    Range,
}

/// The routing bytes of one key, without an allocation: every operation needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point<'a> {
    /// Range routing.
    Key(&'a [u8]),
    /// Hash routing.
    Hash([u8; 8]),
}

impl Deref for Point<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Point::Key(key) => key,
            Point::Hash(hash) => hash,
        }
    }
}

impl Routing {
    /// The routing bytes of `key`, to be compared with the starts of partitions.
    pub fn point<'a>(&self, key: &'a [u8]) -> Point<'a> {
        match self {
            Routing::Range => Point::Key(key),
            Routing::Hash { prefix_delimiter } => {
                let hashed = prefix(key, prefix_delimiter);
                Point::Hash(xxh3_64(hashed).to_be_bytes())
            }
        }
    }

    /// The routing bytes that all keys from `start` up to `end` (empty: to the last) have, if
    /// hash routing puts them together: they begin alike, delimiter included.
    pub fn shared_point(&self, start: &[u8], end: &[u8]) -> Option<Point<'static>> {
        let Routing::Hash { prefix_delimiter } = self else { return None };
        let hashed = prefix(start, prefix_delimiter);
        if prefix_delimiter.is_empty() || hashed.len() == start.len() {
            return None;
        }
        let common = &start[..hashed.len() + prefix_delimiter.len()];
        let after = prefix_end(common);
        let within = after.is_empty() || (!end.is_empty() && *end <= after[..]);
        within.then(|| Point::Hash(xxh3_64(hashed).to_be_bytes()))
    }

    /// The start of partition `number` (from 0) of `partitions` under hash
    /// routing: ⌊number·2⁶⁴/partitions⌋, and empty for the first.
    pub fn hash_start(number: u64, partitions: u64) -> Bytes {
        assert!(number < partitions, "partition {number} of {partitions}");
        if number == 0 {
            return Bytes::new();
        }
        let start = (u128::from(number) << 64) / u128::from(partitions);
        Bytes::copy_from_slice(&(start as u64).to_be_bytes())
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A routing that is neither, or a delimiter beyond its limit.
    pub fn from_wire(wire: Option<&v1::Routing>) -> Result<Self, Fault> {
        match wire.and_then(|r| r.routing.as_ref()) {
            Some(v1::routing::Routing::Hash(hash)) => {
                let length = hash.prefix_delimiter.len();
                if length > limits::DELIMITER_BYTES {
                    return Err(Fault::limit(
                        "prefixDelimiter bytes",
                        limits::DELIMITER_BYTES,
                        length,
                    ));
                }
                Ok(Routing::Hash { prefix_delimiter: hash.prefix_delimiter.clone() })
            }
            Some(v1::routing::Routing::Range(_)) => Ok(Routing::Range),
            None => Err(Fault::invalid("the map's routing is neither hash nor range")),
        }
    }

    /// The wire form.
    pub fn to_wire(&self) -> v1::Routing {
        let routing = match self {
            Routing::Hash { prefix_delimiter } => v1::routing::Routing::Hash(v1::HashRouting {
                prefix_delimiter: prefix_delimiter.clone(),
            }),
            Routing::Range => v1::routing::Routing::Range(v1::RangeRouting {}),
        };
        v1::Routing { routing: Some(routing) }
    }
}

/// The least key greater than `key`.
pub fn next_key(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// Whether the interval from `start` up to `end` holds one key alone: `start`.
pub fn holds_one_key(start: &[u8], end: &[u8]) -> bool {
    end.strip_suffix(&[0]).is_some_and(|key| key == start)
}

/// The least key greater than all that begin with `prefix`; empty if there is none.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    let mut end = prefix[..kept].to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

fn prefix<'a>(key: &'a [u8], delimiter: &[u8]) -> &'a [u8] {
    if delimiter.is_empty() {
        return key;
    }
    match key.windows(delimiter.len()).position(|window| window == delimiter) {
        Some(end) => &key[..end],
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_partitions_start_at_equal_steps() {
        assert_eq!(Routing::hash_start(0, 8), Bytes::new());
        assert_eq!(&Routing::hash_start(1, 8)[..], [0x20, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&Routing::hash_start(7, 8)[..], [0xe0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&Routing::hash_start(2, 3)[..], [0xaa; 8]);
    }

    #[test]
    fn keys_with_the_same_prefix_share_a_partition() {
        let routing = Routing::Hash { prefix_delimiter: Bytes::from_static(b"/") };
        assert_eq!(routing.point(b"user7/name"), routing.point(b"user7/mail"));
        assert_eq!(routing.point(b"user7/name"), routing.point(b"user7"));
        assert_ne!(routing.point(b"user7/name"), routing.point(b"user8/name"));
    }

    #[test]
    fn a_range_lies_together_if_all_its_keys_begin_alike_up_to_the_delimiter() {
        let routing = Routing::Hash { prefix_delimiter: Bytes::from_static(b"/") };
        let user7 = Some(routing.point(b"user7"));
        let shared =
            |start: &[u8], end: &[u8]| routing.shared_point(start, end).map(|p| p.to_vec());
        let user7 = user7.map(|point| point.to_vec());
        assert_eq!(shared(b"user7/", b"user70"), user7);
        assert_eq!(shared(b"user7/a", b"user7/b"), user7);
        assert_eq!(shared(b"user7/", b"user71"), None);
        assert_eq!(shared(b"user7/", b""), None);
        assert_eq!(shared(b"user7", b"user7/z"), None);
        let whole_key = Routing::Hash { prefix_delimiter: Bytes::new() };
        assert_eq!(whole_key.shared_point(b"a/", b"a0"), None);
    }

    #[test]
    fn what_begins_with_a_prefix_ends_before_the_next() {
        assert_eq!(prefix_end(b"ab"), "ac");
        assert_eq!(prefix_end(b"a\xff\xff"), "b");
        assert_eq!(prefix_end(b"\xff"), "");
    }

    #[test]
    fn an_interval_of_one_key_ends_at_the_next() {
        assert!(holds_one_key(b"ab", &next_key(b"ab")));
        assert!(!holds_one_key(b"ab", b"ac"));
        assert!(!holds_one_key(b"ab", b""));
        assert!(!holds_one_key(b"", b""));
    }

    #[test]
    fn the_hash_is_xxh3_64_with_seed_zero() {
        let routing = Routing::Hash { prefix_delimiter: Bytes::new() };
        // Reference value of XXH3_64bits on the empty input.
        assert_eq!(&routing.point(b"")[..], 0x2d06_8005_38d3_94c2_u64.to_be_bytes());
    }
}
