//! Merging the maps of two places: the result depends on what they hold, never
//! on who asked whom, or in which order.

use super::entry::Entry;
use super::{KeyspaceId, Node, Partition, PartitionMap};
use std::borrow::Cow;
use std::cmp::Ordering;

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
        if let Cow::Owned(merged) = &mut merged {
            merged.prune_kept();
        }
        let epoch = epoch(&merged, self, heard);
        (epoch > self.epoch).then(|| PartitionMap { epoch, ..merged.into_owned() })
    }

    fn says_the_same(&self, other: &PartitionMap) -> bool {
        let node_is_same =
            |node: &Node| other.node(node.id).is_some_and(|same| self.has_as(node, other, same));
        all_same(self, &self.keyspaces, other, &other.keyspaces)
            && all_same(self, &self.clusters, other, &other.clusters)
            && all_same(self, &self.partitions, other, &other.partitions)
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().all(node_is_same)
            && self.removed_keyspaces == other.removed_keyspaces
            && self.kept.has_others_of(&other.kept)
            && other.kept.has_others_of(&self.kept)
    }
}

fn all_same<T: Entry>(one: &PartitionMap, own: &[T], other: &PartitionMap, others: &[T]) -> bool {
    own.len() == others.len() && own.iter().zip(others).all(|(a, b)| one.has_as(a, other, b))
}

/// Greater than that of any merged map that says something else.
fn epoch(merged: &PartitionMap, one: &PartitionMap, other: &PartitionMap) -> u64 {
    let least = |map: &PartitionMap| map.epoch + u64::from(!map.says_the_same(merged));
    least(one).max(least(other))
}

/// Takes in everything but partitions, each entry for itself.
pub(super) fn take_entries(merged: &mut Cow<PartitionMap>, heard: &PartitionMap) {
    if !merged.removed_keyspaces.includes(&heard.removed_keyspaces) {
        let merged = merged.to_mut();
        merged.removed_keyspaces.extend(&heard.removed_keyspaces);
        merged.drop_removed();
    }
    for keyspace in &heard.keyspaces {
        if !merged.removed_keyspaces.contains(keyspace.id) {
            let known = merged.keyspaces.binary_search_by_key(&keyspace.id, |k| k.id);
            take_newer(merged, known, keyspace, heard);
        }
    }
    for cluster in &heard.clusters {
        let known = merged.clusters.binary_search_by(|k| k.name.cmp(&cluster.name));
        take_newer(merged, known, cluster, heard);
    }
    for node in &heard.nodes {
        let known = merged.nodes.iter().position(|known| known.id == node.id);
        let known = known.ok_or(merged.nodes.len());
        take_newer(merged, known, node, heard);
    }
    if !merged.kept.has_others_of(&heard.kept) {
        merged.to_mut().kept.take_others(&heard.kept);
    }
}

/// Takes in one entry of `from`: `known` is the place of the one known, or else where it
/// goes.
fn take_newer<T: Entry>(
    merged: &mut Cow<PartitionMap>,
    known: Result<usize, usize>,
    heard: &T,
    from: &PartitionMap,
) {
    match known {
        Ok(place) => take_at(merged, place, heard, from),
        Err(place) => {
            let merged = merged.to_mut();
            T::list_mut(merged).insert(place, heard.clone());
            merged.kept.take(heard, &from.kept);
        }
    }
}

/// Takes in an entry of `from` in place of the one at `place`, if it is newer.
pub(super) fn take_at<T: Entry>(
    merged: &mut Cow<PartitionMap>,
    place: usize,
    heard: &T,
    from: &PartitionMap,
) {
    if is_newer(from, heard, merged, &T::list(merged)[place]) {
        let merged = merged.to_mut();
        T::list_mut(merged)[place].clone_from(heard);
        merged.kept.take(heard, &from.kept);
    }
}

/// Whether an entry takes the place of `known`. Two operators may give one node two
/// addresses under one version, and of two programs one may know more fields: then either
/// may win, but everywhere the same.
fn is_newer<T: Entry>(from: &PartitionMap, heard: &T, of: &PartitionMap, known: &T) -> bool {
    match heard.version().cmp(&known.version()) {
        Ordering::Equal => {
            !from.has_as(heard, of, known) && from.content_of(heard) > of.content_of(known)
        }
        order => order == Ordering::Greater,
    }
}

/// Takes in what is heard of the partitions of one keyspace. If nothing is heard or
/// known of them, the other side is right: a map has all partitions of a keyspace, or
/// none.
pub(super) fn take_partitions(
    merged: &mut Cow<PartitionMap>,
    keyspace: KeyspaceId,
    from: &PartitionMap,
) {
    if merged.removed_keyspaces.contains(keyspace) {
        return;
    }
    let places = merged.places_in(keyspace);
    let known = &merged.partitions[places.clone()];
    let heard = from.partitions_in(keyspace);
    if later_division(heard, known) {
        let stays = |heard: &&Partition| {
            same_interval(known, heard).filter(|known| is_newer(merged, *known, from, *heard))
        };
        let newest: Vec<_> =
            heard.iter().map(|heard| stays(&heard).unwrap_or(heard).clone()).collect();
        let taken: Vec<_> = heard.iter().filter(|heard| stays(heard).is_none()).collect();
        let merged = merged.to_mut();
        merged.partitions.splice(places, newest);
        taken.into_iter().for_each(|heard| merged.kept.take(heard, &from.kept));
        return;
    }
    for place in places {
        if let Some(heard) = same_interval(heard, &merged.partitions[place]) {
            take_at(merged, place, heard, from);
        }
    }
}

fn same_interval<'a>(partitions: &'a [Partition], one: &Partition) -> Option<&'a Partition> {
    let place = partitions.binary_search_by(|other| other.start.cmp(&one.start)).ok()?;
    Some(&partitions[place]).filter(|other| other.id == one.id && other.end == one.end)
}

/// Whether two lists of a keyspace's partitions divide it alike.
pub(super) fn same_division(one: &[Partition], other: &[Partition]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            (one.id, &one.start, &one.end) == (other.id, &other.start, &other.end)
        })
}

/// Whether the first of two divisions of a keyspace is another one, and the later.
fn later_division(one: &[Partition], other: &[Partition]) -> bool {
    let order = |partitions: &[Partition]| {
        let ids: Vec<_> = partitions.iter().map(|p| (p.id, p.start.clone())).collect();
        (partitions.iter().map(|p| p.id).max(), ids)
    };
    !same_division(one, other) && order(one) > order(other)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::{sample, sample_with_catalog};
    use super::super::{Cluster, Keyspace, Member, Ports, REMOVED};
    use super::*;
    use crate::ids::NodeId;
    use crate::v1;
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

    /// The map as a newer program would send it: with entries of a kind that this one does
    /// not know, and a field in every cluster.
    pub(crate) fn of_a_newer_program(map: &PartitionMap, version: u64) -> PartitionMap {
        let mut wire = map.to_wire();
        wire.others.push(v1::MapEntry {
            kind: 200,
            key: "placement".into(),
            version,
            content: format!("spread {version}").into(),
        });
        for cluster in &mut wire.clusters {
            // Field 15, of bytes.
            *cluster = [&cluster[..], &[0x7a, 1, version as u8]].concat().into();
        }
        PartitionMap::from_wire(&wire).unwrap()
    }

    /// Maps of one database as its nodes might hold them: some know a keyspace that
    /// others do not, or know that it is deleted or gone; some have heard newer programs.
    pub(crate) fn maps() -> impl Strategy<Value = PartitionMap> {
        let newer = prop::option::of(1..4_u64);
        let removed = prop::collection::btree_set(5..9_u64, 0..3);
        (known_maps(), newer, removed).prop_map(|(map, newer, removed)| {
            let mut map = newer.map_or_else(|| map.clone(), |v| of_a_newer_program(&map, v));
            for id in removed {
                map.remove_keyspace(KeyspaceId::new(id)).unwrap();
            }
            map.validate_whole().unwrap();
            map
        })
    }

    fn known_maps() -> impl Strategy<Value = PartitionMap> {
        let nodes = prop::collection::btree_map(0..4_u64, 1..4_u64, 0..4);
        let clusters = prop::collection::btree_map(0..3_u64, (1..4_u64, 0..3_u32), 0..3);
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

    #[test]
    fn what_a_newer_program_has_put_into_a_map_is_kept_and_passed_on() {
        let map = sample_with_catalog(2);
        let newer = of_a_newer_program(&map, 3);
        let passed_on = merged(&map, &newer).to_wire();
        assert_eq!(passed_on.others, newer.to_wire().others);
        assert_eq!(passed_on.clusters, newer.to_wire().clusters);
        assert!(passed_on.clusters[0].ends_with(&[0x7a, 1, 3]), "{passed_on:?}");
    }

    #[test]
    fn unknown_fields_go_with_the_entry_that_they_were_part_of() {
        let map = sample_with_catalog(1);
        let newer = of_a_newer_program(&map, 3);
        let mut changed = map.clone();
        changed.clusters[0] = Cluster { nodes: 5, version: 9, ..changed.clusters[0].clone() };
        let merged = merged(&newer, &changed);
        assert_eq!(merged.to_wire().clusters, changed.to_wire().clusters);
        let wire = merged.to_wire();
        assert_eq!(PartitionMap::from_wire(&wire), Ok(merged));
    }

    #[test]
    fn of_an_entry_of_an_unknown_kind_the_greater_version_wins() {
        let map = sample_with_catalog(1);
        let (old, new) = (of_a_newer_program(&map, 2), of_a_newer_program(&map, 3));
        for merged in [merged(&old, &new), merged(&new, &old)] {
            assert_eq!(merged.to_wire().others, new.to_wire().others);
        }
    }

    #[test]
    fn a_keyspace_that_was_removed_never_comes_back() {
        let (mut known, mut heard) = (sample_with_catalog(1), sample_with_catalog(1));
        known.remove_keyspace(KeyspaceId::new(7)).unwrap();
        heard.keyspaces.push(keyspace(7, 1_000_000, false));
        let of_it =
            Partition { id: 9, keyspace: KeyspaceId::new(7), ..heard.partitions[1].clone() };
        heard.partitions.push(of_it);
        for merged in [merged(&known, &heard), merged(&heard, &known)] {
            assert_eq!(merged.keyspaces.len(), 2);
            assert_eq!(merged.partitions.len(), 2);
        }
    }

    #[test]
    fn a_departed_cluster_comes_back_only_by_a_later_declaration() {
        let map = |nodes, version| {
            let mut map = sample_with_catalog(1);
            map.clusters = vec![Cluster { name: "b".into(), nodes, version }];
            map
        };
        let (before, departed, again) = (map(3, 4), map(0, 5), map(3, 6));
        for merged in [merged(&before, &departed), merged(&departed, &before)] {
            assert_eq!(merged.cluster("b"), None);
            assert_eq!(merged.declared().count(), 0);
        }
        assert_eq!(merged(&departed, &again).cluster("b").map(|b| b.nodes), Some(3));
    }
}
