//! What one map says that another does not: nodes tell each other that, not the
//! whole map.

use super::entry::Entry;
use super::merge::{same_division, take_at, take_entries, take_partitions};
use super::{FORMAT_VERSION, KeyspaceId, Partition, PartitionMap};
use crate::error::Fault;
use crate::v1;
use bytes::Bytes;
use prost::Message;
use std::borrow::Cow;
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// Groups of entries in a summary: of the largest map each has about twenty.
const GROUPS: usize = 256;

/// The digests of a map's entries, in groups: where two maps differ, and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary(Vec<u64>);

impl Summary {
    /// As it travels. One of another number of groups differs from all others.
    pub fn from_wire(groups: Vec<u64>) -> Self {
        Self(groups)
    }

    /// As it travels.
    pub fn to_wire(&self) -> Vec<u64> {
        self.0.clone()
    }

    fn differs(&self, other: &Summary, group: usize) -> bool {
        self.0.len() != other.0.len() || self.0[group] != other.0[group]
    }
}

/// The group of an entry, by its key.
fn group(kind: u32, key: &[u8]) -> usize {
    let keyed = [&kind.to_be_bytes(), key].concat();
    xxh3_64(&keyed) as usize % GROUPS
}

/// The group of an entry of a known kind.
fn group_of<T: Entry>(entry: &T) -> usize {
    group(T::KIND as u32, &entry.key())
}

/// The group of the ids of removed keyspaces.
fn group_of_removed() -> usize {
    group(0, &[])
}

/// What of a map is to be told.
trait Selection {
    fn takes<T: Entry>(&self, entry: &T) -> bool;
    fn takes_other(&self, other: &v1::MapEntry) -> bool;
    fn takes_removed(&self) -> bool;
}

/// What is in groups that differ.
struct Differing<'a> {
    own: Summary,
    theirs: &'a Summary,
}

impl Selection for Differing<'_> {
    fn takes<T: Entry>(&self, entry: &T) -> bool {
        self.own.differs(self.theirs, group_of(entry))
    }

    fn takes_other(&self, other: &v1::MapEntry) -> bool {
        self.own.differs(self.theirs, group(other.kind, &other.key))
    }

    fn takes_removed(&self) -> bool {
        self.own.differs(self.theirs, group_of_removed())
    }
}

/// What an earlier map has not, or has otherwise.
struct ChangedSince<'a> {
    map: &'a PartitionMap,
    earlier: &'a PartitionMap,
    /// Keyspaces that are divided otherwise: a part of their partitions means nothing.
    divided: BTreeSet<KeyspaceId>,
}

impl<'a> ChangedSince<'a> {
    fn new(map: &'a PartitionMap, earlier: &'a PartitionMap) -> Self {
        let ids = map.keyspaces.iter().map(|keyspace| keyspace.id);
        let divided =
            ids.filter(|id| !same_division(map.partitions_in(*id), earlier.partitions_in(*id)));
        Self { map, earlier, divided: divided.collect() }
    }
}

impl Selection for ChangedSince<'_> {
    fn takes<T: Entry>(&self, entry: &T) -> bool {
        let same = entry.find_in(self.earlier);
        !same.is_some_and(|same| self.map.has_as(entry, self.earlier, same))
            || entry.keyspace().is_some_and(|id| self.divided.contains(&id))
    }

    fn takes_other(&self, other: &v1::MapEntry) -> bool {
        !self.earlier.others().any(|known| known == *other)
    }

    fn takes_removed(&self) -> bool {
        self.map.removed_keyspaces != self.earlier.removed_keyspaces
    }
}

impl PartitionMap {
    /// The digests of its entries, whatever the order of its nodes.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut groups = vec![0_u64; GROUPS];
        self.sum_up(&self.keyspaces, &mut groups);
        self.sum_up(&self.clusters, &mut groups);
        self.sum_up(&self.nodes, &mut groups);
        self.sum_up(&self.partitions, &mut groups);
        for other in self.others() {
            add(&mut groups, group(other.kind, &other.key), &other.encode_to_vec());
        }
        for (start, end) in self.removed_keyspaces.ranges() {
            let range = [start.to_be_bytes(), end.to_be_bytes()].concat();
            add(&mut groups, group_of_removed(), &range);
        }
        Summary(groups)
    }

    fn sum_up<T: Entry>(&self, entries: &[T], groups: &mut [u64]) {
        for entry in entries {
            add(groups, group_of(entry), &self.content_of(entry));
        }
    }

    /// xxh3-64 of the map, whatever the order of its nodes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest_of(&self.summary())
    }

    /// The digest, from the summary.
    #[must_use]
    pub fn digest_of(&self, summary: &Summary) -> u64 {
        let words = [self.database.bits(), self.epoch].into_iter().chain(summary.0.clone());
        xxh3_64(&words.flat_map(u64::to_be_bytes).collect::<Vec<u8>>())
    }

    /// The entries in groups that differ from those of another map: all that the other
    /// lacks, and little besides.
    #[must_use]
    pub fn differing_from(&self, theirs: &Summary) -> v1::PartitionMap {
        self.only(&Differing { own: self.summary(), theirs })
    }

    /// The entries that `earlier`, a map of the same database, has not, or has otherwise.
    #[must_use]
    pub fn changed_since(&self, earlier: &PartitionMap) -> v1::PartitionMap {
        self.only(&ChangedSince::new(self, earlier))
    }

    fn only(&self, selection: &impl Selection) -> v1::PartitionMap {
        let removed = &self.removed_keyspaces;
        v1::PartitionMap {
            format_version: FORMAT_VERSION,
            database: self.database.to_string(),
            epoch: self.epoch,
            keyspaces: self.selected(&self.keyspaces, selection),
            clusters: self.selected(&self.clusters, selection),
            nodes: self.selected(&self.nodes, selection),
            partitions: self.selected(&self.partitions, selection),
            others: self.others().filter(|other| selection.takes_other(other)).collect(),
            removed_keyspaces: if selection.takes_removed() { removed.to_wire() } else { vec![] },
        }
    }

    fn selected<T: Entry>(&self, entries: &[T], selection: &impl Selection) -> Vec<Bytes> {
        let selected = entries.iter().filter(|entry| selection.takes(*entry));
        selected.map(|entry| self.content_of(entry)).collect()
    }

    /// What this map becomes when entries of another map of the same database are taken
    /// in, which as a whole has the summary `theirs`; `None` if it stays as it is.
    ///
    /// As [`PartitionMap::merge`] of that whole map, as far as the entries go.
    ///
    /// # Errors
    /// Entries of another format, or that leave a gap between the partitions of a
    /// keyspace: then more of them is needed.
    pub fn merge_changes(
        &self,
        changes: &v1::PartitionMap,
        theirs: &Summary,
    ) -> Result<Option<PartitionMap>, Fault> {
        let merged = self.with_changes(changes)?;
        let differs = u64::from(merged.summary() != *theirs);
        let epoch = match &merged {
            Cow::Borrowed(_) => self.epoch.max(changes.epoch + differs),
            Cow::Owned(_) => (self.epoch + 1).max(changes.epoch + differs),
        };
        Ok((epoch > self.epoch).then(|| PartitionMap { epoch, ..merged.into_owned() }))
    }

    /// This map with entries of another one, as far as they are newer; its epoch stays.
    ///
    /// # Errors
    /// As [`PartitionMap::merge_changes`].
    pub(super) fn with_changes(
        &self,
        changes: &v1::PartitionMap,
    ) -> Result<Cow<'_, PartitionMap>, Fault> {
        let mut changes = PartitionMap::unchecked(changes)?;
        changes.sort_partitions();
        let mut merged = Cow::Borrowed(self);
        take_entries(&mut merged, &changes);
        let mut ids: Vec<KeyspaceId> = changes.partitions.iter().map(|p| p.keyspace).collect();
        ids.dedup();
        ids.retain(|id| !merged.removed_keyspaces.contains(*id));
        for id in ids {
            let heard = changes.partitions_in(id);
            if is_whole(heard) {
                take_partitions(&mut merged, id, &changes);
            } else {
                heard.iter().try_for_each(|heard| take_one(&mut merged, heard, &changes))?;
            }
        }
        if let Cow::Owned(merged) = &mut merged {
            merged.prune_kept();
            merged.validate()?;
        }
        Ok(merged)
    }
}

/// Adds an entry to its group: a sum, so that the order says nothing.
fn add(groups: &mut [u64], group: usize, entry: &[u8]) {
    groups[group] = groups[group].wrapping_add(xxh3_64(entry));
}

/// Whether these are all partitions of a keyspace.
fn is_whole(partitions: &[Partition]) -> bool {
    let mut expected = &Bytes::new();
    let gapless = partitions.iter().all(|partition| {
        let follows = partition.start == *expected;
        expected = &partition.end;
        follows
    });
    gapless && expected.is_empty()
}

/// Takes in one descriptor of a partition that is known.
fn take_one(
    merged: &mut Cow<PartitionMap>,
    heard: &Partition,
    from: &PartitionMap,
) -> Result<(), Fault> {
    let place = merged.partitions.iter().position(|known| known.id == heard.id);
    let interval = |p: &Partition| (p.keyspace, p.start.clone(), p.end.clone());
    let known = place.filter(|place| interval(&merged.partitions[*place]) == interval(heard));
    let Some(place) = known else {
        return Err(Fault::invalid(format!(
            "partition {} alone says nothing: the others of keyspace {} are needed too",
            heard.id, heard.keyspace
        )));
    };
    take_at(merged, place, heard, from);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::maps;
    use super::super::testing::sample_with_catalog;
    use super::*;
    use proptest::prelude::*;

    /// What `known` becomes when `other` tells it what it lacks.
    fn told(known: &PartitionMap, other: &PartitionMap) -> PartitionMap {
        let changes = other.differing_from(&known.summary());
        let merged = known.merge_changes(&changes, &other.summary()).unwrap();
        merged.unwrap_or_else(|| known.clone())
    }

    proptest! {
        #[test]
        fn what_differs_is_as_good_as_the_whole_map(one in maps(), other in maps()) {
            let whole = one.merge(&other).unwrap_or_else(|| one.clone());
            prop_assert_eq!(told(&one, &other).digest(), whole.digest());
        }

        #[test]
        fn what_has_changed_is_as_good_as_the_whole_map_to_who_knew_the_former(
            one in maps(),
            other in maps(),
        ) {
            let newer = one.merge(&other).unwrap_or_else(|| one.clone());
            let changes = newer.changed_since(&one);
            let merged = one.merge_changes(&changes, &newer.summary()).unwrap();
            prop_assert_eq!(merged.unwrap_or_else(|| one.clone()).digest(), newer.digest());
        }
    }

    #[test]
    fn of_a_large_map_only_what_changed_travels() {
        let known = sample_with_catalog(4_096);
        let mut newer = known.clone();
        newer.partitions[77].generation = 2;
        newer.epoch = 2;
        assert_eq!(newer.changed_since(&known).partitions.len(), 1);
        let differing = newer.differing_from(&known.summary());
        assert!(differing.partitions.len() < 64, "{} descriptors", differing.partitions.len());
        assert_eq!(told(&known, &newer), newer);
    }

    #[test]
    fn to_a_summary_of_another_kind_everything_differs() {
        let map = sample_with_catalog(4);
        assert_eq!(map.differing_from(&Summary::default()), map.to_wire());
    }

    #[test]
    fn a_part_of_the_partitions_of_an_unknown_keyspace_is_refused() {
        let known = sample_with_catalog(1);
        let mut heard = known.clone();
        heard.keyspaces[1].id = KeyspaceId::new(7);
        heard.partitions[1].keyspace = KeyspaceId::new(7);
        heard.partitions[1].id = 9;
        heard.partitions[1].end = bytes::Bytes::from_static(b"m");
        let refused = known.merge_changes(&heard.to_wire(), &heard.summary());
        assert!(refused.unwrap_err().message.contains("partition 9 alone says nothing"));
    }
}
