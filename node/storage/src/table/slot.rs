//! What a key holds at a revision, and how a block stores it.
//!
//! ```text
//! slot       := kind:u8  attributes (if kind has bit 1)  value (to the end of the slot)
//! kind       := bit 0: a tombstone, which has no value; bit 1: attributes follow
//! attributes := count:u8, at least 1  (tag:u8 content)*, tags ascending
//! ```
//! The other bits of the kind, and the tags from 4 on, are reserved. A table says in its
//! properties which tags its slots carry, so one of a newer program is refused when it is
//! opened, before anything of it is read.

use std::ops::Range;

use bytes::Bytes;

use crate::codec::{Decoder, Malformed, put_varint};

const TOMBSTONE: u8 = 1;
const ATTRIBUTES: u8 = 2;

const LEASE: u8 = 1;
const EXPIRY: u8 = 2;
const CAUSE: u8 = 3;
/// Tags with a meaning to come: created revision, version count, commit stamp, intent.
const RESERVED: std::ops::RangeInclusive<u8> = 4..=7;

/// The tags this program knows, a bit each.
const KNOWN_TAGS: u64 = 1 << LEASE | 1 << EXPIRY | 1 << CAUSE;

/// Names a lease within its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseId(pub u64);

/// A moment by the partition's clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(pub u64);

/// What a value carries beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueAttributes {
    /// The lease that keeps the key.
    pub lease: Option<LeaseId>,
    /// When the key expires.
    pub expiry: Option<Expiry>,
}

/// Why a key holds nothing any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionCause {
    /// Somebody deleted it.
    #[default]
    Delete,
    /// It expired.
    Expiry,
    /// Its lease ended.
    Lease,
}

/// What a key holds at a revision; `V` is how the value's bytes are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot<V = Bytes> {
    /// A value.
    Value {
        /// Its bytes.
        value: V,
        /// What it carries beside them.
        attributes: ValueAttributes,
    },
    /// The key was deleted; this hides every older version of it.
    Tombstone {
        /// Why.
        cause: DeletionCause,
    },
}

impl Slot {
    /// A value without attributes.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self::Value { value: value.into(), attributes: ValueAttributes::default() }
    }

    /// A plain deletion.
    pub fn tombstone() -> Self {
        Self::Tombstone { cause: DeletionCause::Delete }
    }

    /// The value's length in bytes; a tombstone has none.
    pub fn len(&self) -> usize {
        match self {
            Self::Value { value, .. } => value.len(),
            Self::Tombstone { .. } => 0,
        }
    }

    /// Whether there are no bytes of value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value's bytes, none for a tombstone.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Value { value, .. } => value,
            Self::Tombstone { .. } => &[],
        }
    }

    /// Appends what of an encoded slot stands before the value.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>) {
        let kind = if self.is_tombstone() { TOMBSTONE } else { 0 };
        let count = self.tags().count_ones() as u8;
        if count == 0 {
            out.push(kind);
            return;
        }
        out.extend_from_slice(&[kind | ATTRIBUTES, count]);
        match self {
            Self::Value { attributes: ValueAttributes { lease, expiry }, .. } => {
                if let Some(LeaseId(lease)) = lease {
                    out.push(LEASE);
                    put_varint(out, *lease);
                }
                if let Some(Expiry(expiry)) = expiry {
                    out.push(EXPIRY);
                    put_varint(out, *expiry);
                }
            }
            Self::Tombstone { cause } => out.extend_from_slice(&[CAUSE, cause.code()]),
        }
    }
}

impl<V> Slot<V> {
    /// Whether the key was deleted.
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::Tombstone { .. })
    }

    /// The same slot with its value's bytes held in another way.
    pub(crate) fn map<W>(&self, hold: impl FnOnce(&V) -> W) -> Slot<W> {
        match self {
            Self::Value { value, attributes } => {
                Slot::Value { value: hold(value), attributes: *attributes }
            }
            Self::Tombstone { cause } => Slot::Tombstone { cause: *cause },
        }
    }

    /// The tags the slot carries, a bit each.
    pub(crate) fn tags(&self) -> u64 {
        let bit = |set: bool, tag: u8| if set { 1 << tag } else { 0 };
        match self {
            Self::Value { attributes, .. } => {
                bit(attributes.lease.is_some(), LEASE) | bit(attributes.expiry.is_some(), EXPIRY)
            }
            Self::Tombstone { cause } => bit(*cause != DeletionCause::Delete, CAUSE),
        }
    }
}

impl Slot<Range<usize>> {
    /// Reads the slot that fills `place` of `bytes`; its value stays where it is.
    pub(crate) fn parse(bytes: &[u8], place: Range<usize>) -> Result<Self, Malformed> {
        let slot = bytes.get(..place.end).ok_or("a slot ends too late")?;
        let mut decoder = Decoder::starting_at(slot, place.start);
        let kind = decoder.u8()?;
        if kind & !(TOMBSTONE | ATTRIBUTES) != 0 {
            return Err("a slot is of a kind that only a newer program knows");
        }
        let (mut attributes, mut cause) = (ValueAttributes::default(), DeletionCause::Delete);
        if kind & ATTRIBUTES != 0 {
            let mut last = 0;
            for _ in 0..decoder.u8()? {
                let tag = decoder.u8()?;
                if tag <= last {
                    return Err("the attributes of a slot are out of order");
                }
                last = tag;
                match tag {
                    LEASE => attributes.lease = Some(LeaseId(decoder.varint()?)),
                    EXPIRY => attributes.expiry = Some(Expiry(decoder.varint()?)),
                    CAUSE => cause = DeletionCause::from_code(decoder.u8()?)?,
                    tag if RESERVED.contains(&tag) => {
                        return Err("a slot has a reserved attribute: a newer program wrote it");
                    }
                    _ => return Err("a slot has an attribute that only a newer program knows"),
                }
            }
            if last == 0 {
                return Err("a slot promises attributes and has none");
            }
        }
        if kind & TOMBSTONE == 0 {
            if cause != DeletionCause::Delete {
                return Err("a value carries the cause of a deletion");
            }
            return Ok(Self::Value { value: decoder.position()..place.end, attributes });
        }
        if decoder.position() != place.end {
            return Err("a tombstone carries a value");
        }
        if attributes != ValueAttributes::default() {
            return Err("a tombstone carries attributes of a value");
        }
        Ok(Self::Tombstone { cause })
    }
}

impl DeletionCause {
    fn code(self) -> u8 {
        match self {
            Self::Delete => 0,
            Self::Expiry => 1,
            Self::Lease => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            1 => Ok(Self::Expiry),
            2 => Ok(Self::Lease),
            _ => Err("a deletion has a cause that only a newer program knows"),
        }
    }
}

/// Refuses tags that only a newer program knows, or says what they are.
pub(crate) fn check_tags(tags: u64) -> Result<(), &'static str> {
    let unknown = tags & !KNOWN_TAGS;
    if unknown == 0 {
        return Ok(());
    }
    let reserved = RESERVED.fold(0, |bits, tag| bits | 1 << tag);
    Err(match unknown & !reserved {
        0 => "created revisions, version counts, commit stamps or intents",
        _ => "attributes of keys",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Vec<Slot> {
        let value = Bytes::from_static(b"value");
        let (lease, expiry) = (Some(LeaseId(u64::MAX)), Some(Expiry(1_700_000_000_000)));
        let carrying = |lease, expiry| Slot::Value {
            value: value.clone(),
            attributes: ValueAttributes { lease, expiry },
        };
        vec![
            Slot::value(""),
            carrying(None, None),
            carrying(lease, None),
            carrying(None, expiry),
            carrying(lease, expiry),
            Slot::tombstone(),
            Slot::Tombstone { cause: DeletionCause::Expiry },
            Slot::Tombstone { cause: DeletionCause::Lease },
        ]
    }

    fn encoded(slot: &Slot) -> Vec<u8> {
        let mut out = vec![0xee];
        slot.encode_head(&mut out);
        out.extend_from_slice(slot.bytes());
        out
    }

    fn parsed(bytes: &[u8]) -> Result<Slot, Malformed> {
        let slot = Slot::parse(bytes, 1..bytes.len())?;
        Ok(slot.map(|range| Bytes::copy_from_slice(&bytes[range.clone()])))
    }

    #[test]
    fn a_slot_comes_back_with_its_attributes() {
        for slot in slots() {
            assert_eq!(parsed(&encoded(&slot)), Ok(slot));
        }
    }

    #[test]
    fn a_plain_slot_costs_one_byte_beside_its_value() {
        assert_eq!(encoded(&Slot::value("red"))[1..], *b"\0red");
        assert_eq!(encoded(&Slot::tombstone())[1..], [1]);
    }

    #[test]
    fn unknown_and_reserved_kinds_and_tags_are_refused_as_those_of_a_newer_program() {
        let newer = |bytes: &[u8]| {
            let what = parsed(bytes).expect_err("nothing this program knows");
            assert!(what.contains("newer program"), "{what}");
        };
        (2..8).for_each(|bit| newer(&[0xee, 1 << bit]));
        (4..=255).for_each(|tag| newer(&[0xee, ATTRIBUTES, 1, tag, 0]));
        newer(&[0xee, TOMBSTONE | ATTRIBUTES, 1, CAUSE, 9]);
    }

    #[test]
    fn tags_of_a_newer_program_are_named() {
        assert_eq!(check_tags(KNOWN_TAGS), Ok(()));
        assert!(check_tags(1 << 6).is_err_and(|what| what.contains("commit stamps")));
        assert!(check_tags(1 << 40).is_err());
    }

    #[test]
    fn any_bytes_are_a_slot_or_malformed() {
        for slot in slots() {
            let bytes = encoded(&slot);
            for at in 1..bytes.len() {
                for mask in 1..=255 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= mask;
                    let _ = parsed(&flipped);
                }
                let _ = parsed(&bytes[..at]);
            }
        }
        assert!(Slot::parse(&[0], 0..2).is_err());
        assert!(Slot::parse(&[0], 1..1).is_err());
    }
}
