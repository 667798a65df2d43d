//! What the manifest knows of a tree, and how a change of it is written.
//!
//! ```text
//! edit := gc floor:varint
//!         removed count:varint  file id:varint*
//!         added count:varint    meta*
//! meta := file id:varint level:varint size:varint identity:varint
//!         entries:varint tombstones:varint
//!         min revision:varint max revision:varint
//!         min key (varint length, bytes)  max key (varint length, bytes)
//! ```
//! It is part of an edit of the manifest, which frames and checksums it and says the version.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec::{Decoder, Malformed, put_bytes, put_varint};
use crate::table::{FileId, Table};

/// A table as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// The file `sst/{file:016x}.sst` in the tree's directory.
    pub file: FileId,
    /// The level it stands in; 0 holds flushed memtables.
    pub level: u8,
    /// Length of the file in bytes.
    pub size: u64,
    /// Names the table wherever copies of it are.
    pub identity: u64,
    /// Versions in it.
    pub entries: u64,
    /// Tombstones among them.
    pub tombstones: u64,
    /// Smallest revision in it.
    pub min_revision: u64,
    /// Greatest revision in it.
    pub max_revision: u64,
    /// First key, its class in front.
    pub min_key: Bytes,
    /// Last key, itself in the table.
    pub max_key: Bytes,
}

impl TableMeta {
    pub(crate) fn new(table: &Table, level: u8) -> Self {
        let properties = table.properties();
        Self {
            file: table.id(),
            level,
            size: table.size(),
            identity: table.identity(),
            entries: properties.entries,
            tombstones: properties.tombstones,
            min_revision: properties.min_revision,
            max_revision: properties.max_revision,
            min_key: properties.min_key.clone(),
            max_key: properties.max_key.clone(),
        }
    }

    /// Whether a key could lie in both this table and `[min, max]`.
    pub(crate) fn overlaps(&self, min: &[u8], max: &[u8]) -> bool {
        self.min_key <= max && min <= self.max_key.as_ref()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for number in [
            self.file.0,
            u64::from(self.level),
            self.size,
            self.identity,
            self.entries,
            self.tombstones,
            self.min_revision,
            self.max_revision,
        ] {
            put_varint(out, number);
        }
        put_bytes(out, &self.min_key);
        put_bytes(out, &self.max_key);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            file: FileId(decoder.varint()?),
            level: u8::try_from(decoder.varint()?).map_err(|_| "a level overflows")?,
            size: decoder.varint()?,
            identity: decoder.varint()?,
            entries: decoder.varint()?,
            tombstones: decoder.varint()?,
            min_revision: decoder.varint()?,
            max_revision: decoder.varint()?,
            min_key: Bytes::copy_from_slice(decoder.bytes()?),
            max_key: Bytes::copy_from_slice(decoder.bytes()?),
        })
    }
}

impl AsRef<TableMeta> for TableMeta {
    fn as_ref(&self) -> &TableMeta {
        self
    }
}

/// A change of the tables of one tree: first `removed` leave, then `added` enter, so a
/// file in both only changes its level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeEdit {
    /// Tables that enter.
    pub added: Vec<TableMeta>,
    /// Tables that leave.
    pub removed: Vec<FileId>,
    /// Versions below this revision may be gone; it never falls.
    pub gc_floor: u64,
}

impl TreeEdit {
    /// Whether nothing changes but perhaps the floor.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Appends its bytes in the manifest.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.gc_floor);
        put_varint(out, self.removed.len() as u64);
        for file in &self.removed {
            put_varint(out, file.0);
        }
        put_varint(out, self.added.len() as u64);
        for meta in &self.added {
            meta.encode(out);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let gc_floor = decoder.varint()?;
        let mut removed = Vec::new();
        for _ in 0..decoder.varint()? {
            removed.push(FileId(decoder.varint()?));
        }
        let mut added = Vec::new();
        for _ in 0..decoder.varint()? {
            added.push(TableMeta::decode(decoder)?);
        }
        Ok(Self { added, removed, gc_floor })
    }
}

/// All edits of a tree, summed up: what a start-up finds in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeImage {
    /// The live tables.
    pub tables: BTreeMap<FileId, TableMeta>,
    /// Versions below this revision may be gone.
    pub gc_floor: u64,
}

impl TreeImage {
    /// Adds an edit. Errors, and changes nothing, if it removes a table that is not there
    /// or adds one that is: then edits are missing or out of order.
    pub fn apply(&mut self, edit: &TreeEdit) -> Result<(), String> {
        self.check(edit)?;
        for file in &edit.removed {
            self.tables.remove(file);
        }
        self.tables.extend(edit.added.iter().map(|meta| (meta.file, meta.clone())));
        self.gc_floor = self.gc_floor.max(edit.gc_floor);
        Ok(())
    }

    fn check(&self, edit: &TreeEdit) -> Result<(), String> {
        let mut leaving = BTreeSet::new();
        for file in &edit.removed {
            if !self.tables.contains_key(file) || !leaving.insert(*file) {
                return Err(format!("an edit removes table {file}, which is not there"));
            }
        }
        let mut entering = BTreeSet::new();
        for TableMeta { file, .. } in &edit.added {
            let stays = self.tables.contains_key(file) && !leaving.contains(file);
            if stays || !entering.insert(*file) {
                return Err(format!("an edit adds table {file} twice"));
            }
        }
        Ok(())
    }

    /// One edit that makes this image from nothing: for a fresh manifest.
    pub fn to_edit(&self) -> TreeEdit {
        TreeEdit {
            added: self.tables.values().cloned().collect(),
            removed: Vec::new(),
            gc_floor: self.gc_floor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(file: u64, level: u8) -> TableMeta {
        TableMeta {
            file: FileId(file),
            level,
            size: 4096,
            identity: 0x1234_5678_9abc_def0,
            entries: 17,
            tombstones: 3,
            min_revision: 5,
            max_revision: u64::MAX,
            min_key: Bytes::from_static(b"apple"),
            max_key: Bytes::from_static(b"pear\0"),
        }
    }

    fn edit() -> TreeEdit {
        TreeEdit {
            added: vec![meta(7, 1), meta(300, 6)],
            removed: vec![FileId(7), FileId(u64::MAX)],
            gc_floor: 12_345,
        }
    }

    fn encoded(edit: &TreeEdit) -> Vec<u8> {
        let mut out = Vec::new();
        edit.encode(&mut out);
        out
    }

    fn decoded(bytes: &[u8]) -> Result<TreeEdit, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let edit = TreeEdit::decode(&mut decoder)?;
        decoder.finish().map(|()| edit)
    }

    #[test]
    fn an_edit_comes_back_as_it_was_written() {
        assert_eq!(decoded(&encoded(&edit())), Ok(edit()));
    }

    #[test]
    fn an_edit_cut_or_flipped_anywhere_never_panics() {
        let bytes = encoded(&edit());
        for cut in 0..bytes.len() {
            assert!(decoded(&bytes[..cut]).is_err());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[cut] ^= 1 << bit;
                let _ = decoded(&flipped);
            }
        }
    }

    #[test]
    fn a_file_removed_and_added_only_changes_its_level() {
        let mut image = TreeImage::default();
        let enter = |m| TreeEdit { added: vec![m], ..TreeEdit::default() };
        image.apply(&enter(meta(7, 1))).expect("new");
        let mut sink = enter(meta(7, 2));
        sink.removed.push(FileId(7));
        image.apply(&sink).expect("there");
        assert_eq!(image.tables[&FileId(7)].level, 2);
    }

    #[test]
    fn an_edit_that_does_not_fit_is_refused_and_changes_nothing() {
        let enter = |metas: &[u64]| TreeEdit {
            added: metas.iter().map(|file| meta(*file, 1)).collect(),
            ..TreeEdit::default()
        };
        let mut image = TreeImage::default();
        image.apply(&enter(&[7])).expect("new");
        let before = image.clone();
        let leave = |files: &[u64], then: &[u64]| TreeEdit {
            removed: files.iter().copied().map(FileId).collect(),
            gc_floor: 9,
            ..enter(then)
        };
        for wrong in [
            leave(&[8], &[]),
            leave(&[7, 7], &[]),
            leave(&[7, 8], &[9]),
            leave(&[], &[7]),
            leave(&[7], &[9, 9]),
        ] {
            assert!(image.apply(&wrong).is_err(), "{wrong:?}");
            assert_eq!(image, before);
        }
    }

    #[test]
    fn an_image_is_rebuilt_from_its_one_edit() {
        let mut image = TreeImage::default();
        let mut edit = edit();
        edit.removed.clear();
        image.apply(&edit).expect("fits");
        let mut copy = TreeImage::default();
        copy.apply(&image.to_edit()).expect("fits");
        assert_eq!(copy, image);
    }
}
