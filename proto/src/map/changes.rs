//! What one map says that another does not: nodes tell each other that, not the
//! whole map.

use super::merge::{take_entries, take_partitions};
use super::{KeyspaceId, Partition, PartitionMap};
use crate::error::Fault;
use crate::v1;
use prost::Message;
use std::borrow::Cow;
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
fn group(kind: u8, key: &[u8]) -> usize {
    let keyed = [&[kind], key].concat();
    xxh3_64(&keyed) as usize % GROUPS
}

/// The groups of the entries of each kind.
mod kinds {
    use super::super::{Cluster, Keyspace, Node, Partition};
    use super::group;

    pub fn keyspace(keyspace: &Keyspace) -> usize {
        group(0, &keyspace.id.number().to_be_bytes())
    }

    pub fn cluster(cluster: &Cluster) -> usize {
        group(1, cluster.name.as_bytes())
    }

    pub fn node(node: &Node) -> usize {
        group(2, &node.id.bits().to_be_bytes())
    }

    pub fn partition(partition: &Partition) -> usize {
        group(3, &partition.id.to_be_bytes())
    }
}

impl PartitionMap {
    /// The digests of its entries, whatever the order of its nodes.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut groups = vec![0_u64; GROUPS];
        // A sum, so that the order says nothing.
        let mut add = |group: usize, entry: Vec<u8>| {
            groups[group] = groups[group].wrapping_add(xxh3_64(&entry));
        };
        let keyspaces = self.keyspaces.iter();
        keyspaces.for_each(|k| add(kinds::keyspace(k), k.to_wire().encode_to_vec()));
        let clusters = self.clusters.iter();
        clusters.for_each(|c| add(kinds::cluster(c), c.to_wire().encode_to_vec()));
        self.nodes.iter().for_each(|n| add(kinds::node(n), n.to_wire().encode_to_vec()));
        let partitions = self.partitions.iter();
        partitions.for_each(|p| add(kinds::partition(p), p.to_wire().encode_to_vec()));
        Summary(groups)
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
        let own = self.summary();
        self.only(
            |k| own.differs(theirs, kinds::keyspace(k)),
            |c| own.differs(theirs, kinds::cluster(c)),
            |n| own.differs(theirs, kinds::node(n)),
            |p| own.differs(theirs, kinds::partition(p)),
        )
    }

    /// The entries that `earlier`, a map of the same database, has not, or has otherwise.
    #[must_use]
    pub fn changed_since(&self, earlier: &PartitionMap) -> v1::PartitionMap {
        self.only(
            |k| earlier.keyspace(k.id) != Some(k),
            |c| earlier.cluster(&c.name) != Some(c),
            |n| earlier.node(n.id) != Some(n),
            |p| earlier.partition(p.id) != Some(p),
        )
    }

    fn only(
        &self,
        keyspaces: impl Fn(&super::Keyspace) -> bool,
        clusters: impl Fn(&super::Cluster) -> bool,
        nodes: impl Fn(&super::Node) -> bool,
        partitions: impl Fn(&Partition) -> bool,
    ) -> v1::PartitionMap {
        PartitionMap {
            database: self.database,
            epoch: self.epoch,
            keyspaces: self.keyspaces.iter().filter(|k| keyspaces(k)).cloned().collect(),
            clusters: self.clusters.iter().filter(|c| clusters(c)).cloned().collect(),
            nodes: self.nodes.iter().filter(|n| nodes(n)).cloned().collect(),
            partitions: self.partitions.iter().filter(|p| partitions(p)).cloned().collect(),
        }
        .to_wire()
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
        let mut changes = PartitionMap::unchecked(changes)?;
        changes.partitions.sort_by(|a, b| (a.keyspace, &a.start).cmp(&(b.keyspace, &b.start)));
        let mut merged = Cow::Borrowed(self);
        take_entries(&mut merged, &changes);
        let mut ids: Vec<KeyspaceId> = changes.partitions.iter().map(|p| p.keyspace).collect();
        ids.dedup();
        for id in ids {
            let heard = changes.partitions_in(id);
            if is_whole(heard) {
                take_partitions(&mut merged, id, &changes);
            } else {
                heard.iter().try_for_each(|heard| take_one(&mut merged, heard))?;
            }
        }
        if let Cow::Owned(merged) = &merged {
            merged.validate()?;
        }
        let differs = u64::from(merged.summary() != *theirs);
        let epoch = match &merged {
            Cow::Borrowed(_) => self.epoch.max(changes.epoch + differs),
            Cow::Owned(_) => (self.epoch + 1).max(changes.epoch + differs),
        };
        Ok((epoch > self.epoch).then(|| PartitionMap { epoch, ..merged.into_owned() }))
    }
}

/// Whether these are all partitions of a keyspace.
fn is_whole(partitions: &[Partition]) -> bool {
    let mut expected = &bytes::Bytes::new();
    let gapless = partitions.iter().all(|partition| {
        let follows = partition.start == *expected;
        expected = &partition.end;
        follows
    });
    gapless && expected.is_empty()
}

/// Takes in one descriptor of a partition that is known.
fn take_one(merged: &mut Cow<PartitionMap>, heard: &Partition) -> Result<(), Fault> {
    let place = merged.partitions.iter().position(|known| known.id == heard.id);
    let interval = |p: &Partition| (p.keyspace, p.start.clone(), p.end.clone());
    let known = place.filter(|place| interval(&merged.partitions[*place]) == interval(heard));
    let Some(place) = known else {
        return Err(Fault::invalid(format!(
            "partition {} alone says nothing: the others of keyspace {} are needed too",
            heard.id, heard.keyspace
        )));
    };
    super::merge::take_descriptor(merged, place, heard);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::maps;
    use super::super::tests::sample_with_catalog;
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
