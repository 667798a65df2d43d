//! What everything else relies on in a map.

use super::{Keyspace, KeyspaceId, Partition, PartitionMap};
use crate::error::Fault;
use crate::ids::NodeId;
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeSet;

impl PartitionMap {
    /// Checks that every list is sorted and names nothing twice, that the partitions
    /// of each keyspace cover its routing space without a gap, and that whatever a
    /// partition names is listed.
    ///
    /// # Errors
    /// The first thing that is wrong, in a sentence.
    pub fn validate(&self) -> Result<(), Fault> {
        let count = self.partitions.len() as u64;
        if count > limits::DATABASE_PARTITIONS {
            let most = limits::DATABASE_PARTITIONS;
            return invalid(format!("the map has {count} partitions; it may have {most}"));
        }
        self.check_keyspaces()?;
        self.check_clusters()?;
        let mut nodes = BTreeSet::new();
        for node in &self.nodes {
            if !nodes.insert(node.id) {
                return invalid(format!("the map lists node {} twice", node.id));
            }
        }
        self.check_partitions(&nodes)
    }

    /// Checks what the map of a whole database has besides: the catalog, in
    /// partition 1, and the keyspace `default`.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn validate_whole(&self) -> Result<(), Fault> {
        self.validate()?;
        for (id, name) in [(KeyspaceId::SYSTEM, "system"), (KeyspaceId::DEFAULT, "default")] {
            if self.keyspace(id).is_none_or(|keyspace| keyspace.name != name) {
                return invalid(format!("the map does not list keyspace {name:?} with id {id}"));
            }
        }
        match self.partitions_in(KeyspaceId::SYSTEM) {
            [only] if only.id == Keyspace::SYSTEM_PARTITION => Ok(()),
            _ => invalid("keyspace \"system\" must have one partition, with id 1".to_owned()),
        }
    }

    fn check_keyspaces(&self) -> Result<(), Fault> {
        if !self.keyspaces.is_sorted_by(|one, next| one.id < next.id) {
            return invalid("the map's keyspaces are not sorted by id, each once".to_owned());
        }
        let mut names = BTreeSet::new();
        for keyspace in &self.keyspaces {
            let name = &keyspace.name;
            if name.is_empty() || (!keyspace.deleted && !names.insert(name)) {
                return invalid(format!("a keyspace has no name, or the name {name:?} twice"));
            }
            if self.removed_keyspaces.contains(keyspace.id) {
                let id = keyspace.id;
                return invalid(format!("keyspace {name:?} is listed, though id {id} was removed"));
            }
            if self.partitions_in(keyspace.id).is_empty() {
                return invalid(format!("keyspace {name:?} has no partition"));
            }
        }
        for Partition { id, keyspace, .. } in &self.partitions {
            if self.keyspace(*keyspace).is_none() {
                return invalid(format!(
                    "partition {id} is of keyspace {keyspace}, which the map does not list"
                ));
            }
        }
        Ok(())
    }

    fn check_clusters(&self) -> Result<(), Fault> {
        if !self.clusters.is_sorted_by(|one, next| one.name < next.name) {
            return invalid("the map's clusters are not sorted by name, each once".to_owned());
        }
        if self.clusters.iter().any(|cluster| cluster.name.is_empty()) {
            return invalid("a cluster has no name".to_owned());
        }
        Ok(())
    }

    fn check_partitions(&self, nodes: &BTreeSet<NodeId>) -> Result<(), Fault> {
        let mut ids = BTreeSet::new();
        let mut expected = Bytes::new();
        for (position, partition) in self.partitions.iter().enumerate() {
            let (id, keyspace) = (partition.id, partition.keyspace);
            if id == 0 || !ids.insert(id) {
                return invalid(format!("partition id {id} is zero or listed twice"));
            }
            if partition.start != expected {
                return invalid(format!(
                    "partition {id} does not start where the one before it ends"
                ));
            }
            let next = self.partitions.get(position + 1);
            let last = next.is_none_or(|next| next.keyspace != keyspace);
            if next.is_some_and(|next| next.keyspace < keyspace) {
                return invalid(format!(
                    "partition {id} is not sorted by keyspace among the map's partitions"
                ));
            }
            if partition.end.is_empty() != last || (!last && partition.end <= partition.start) {
                return invalid(format!("partition {id} ends before it starts, or too early"));
            }
            expected = partition.end.clone();
            if partition.voters.is_empty() {
                return invalid(format!("partition {id} has no voters"));
            }
            check_members(partition, nodes)?;
        }
        Ok(())
    }
}

/// A node has one replica of a partition. While members change, an incoming
/// voter may be an outgoing one as well: then it is the same replica.
fn check_members(partition: &Partition, nodes: &BTreeSet<NodeId>) -> Result<(), Fault> {
    let id = partition.id;
    if let Some(member) = partition.members().find(|member| !nodes.contains(&member.node)) {
        let node = member.node;
        return invalid(format!("partition {id} names node {node}, which the map does not list"));
    }
    let mut listed = BTreeSet::new();
    for member in partition.voters.iter().chain(&partition.learners) {
        if !listed.insert(member.node) {
            return invalid(format!("partition {id} lists node {} twice", member.node));
        }
    }
    for member in &partition.outgoing {
        let other = partition.members().any(|m| m.node == member.node && m != *member);
        if other || partition.outgoing.iter().filter(|m| m.node == member.node).count() > 1 {
            return invalid(format!("partition {id} lists node {} twice", member.node));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Result<(), Fault> {
    Err(Fault::invalid(message))
}

#[cfg(test)]
mod tests {
    use super::super::Cluster;
    use super::super::testing::{sample, sample_with_catalog};
    use super::*;

    fn refusal(map: &PartitionMap) -> String {
        map.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_gap_between_partitions_is_refused() {
        let mut map = sample(4);
        map.partitions.remove(2);
        assert!(refusal(&map).contains("partition 4 does not start"));
    }

    #[test]
    fn each_keyspace_is_covered_by_partitions_of_its_own() {
        let mut map = sample_with_catalog(2);
        map.validate_whole().unwrap();
        map.partitions.remove(1);
        assert!(refusal(&map).contains("partition 3 does not start"), "of default, not of system");
        map.partitions.remove(1);
        assert!(refusal(&map).contains("\"default\" has no partition"));
    }

    #[test]
    fn a_partition_of_a_keyspace_that_is_not_listed_is_refused() {
        let mut map = sample_with_catalog(2);
        map.partitions[2].keyspace = KeyspaceId::new(7);
        assert!(refusal(&map).contains("keyspace 7, which the map does not list"));
    }

    #[test]
    fn a_name_belongs_to_one_keyspace_at_a_time() {
        let mut map = sample_with_catalog(2);
        map.keyspaces[1].name = "system".into();
        assert!(refusal(&map).contains("\"system\" twice"));
    }

    #[test]
    fn the_map_of_a_whole_database_has_the_catalog_in_partition_1() {
        let without = sample(2);
        without.validate().unwrap();
        let error = without.validate_whole().unwrap_err().to_string();
        assert!(error.contains("\"system\" with id 0"), "{error}");
        let mut elsewhere = sample_with_catalog(2);
        elsewhere.partitions[0].id = 9;
        let error = elsewhere.validate_whole().unwrap_err().to_string();
        assert!(error.contains("one partition, with id 1"), "{error}");
    }

    #[test]
    fn a_cluster_is_declared_once_and_with_a_name() {
        let mut map = sample(1);
        map.clusters = vec![Cluster { name: String::new(), nodes: 3, version: 1 }];
        assert!(refusal(&map).contains("has no name"));
        map.clusters = vec![Cluster { name: "a".into(), nodes: 3, version: 1 }; 2];
        assert!(refusal(&map).contains("sorted by name, each once"));
    }

    #[test]
    fn a_member_on_an_unlisted_node_is_refused() {
        let mut map = sample(1);
        map.partitions[0].voters[0].node = NodeId::from_bits(7);
        assert!(refusal(&map).contains("000000000007"));
    }
}
