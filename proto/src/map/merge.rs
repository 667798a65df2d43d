//! Merging the maps of two places: the result depends on what they hold, never
//! on who asked whom, or in which order.

use super::entry::Entry;
use super::{KeyspaceId, Partition, PartitionMap};
use std::borrow::Cow;

impl PartitionMap {
    /// What this map becomes when `heard`, a map of the same database, is taken
    /// in; `None` if it stays as it is.
    ///
    /// Keyspaces, clusters, nodes and partitions are merged each for itself: the
    /// greater generation or version wins, for a group is right about itself. So
    /// merging is commutative, associative and idempotent, and maps that are passed
    /// on in any order end up equal. The epoch decides nothing: it only rises above
    /// every different map that was seen, so that watchers wake up.
    ///
    /// Where two maps divide a keyspace differently, the division with the greater
    /// partition id is the later one, for ids are never used again.
    #[must_use]
    pub fn merge(&self, heard: &PartitionMap) -> Option<PartitionMap> {
        // Most maps are heard in vain: only news is worth a copy.
        let mut merged = Cow::Borrowed(self);
        take_entries(&mut merged, heard);
        for keyspace in &heard.keyspaces {
            take_partitions(&mut merged, keyspace.id, heard);
        }
        let epoch = epoch(&merged, self, heard);
        (epoch > self.epoch).then(|| PartitionMap { epoch, ..merged.into_owned() })
    }

    fn says_the_same(&self, other: &PartitionMap) -> bool {
        self.keyspaces == other.keyspaces
            && self.clusters == other.clusters
            && self.partitions == other.partitions
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().all(|node| other.node(node.id) == Some(node))
    }
}

/// Greater than that of any merged map that says something else.
fn epoch(merged: &PartitionMap, one: &PartitionMap, other: &PartitionMap) -> u64 {
    let least = |map: &PartitionMap| map.epoch + u64::from(!map.says_the_same(merged));
    least(one).max(least(other))
}

/// Takes in keyspaces, clusters and nodes, each for itself.
pub(super) fn take_entries(merged: &mut Cow<PartitionMap>, heard: &PartitionMap) {
    for keyspace in &heard.keyspaces {
        let known = merged.keyspaces.binary_search_by_key(&keyspace.id, |k| k.id);
        take_newer(merged, known, keyspace);
    }
    for cluster in &heard.clusters {
        let known = merged.clusters.binary_search_by(|k| k.name.cmp(&cluster.name));
        take_newer(merged, known, cluster);
    }
    for node in &heard.nodes {
        let known = merged.nodes.iter().position(|known| known.id == node.id);
        let known = known.ok_or(merged.nodes.len());
        take_newer(merged, known, node);
    }
}

/// Takes in one entry: `known` is the place of the one known, or else where it goes.
fn take_newer<T: Entry>(merged: &mut Cow<PartitionMap>, known: Result<usize, usize>, heard: &T) {
    match known {
        Ok(place) if heard.is_newer_than(&T::list(merged)[place]) => {
            T::list_mut(merged.to_mut())[place].clone_from(heard);
        }
        Ok(_) => {}
        Err(place) => T::list_mut(merged.to_mut()).insert(place, heard.clone()),
    }
}

/// Takes in what is heard of the partitions of one keyspace. If nothing is heard or
/// known of them, the other side is right: a map has all partitions of a keyspace, or
/// none.
pub(super) fn take_partitions(
    merged: &mut Cow<PartitionMap>,
    keyspace: KeyspaceId,
    heard: &PartitionMap,
) {
    let places = merged.places_in(keyspace);
    let known = &merged.partitions[places.clone()];
    let heard = heard.partitions_in(keyspace);
    if later_division(heard, known) {
        let known = known.to_vec();
        let newest = heard.iter().map(|heard| match same_interval(&known, heard) {
            Some(known) if known.is_newer_than(heard) => known.clone(),
            _ => heard.clone(),
        });
        let newest: Vec<_> = newest.collect();
        merged.to_mut().partitions.splice(places, newest);
        return;
    }
    for place in places {
        let newer = same_interval(heard, &merged.partitions[place])
            .filter(|heard| heard.is_newer_than(&merged.partitions[place]));
        if let Some(heard) = newer {
            merged.to_mut().partitions[place].clone_from(heard);
        }
    }
}

/// Takes in the descriptor of the partition that stands at `place`, if it is newer.
pub(super) fn take_descriptor(merged: &mut Cow<PartitionMap>, place: usize, heard: &Partition) {
    if heard.is_newer_than(&merged.partitions[place]) {
        merged.to_mut().partitions[place].clone_from(heard);
    }
}

fn same_interval<'a>(partitions: &'a [Partition], one: &Partition) -> Option<&'a Partition> {
    let place = partitions.binary_search_by(|other| other.start.cmp(&one.start)).ok()?;
    Some(&partitions[place]).filter(|other| other.id == one.id && other.end == one.end)
}

/// Whether the first of two divisions of a keyspace is another one, and the later.
fn later_division(one: &[Partition], other: &[Partition]) -> bool {
    let alike = one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            (one.id, &one.start, &one.end) == (other.id, &other.start, &other.end)
        });
    let order = |partitions: &[Partition]| {
        let ids: Vec<_> = partitions.iter().map(|p| (p.id, p.start.clone())).collect();
        (partitions.iter().map(|p| p.id).max(), ids)
    };
    !alike && order(one) > order(other)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{sample, sample_with_catalog};
    use super::super::{Cluster, Keyspace, Member, Node, Ports, REMOVED};
    use super::*;
    use crate::ids::NodeId;
    use proptest::prelude::*;

    fn entry(id: u64, version: u64) -> Node {
        Node {
            id: NodeId::from_bits(id),
            name: format!("n-{id}"),
            cluster: "a".into(),
            address: format!("host-{version}"),
            ports: Ports::default(),
            version,
        }
    }

    fn keyspace(id: u64, generation: u64, deleted: bool) -> Keyspace {
        let name = format!("k{id}");
        Keyspace {
            id: KeyspaceId::new(id),
            name,
            generation,
            deleted,
            ..Keyspace::default_by_hash()
        }
    }

    /// Maps of one database as its nodes might hold them: some know a keyspace that
    /// others do not, or know that it is deleted.
    pub(crate) fn maps() -> impl Strategy<Value = PartitionMap> {
        let nodes = prop::collection::btree_map(0..4_u64, 1..4_u64, 0..4);
        let clusters = prop::collection::btree_map(0..3_u64, (1..4_u64, 1..3_u32), 0..3);
        let generations = prop::collection::vec((1..4_u64, 0..2_u64), 4);
        let third = prop::option::of((1..4_u64, any::<bool>(), 1..4_u64));
        (1..5_u64, nodes, clusters, generations, third).prop_map(
            |(epoch, nodes, clusters, generations, third)| {
                let mut map = sample_with_catalog(3);
                map.epoch = epoch;
                map.nodes.extend(nodes.into_iter().map(|(id, version)| entry(id, version)));
                map.clusters = clusters
                    .into_iter()
                    .map(|(id, (version, nodes))| Cluster {
                        name: format!("c{id}"),
                        nodes,
                        version,
                    })
                    .collect();
                for (partition, (generation, replica)) in map.partitions.iter_mut().zip(generations)
                {
                    partition.generation = generation;
                    let node = partition.voters[0].node;
                    partition.voters = vec![Member { node, replica: replica + 1 }];
                }
                if let Some((generation, deleted, of_partition)) = third {
                    map.keyspaces.push(keyspace(7, generation, deleted));
                    map.partitions.push(Partition {
                        id: 9,
                        keyspace: KeyspaceId::new(7),
                        generation: of_partition,
                        ..sample(1).partitions.remove(0)
                    });
                }
                map.validate_whole().unwrap();
                map
            },
        )
    }

    fn merged(one: &PartitionMap, other: &PartitionMap) -> PartitionMap {
        one.merge(other).unwrap_or_else(|| one.clone())
    }

    proptest! {
        #[test]
        fn merging_is_commutative(one in maps(), other in maps()) {
            prop_assert_eq!(merged(&one, &other).digest(), merged(&other, &one).digest());
        }

        #[test]
        fn merging_is_associative_but_for_the_epoch(a in maps(), b in maps(), c in maps()) {
            let left = merged(&merged(&a, &b), &c);
            let right = merged(&a, &merged(&b, &c));
            prop_assert!(left.says_the_same(&right));
        }

        #[test]
        fn merged_maps_are_maps(one in maps(), other in maps()) {
            prop_assert_eq!(merged(&one, &other).validate_whole(), Ok(()));
        }

        #[test]
        fn merging_is_idempotent(one in maps(), other in maps()) {
            let both = merged(&one, &other);
            prop_assert_eq!(both.merge(&one), None);
            prop_assert_eq!(both.merge(&other), None);
            prop_assert_eq!(both.merge(&both), None);
        }

        #[test]
        fn a_map_that_says_something_new_has_an_epoch_of_its_own(one in maps(), other in maps()) {
            if let Some(merged) = one.merge(&other) {
                prop_assert!(merged.epoch > one.epoch);
                prop_assert!(merged.epoch >= other.epoch);
            }
        }

        #[test]
        fn maps_passed_on_in_any_order_end_up_equal(
            start in prop::collection::vec(maps(), 3),
            talks in prop::collection::vec((0..3_usize, 0..3_usize), 0..6),
        ) {
            let mut places = start;
            for (from, to) in talks {
                places[to] = merged(&places[to], &places[from]);
            }
            // Everyone hears everyone, until nobody hears news.
            for _ in 0..4 {
                for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                    places[to] = merged(&places[to], &places[from]);
                }
            }
            let digests: Vec<u64> = places.iter().map(PartitionMap::digest).collect();
            prop_assert!(digests.iter().all(|digest| *digest == digests[0]));
        }
    }

    #[test]
    fn the_descriptor_of_the_higher_generation_wins_whatever_the_epochs() {
        let (mut known, mut heard) = (sample(2), sample(2));
        known.epoch = 9;
        known.partitions[0].generation = 3;
        heard.partitions[1].generation = 7;
        let merged = known.merge(&heard).unwrap();
        assert_eq!((merged.partitions[0].generation, merged.partitions[1].generation), (3, 7));
        assert_eq!(merged.epoch, 10);
    }

    #[test]
    fn a_node_that_only_one_map_lists_is_kept() {
        let (known, mut heard) = (sample(1), sample(1));
        heard.nodes.push(entry(7, 1));
        assert_eq!(known.merge(&heard).unwrap().nodes.len(), 2);
        assert_eq!(merged(&heard, &known).nodes.len(), 2);
    }

    #[test]
    fn a_node_that_was_removed_never_comes_back() {
        let (mut known, mut heard) = (sample(1), sample(1));
        known.nodes.push(entry(7, REMOVED));
        heard.nodes.push(entry(7, 1_000_000));
        for merged in [merged(&known, &heard), merged(&heard, &known)] {
            assert!(merged.node(NodeId::from_bits(7)).unwrap().is_removed());
            assert_eq!(merged.present().count(), 1);
        }
    }

    #[test]
    fn the_order_of_the_nodes_says_nothing() {
        let mut one = sample(1);
        one.nodes.push(entry(7, 1));
        let mut other = one.clone();
        other.nodes.reverse();
        assert_eq!(one.digest(), other.digest());
        assert_eq!(one.merge(&other), None);
    }

    #[test]
    fn of_two_divisions_of_a_keyspace_the_one_with_the_greater_id_is_the_later() {
        let (mut known, mut split) = (sample_with_catalog(2), sample_with_catalog(2));
        known.partitions[1].generation = 5;
        known.partitions[0].generation = 7;
        let half = split.partitions[2].clone();
        let middle = bytes::Bytes::from_static(&[0xc0]);
        split.partitions[2].end = middle.clone();
        split.partitions.push(Partition { id: 4, start: middle, ..half });
        for merged in [merged(&known, &split), merged(&split, &known)] {
            merged.validate_whole().unwrap();
            let pictures = merged.partitions.iter().map(|p| (p.id, p.generation));
            assert_eq!(pictures.collect::<Vec<_>>(), [(1, 7), (2, 5), (3, 1), (4, 1)]);
        }
    }

    #[test]
    fn a_keyspace_that_only_one_map_lists_is_taken_in_with_its_partitions() {
        let (known, mut heard) = (sample_with_catalog(1), sample_with_catalog(1));
        heard.keyspaces.push(keyspace(7, 1, false));
        let of_it =
            Partition { id: 9, keyspace: KeyspaceId::new(7), ..known.partitions[1].clone() };
        heard.partitions.push(of_it);
        for merged in [merged(&known, &heard), merged(&heard, &known)] {
            assert_eq!(merged.partitions_in(KeyspaceId::new(7)).len(), 1);
        }
    }

    #[test]
    fn a_deletion_is_heard_of_and_undone_by_generation() {
        let map = |generation, deleted| {
            let mut map = sample_with_catalog(1);
            map.keyspaces[1] = Keyspace { generation, deleted, ..Keyspace::default_by_hash() };
            map
        };
        let (alive, deleted, undeleted) = (map(1, false), map(2, true), map(3, false));
        assert!(merged(&alive, &deleted).keyspaces[1].deleted);
        assert!(!merged(&deleted, &undeleted).keyspaces[1].deleted);
        assert!(!merged(&undeleted, &deleted).keyspaces[1].deleted);
    }
}
