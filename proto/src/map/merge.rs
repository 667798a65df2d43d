//! Merging the maps of two places: the result depends on what they hold, never
//! on who asked whom, or in which order.

use super::{Node, Partition, PartitionMap};
use prost::Message;
use std::borrow::Cow;
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64;

impl PartitionMap {
    /// What this map becomes when `heard`, a map of the same database, is taken
    /// in; `None` if it stays as it is.
    ///
    /// Per partition the higher generation wins, for its group is right about
    /// itself; per node the greater version. So merging is commutative,
    /// associative and idempotent, and maps that are passed on in any order end
    /// up equal. The epoch decides nothing: it only rises above every different
    /// map that was seen, so that watchers wake up.
    ///
    /// Maps that divide the keys differently have no common partitions to
    /// compare: of those the one with the greater epoch is taken whole.
    #[must_use]
    pub fn merge(&self, heard: &PartitionMap) -> Option<PartitionMap> {
        if !self.divides_alike(heard) {
            let newer = (heard.epoch, heard.digest()) > (self.epoch, self.digest());
            return newer.then(|| heard.clone());
        }
        // Most maps are heard in vain: only news is worth a copy.
        let mut merged = Cow::Borrowed(self);
        for (place, heard) in heard.partitions.iter().enumerate() {
            if newer_descriptor(heard, &merged.partitions[place]) == Ordering::Greater {
                merged.to_mut().partitions[place].clone_from(heard);
            }
        }
        for node in &heard.nodes {
            match merged.nodes.iter().position(|known| known.id == node.id) {
                Some(place) if newer_entry(node, &merged.nodes[place]) == Ordering::Greater => {
                    merged.to_mut().nodes[place].clone_from(node);
                }
                Some(_) => {}
                None => merged.to_mut().nodes.push(node.clone()),
            }
        }
        let epoch = epoch(&merged, self, heard);
        (epoch > self.epoch).then(|| PartitionMap { epoch, ..merged.into_owned() })
    }

    /// xxh3-64 of the map, whatever the order of its nodes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut canonical = self.to_wire();
        canonical.nodes.sort_by(|one, other| one.id.cmp(&other.id));
        xxh3_64(&canonical.encode_to_vec())
    }

    fn divides_alike(&self, other: &PartitionMap) -> bool {
        self.partitions.len() == other.partitions.len()
            && self.partitions.iter().zip(&other.partitions).all(|(one, other)| {
                (one.id, &one.start, &one.end) == (other.id, &other.start, &other.end)
            })
    }

    fn says_the_same(&self, other: &PartitionMap) -> bool {
        self.partitions == other.partitions
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().all(|node| other.node(node.id) == Some(node))
    }
}

/// Greater than that of any merged map that says something else.
fn epoch(merged: &PartitionMap, one: &PartitionMap, other: &PartitionMap) -> u64 {
    let least = |map: &PartitionMap| map.epoch + u64::from(!map.says_the_same(merged));
    least(one).max(least(other))
}

/// A group commits one descriptor per generation; the bytes only keep the order
/// total.
fn newer_descriptor(one: &Partition, other: &Partition) -> Ordering {
    let generations = one.generation.cmp(&other.generation);
    generations.then_with(|| {
        if one == other {
            return Ordering::Equal;
        }
        one.to_wire().encode_to_vec().cmp(&other.to_wire().encode_to_vec())
    })
}

/// Two operators may give one node two addresses under one version: then either
/// may win, but everywhere the same.
fn newer_entry(one: &Node, other: &Node) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let key = |node: &Node| (node.version, node.to_wire().encode_to_vec());
    key(one).cmp(&key(other))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::super::{Member, Ports, REMOVED};
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

    /// Maps of one database as its nodes might hold them.
    fn maps() -> impl Strategy<Value = PartitionMap> {
        let nodes = prop::collection::btree_map(0..4_u64, 1..4_u64, 0..4);
        let generations = prop::collection::vec((1..4_u64, 0..2_u64), 3);
        (1..5_u64, nodes, generations).prop_map(|(epoch, nodes, generations)| {
            let mut map = sample(3);
            map.epoch = epoch;
            map.nodes.extend(nodes.into_iter().map(|(id, version)| entry(id, version)));
            for (partition, (generation, replica)) in map.partitions.iter_mut().zip(generations) {
                partition.generation = generation;
                let node = partition.voters[0].node;
                partition.voters = vec![Member { node, replica: replica + 1 }];
            }
            map
        })
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
    fn of_maps_that_divide_the_keys_differently_the_greater_epoch_is_taken_whole() {
        let (known, mut heard) = (sample(2), sample(4));
        heard.epoch = 2;
        assert_eq!(known.merge(&heard), Some(heard.clone()));
        assert_eq!(heard.merge(&known), None);
    }
}
