//! The map as a node stores it: entry by entry, so that a change of one writes one.
//!
//! Each entry stands under its kind (a byte) and its key, as on the wire. Under [`HEADER`]
//! stands what is of the map as a whole: a [`v1::PartitionMap`] without entries.

use super::entry::{Entry, Kind};
use super::{Cluster, FORMAT_VERSION, Keyspace, Node, Partition, PartitionMap};
use crate::error::Fault;
use crate::v1;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;

/// The key of what is of the map as a whole.
const HEADER: &[u8] = &[0];

/// How the keys of entries begin whose kind this program does not know: a
/// [`v1::MapEntry`] each, under the kind (4 bytes, big-endian) and its key.
const OTHER: u8 = 255;

/// What each stored key holds.
pub type Stored = BTreeMap<Bytes, Bytes>;

/// A key and what it holds from now on; nothing if the entry left the map.
pub type StoredChange = (Bytes, Option<Bytes>);

impl PartitionMap {
    /// All of it, as a node stores it.
    pub fn to_stored(&self) -> Stored {
        let mut stored = Stored::from([self.stored_header()]);
        self.store_all(&self.keyspaces, &mut stored);
        self.store_all(&self.clusters, &mut stored);
        self.store_all(&self.nodes, &mut stored);
        self.store_all(&self.partitions, &mut stored);
        stored.extend(self.others().map(stored_other));
        stored
    }

    fn store_all<T: Entry>(&self, entries: &[T], stored: &mut Stored) {
        stored.extend(entries.iter().map(|entry| (stored_key(entry), self.content_of(entry))));
    }

    /// What is stored otherwise than of `earlier`, a map of the same database.
    pub fn stored_changes(&self, earlier: &PartitionMap) -> Vec<StoredChange> {
        let (key, header) = self.stored_header();
        let mut changes = vec![(key, Some(header))];
        differing::<Keyspace>(self, earlier, &mut changes);
        differing::<Cluster>(self, earlier, &mut changes);
        differing::<Node>(self, earlier, &mut changes);
        differing::<Partition>(self, earlier, &mut changes);
        let known: Vec<_> = earlier.others().collect();
        let others = self.others().filter(|other| !known.contains(other)).map(stored_other);
        changes.extend(others.map(|(key, content)| (key, Some(content))));
        changes
    }

    /// Reads and validates what is stored; `None` if there is nothing.
    ///
    /// # Errors
    /// A newer format, an entry that does not read, or what [`PartitionMap::validate`]
    /// finds.
    pub fn from_stored(stored: &Stored) -> Result<Option<Self>, Fault> {
        let Some(header) = stored.get(HEADER) else { return Ok(None) };
        let mut wire: v1::PartitionMap = decode(header)?;
        for (key, content) in stored {
            let list = match key.first().copied() {
                Some(kind) if kind == Kind::Keyspace as u8 => &mut wire.keyspaces,
                Some(kind) if kind == Kind::Cluster as u8 => &mut wire.clusters,
                Some(kind) if kind == Kind::Node as u8 => &mut wire.nodes,
                Some(kind) if kind == Kind::Partition as u8 => &mut wire.partitions,
                Some(OTHER) => {
                    wire.others.push(decode(content)?);
                    continue;
                }
                _ => continue,
            };
            list.push(content.clone());
        }
        let mut map = Self::unchecked(&wire)?;
        map.sort_partitions();
        map.validate()?;
        Ok(Some(map))
    }

    fn stored_header(&self) -> (Bytes, Bytes) {
        let header = v1::PartitionMap {
            format_version: FORMAT_VERSION,
            database: self.database.to_string(),
            epoch: self.epoch,
            removed_keyspaces: self.removed_keyspaces.to_wire(),
            ..v1::PartitionMap::default()
        };
        (Bytes::from_static(HEADER), header.encode_to_vec().into())
    }
}

fn stored_key<T: Entry>(entry: &T) -> Bytes {
    [&[T::KIND as u8], &entry.key()[..]].concat().into()
}

fn stored_other(entry: v1::MapEntry) -> (Bytes, Bytes) {
    let key = [&[OTHER], &entry.kind.to_be_bytes()[..], &entry.key[..]].concat();
    (key.into(), entry.encode_to_vec().into())
}

fn differing<T: Entry>(
    newer: &PartitionMap,
    earlier: &PartitionMap,
    changes: &mut Vec<StoredChange>,
) {
    let mut known: BTreeMap<Bytes, &T> =
        T::list(earlier).iter().map(|entry| (entry.key(), entry)).collect();
    for entry in T::list(newer) {
        let same = known.remove(&entry.key());
        if !same.is_some_and(|same| newer.has_as(entry, earlier, same)) {
            changes.push((stored_key(entry), Some(newer.content_of(entry))));
        }
    }
    changes.extend(known.into_values().map(|gone| (stored_key(gone), None)));
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Fault> {
    M::decode(bytes).map_err(|error| Fault::invalid(format!("a stored entry: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::maps;
    use super::super::testing::sample_with_catalog;
    use super::*;
    use proptest::prelude::*;

    fn after(mut stored: Stored, changes: Vec<StoredChange>) -> Stored {
        for (key, content) in changes {
            match content {
                Some(content) => stored.insert(key, content),
                None => stored.remove(&key),
            };
        }
        stored
    }

    proptest! {
        #[test]
        fn a_map_is_read_as_it_was_stored(map in maps()) {
            let read = PartitionMap::from_stored(&map.to_stored()).unwrap().unwrap();
            prop_assert_eq!(read.digest(), map.digest());
        }

        #[test]
        fn changes_stored_one_by_one_make_the_newer_map(earlier in maps(), other in maps()) {
            let newer = earlier.merge(&other).unwrap_or_else(|| earlier.clone());
            let stored = after(earlier.to_stored(), newer.stored_changes(&earlier));
            prop_assert_eq!(stored, newer.to_stored());
        }
    }

    #[test]
    fn of_a_large_map_only_the_header_and_what_changed_are_stored() {
        let earlier = sample_with_catalog(4_096);
        let mut newer = earlier.clone();
        newer.partitions[77].generation = 2;
        newer.epoch = 2;
        assert_eq!(newer.stored_changes(&earlier).len(), 2);
    }

    #[test]
    fn a_stored_map_of_a_newer_format_is_refused_with_a_sentence() {
        let mut stored = sample_with_catalog(1).to_stored();
        let newer =
            v1::PartitionMap { format_version: FORMAT_VERSION + 1, ..v1::PartitionMap::default() };
        stored.insert(Bytes::from_static(HEADER), newer.encode_to_vec().into());
        let error = PartitionMap::from_stored(&stored).unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}
