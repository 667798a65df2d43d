//! Merging maps of several nodes: per descriptor, the higher generation wins.

use doug_proto::map::{Partition, PartitionMap};

/// What `known` becomes when `heard` is taken in; `None` if nothing changes.
///
/// Addresses come from the map with the greater epoch; each descriptor from the
/// map with its higher generation, because a partition's group is right about
/// itself. Where the partitions differ in number (one side has seen a split),
/// descriptors of both would overlap, and the map with the greater epoch is
/// taken whole.
pub fn merge(known: &PartitionMap, heard: &PartitionMap) -> Option<PartitionMap> {
    let (newer, older) = if heard.epoch > known.epoch { (heard, known) } else { (known, heard) };
    let mut merged = newer.clone();
    for partition in &mut merged.partitions {
        if let Some(other) = older.partition(partition.id)
            && other.generation > partition.generation
        {
            *partition = other.clone();
        }
    }
    add_missing_nodes(&mut merged, older);
    if merged.validate().is_err() {
        merged = newer.clone();
    }
    if merged == *known {
        return None;
    }
    // A mixture is neither of the two maps, so it needs an epoch of its own.
    if merged != *newer {
        merged.epoch = newer.epoch + 1;
    }
    Some(merged)
}

/// A descriptor taken from the older map may name nodes the newer one lost.
fn add_missing_nodes(merged: &mut PartitionMap, older: &PartitionMap) {
    let named = |p: &Partition| p.voters.iter().chain(&p.learners).map(|m| m.node).collect();
    let needed: Vec<Vec<_>> = merged.partitions.iter().map(named).collect();
    for id in needed.into_iter().flatten() {
        if merged.node(id).is_none()
            && let Some(node) = older.node(id)
        {
            merged.nodes.push(node.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::map;

    #[test]
    fn each_descriptor_comes_from_the_map_with_its_higher_generation() {
        let (mut known, mut heard) = (map(2, 5), map(2, 4));
        known.partitions[0].generation = 3;
        heard.partitions[1].generation = 7;
        let merged = merge(&known, &heard).unwrap();
        assert_eq!((merged.partitions[0].generation, merged.partitions[1].generation), (3, 7));
        assert_eq!(merged.epoch, 6);
    }

    #[test]
    fn the_same_or_an_older_map_changes_nothing() {
        let known = map(2, 5);
        assert_eq!(merge(&known, &known), None);
        assert_eq!(merge(&known, &map(2, 4)), None);
    }

    #[test]
    fn addresses_come_from_the_greater_epoch() {
        let (known, mut heard) = (map(2, 5), map(2, 6));
        heard.nodes[0].address = "moved.example.com".into();
        let merged = merge(&known, &heard).unwrap();
        assert_eq!(merged.nodes[0].address, "moved.example.com");
        assert_eq!(merged.epoch, 6);
    }
}
