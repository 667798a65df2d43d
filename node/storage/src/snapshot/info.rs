//! What a snapshot consists of.

use bytes::Bytes;

use crate::codec::{Decoder, Malformed, put_bytes, put_varint};
use crate::{Applied, Result, StorageError};

const MAGIC: &[u8; 8] = b"DOUGSNAP";
const VERSION: u8 = 1;
/// Trees have at most this many levels.
const LEVELS: u8 = 16;

/// One table of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotTable {
    /// Names it on every node.
    pub identity: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The level it stands in.
    pub level: u8,
}

/// A snapshot without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The last command it contains.
    pub applied: Applied,
    /// Versions below this revision may be gone; at most the applied index.
    pub gc_floor: u64,
    /// The partition's state block after that command, opaque.
    pub state: Bytes,
    /// Its tables.
    pub tables: Vec<SnapshotTable>,
}

impl SnapshotInfo {
    /// Equal for equal snapshots, whoever made them.
    pub fn id(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.body())
    }

    /// Bytes of all tables.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.size).sum()
    }

    /// Refuses what no tree can be made of; it may come over the network.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |what: String| Err(StorageError::Refused(what));
        if self.gc_floor > self.applied.index {
            return refused(format!(
                "the snapshot is of index {} and says that revisions below {} are gone",
                self.applied.index, self.gc_floor
            ));
        }
        let mut identities: Vec<u64> = self.tables.iter().map(|table| table.identity).collect();
        identities.sort_unstable();
        if let Some(twice) = identities.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(format!("the snapshot lists table {:016x} twice", twice[0]));
        }
        if let Some(table) = self.tables.iter().find(|table| table.level >= LEVELS) {
            return refused(format!("the snapshot has a table in level {}", table.level));
        }
        // Beyond, sums of sizes and offsets would overflow.
        if self.tables.iter().try_fold(0u64, |sum, table| sum.checked_add(table.size)).is_none() {
            return refused("the tables of the snapshot are impossibly large".to_owned());
        }
        Ok(())
    }

    fn body(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for number in [self.applied.index, self.applied.term, self.gc_floor] {
            put_varint(&mut out, number);
        }
        put_bytes(&mut out, &self.state);
        put_varint(&mut out, self.tables.len() as u64);
        for table in &self.tables {
            out.extend_from_slice(&table.identity.to_le_bytes());
            put_varint(&mut out, table.size);
            out.push(table.level);
        }
        out
    }

    /// The bytes of a `.snapshot` file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = self.body();
        let checksum = xxhash_rust::xxh3::xxh3_64(&body);
        [&MAGIC[..], &checksum.to_le_bytes(), &body].concat()
    }

    /// Reads what [`Self::encode`] wrote; the error says what is malformed.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        if decoder.take(MAGIC.len())? != MAGIC {
            return Err("this is no snapshot's description");
        }
        let checksum = decoder.u64()?;
        if xxhash_rust::xxh3::xxh3_64(&bytes[decoder.position()..]) != checksum {
            return Err("a snapshot's description does not match its checksum");
        }
        if decoder.u8()? != VERSION {
            return Err("a snapshot's description has an unknown version");
        }
        let applied = Applied { index: decoder.varint()?, term: decoder.varint()? };
        let gc_floor = decoder.varint()?;
        let state = Bytes::copy_from_slice(decoder.bytes()?);
        let mut tables = Vec::new();
        for _ in 0..decoder.varint()? {
            let (identity, size) = (decoder.u64()?, decoder.varint()?);
            tables.push(SnapshotTable { identity, size, level: decoder.u8()? });
        }
        decoder.finish()?;
        Ok(Self { applied, gc_floor, state, tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SnapshotInfo {
        let table = |identity, level| SnapshotTable { identity, size: 4096, level };
        SnapshotInfo {
            applied: Applied { index: 300, term: 2 },
            gc_floor: 77,
            state: Bytes::from_static(b"a state block"),
            tables: vec![table(u64::MAX, 0), table(7, 6)],
        }
    }

    #[test]
    fn a_description_comes_back_as_it_was_written() {
        assert_eq!(SnapshotInfo::decode(&info().encode()), Ok(info()));
    }

    #[test]
    fn a_description_cut_or_flipped_anywhere_is_refused() {
        let bytes = info().encode();
        for cut in 0..bytes.len() {
            assert!(SnapshotInfo::decode(&bytes[..cut]).is_err());
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x10;
            assert!(SnapshotInfo::decode(&flipped).is_err());
        }
    }

    #[test]
    fn what_no_tree_can_be_made_of_is_refused() {
        assert!(info().check().is_ok());
        let above = SnapshotInfo { gc_floor: 301, ..info() };
        let mut twice = info();
        twice.tables[0].identity = 7;
        let mut deep = info();
        deep.tables[0].level = 16;
        let mut large = info();
        large.tables[0].size = u64::MAX;
        for wrong in [above, twice, deep, large] {
            assert!(matches!(wrong.check(), Err(StorageError::Refused(_))), "{wrong:?}");
        }
    }
}
