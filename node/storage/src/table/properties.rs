//! What a table says about itself.
//!
//! ```text
//! properties := entries:u64 tombstones:u64 min revision:u64 max revision:u64 raw bytes:u64
//!               tags:u64  min key (varint length, bytes)  max key (varint length, bytes)
//! ```
//! `tags` has a bit for each tag of an attribute that a slot of the table carries. Tags and
//! classes of keys that this program does not know are refused here, before anything is read.

use bytes::Bytes;

use super::format::Refusal;
use super::slot::check_tags;
use crate::codec::{Decoder, put_bytes};
use crate::tree::KeyClass;

/// What a table holds, counted while it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Versions in the table, tombstones included; at least 1.
    pub entries: u64,
    /// Tombstones among them.
    pub tombstones: u64,
    /// The smallest revision in the table.
    pub min_revision: u64,
    /// The greatest revision in the table.
    pub max_revision: u64,
    /// Bytes of keys and values before compression.
    pub raw_bytes: u64,
    /// The tags of attributes that slots of the table carry, a bit each.
    pub tags: u64,
    /// The first key, its class in front.
    pub min_key: Bytes,
    /// The last key, itself in the table.
    pub max_key: Bytes,
}

impl Properties {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [
            self.entries,
            self.tombstones,
            self.min_revision,
            self.max_revision,
            self.raw_bytes,
            self.tags,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_bytes(&mut out, &self.min_key);
        put_bytes(&mut out, &self.max_key);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut decoder = Decoder::new(bytes);
        let properties = Self {
            entries: decoder.u64()?,
            tombstones: decoder.u64()?,
            min_revision: decoder.u64()?,
            max_revision: decoder.u64()?,
            raw_bytes: decoder.u64()?,
            tags: decoder.u64()?,
            min_key: Bytes::copy_from_slice(decoder.bytes()?),
            max_key: Bytes::copy_from_slice(decoder.bytes()?),
        };
        decoder.finish()?;
        let ordered = properties.min_key <= properties.max_key
            && properties.min_revision <= properties.max_revision
            && properties.tombstones <= properties.entries;
        if properties.entries == 0 || !ordered {
            return Err("the properties contradict each other".into());
        }
        check_tags(properties.tags).map_err(Refusal::NewerContent)?;
        // The keys are in order: between two known classes there is no unknown one.
        for key in [&properties.min_key, &properties.max_key] {
            match key.first() {
                None => return Err("a key lacks its class".into()),
                Some(class) if KeyClass::from_byte(*class).is_none() => {
                    return Err(Refusal::NewerContent("keys of another class"));
                }
                Some(_) => {}
            }
        }
        Ok(properties)
    }
}
