//! What a node makes of the maps and descriptors it hears. Pure: the caller stores
//! what comes out before it acts on it.

use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Node, Partition, PartitionMap, REMOVED, Summary};
use doug_proto::v1;
use std::collections::BTreeMap;

/// A map that takes the place of the one known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapUpdate {
    /// The map.
    pub map: PartitionMap,
    /// Whether it says what no other node has told: then the others must hear it.
    pub news: bool,
}

impl MapUpdate {
    /// The map with a node marked as removed for good, unless it is already. A cluster departs
    /// with its last node, if it holds no partition and is to get none.
    pub fn without_node(known: &PartitionMap, id: NodeId) -> Option<Self> {
        let mut map = known.clone();
        map.epoch += 1;
        let entry = map.nodes.iter_mut().find(|node| node.id == id && !node.is_removed())?;
        entry.version = REMOVED;
        let name = entry.cluster.clone();
        if !is_in_use(&map, &name)
            && let Some(cluster) = map.clusters.iter_mut().find(|c| c.name == name)
            && !cluster.has_departed()
        {
            cluster.nodes = 0;
            cluster.version = map.epoch.max(cluster.version + 1);
        }
        Some(Self { map, news: true })
    }
}

fn is_in_use(map: &PartitionMap, cluster: &str) -> bool {
    map.present().any(|node| node.cluster == cluster)
        || map.partitions.iter().any(|partition| {
            let goal = partition.goal.as_ref();
            partition.cluster == cluster || goal.is_some_and(|goal| goal.cluster == cluster)
        })
}

/// Descriptors that name nodes the map does not list yet. The leader that took
/// them in knew the nodes, so their entries are on the way.
#[derive(Debug, Default)]
pub struct HeldDescriptors(BTreeMap<u64, Partition>);

impl HeldDescriptors {
    /// Takes in another node's map.
    ///
    /// # Errors
    /// A map of another database, in a sentence.
    pub fn merge(
        &mut self,
        known: &PartitionMap,
        heard: &PartitionMap,
    ) -> Result<Option<MapUpdate>, String> {
        if known.database != heard.database {
            return Err(format!(
                "this node belongs to database {}, not to {}",
                known.database, heard.database
            ));
        }
        let Some(merged) = known.merge(heard) else { return Ok(None) };
        let map = self.insert_into(merged);
        // Whoever told it tells everybody; only a mixture is news to others.
        let news = map != *heard;
        Ok(Some(MapUpdate { map, news }))
    }

    /// Takes in entries of another node's map, whose summary is `theirs`.
    ///
    /// # Errors
    /// Entries of another database, or ones that mean nothing without others, in a
    /// sentence.
    pub fn merge_changes(
        &mut self,
        known: &PartitionMap,
        changes: &v1::PartitionMap,
        theirs: &Summary,
    ) -> Result<Option<MapUpdate>, String> {
        if changes.database != known.database.to_string() {
            return Err(format!(
                "this node belongs to database {}, not to {}",
                known.database, changes.database
            ));
        }
        let merged = known.merge_changes(changes, theirs).map_err(|fault| fault.message)?;
        let Some(merged) = merged else { return Ok(None) };
        let map = self.insert_into(merged);
        // Whoever told it tells everybody; only a mixture is news to others.
        let news = map.summary() != *theirs;
        Ok(Some(MapUpdate { map, news }))
    }

    /// Takes in a descriptor that its group has committed, so it stands by it.
    pub fn publish(&mut self, known: &PartitionMap, descriptor: &Partition) -> Option<MapUpdate> {
        let (id, generation) = (descriptor.id, descriptor.generation);
        let newer = |other: &Partition| other.generation >= generation;
        if known.partition(id).is_some_and(newer) || self.0.get(&id).is_some_and(newer) {
            return None;
        }
        self.0.insert(id, descriptor.clone());
        let map = self.insert_into(known.clone());
        (map != *known).then_some(MapUpdate { map, news: true })
    }

    /// Takes over entries of nodes and clusters that were set at a smaller epoch.
    pub fn set_entries(
        &mut self,
        known: &PartitionMap,
        epoch: u64,
        nodes: Vec<Node>,
        clusters: Vec<Cluster>,
    ) -> Option<MapUpdate> {
        let mut changed = known.clone();
        for node in nodes {
            let node = Node { version: epoch, ..node };
            match changed.nodes.iter_mut().find(|known| known.id == node.id) {
                Some(known) if known.version < epoch => *known = node,
                Some(_) => {}
                None => changed.nodes.push(node),
            }
        }
        for cluster in clusters {
            let cluster = Cluster { version: epoch, ..cluster };
            match changed.clusters.binary_search_by(|known| known.name.cmp(&cluster.name)) {
                Ok(place) if changed.clusters[place].version < epoch => {
                    changed.clusters[place] = cluster;
                }
                Ok(_) => {}
                Err(place) => changed.clusters.insert(place, cluster),
            }
        }
        if changed == *known {
            return None;
        }
        changed.epoch = epoch.max(known.epoch + 1);
        Some(MapUpdate { map: self.insert_into(changed), news: true })
    }

    /// The map with those held descriptors that fit into it now.
    fn insert_into(&mut self, mut map: PartitionMap) -> PartitionMap {
        self.0.retain(|id, descriptor| {
            let Some(known) = map.partitions.iter_mut().find(|known| known.id == *id) else {
                return false;
            };
            if known.generation >= descriptor.generation {
                return false;
            }
            let before = std::mem::replace(known, descriptor.clone());
            let listed = descriptor.members().all(|member| map.node(member.node).is_some());
            if listed {
                map.epoch += 1;
            } else if let Some(known) = map.partitions.iter_mut().find(|known| known.id == *id) {
                *known = before;
            }
            !listed
        });
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_proto::ids::DatabaseId;
    use doug_proto::map::{Keyspace, KeyspaceId, Member, Ports};

    fn entry(node: u64) -> Node {
        Node {
            id: NodeId::from_bits(node),
            name: format!("a-{node}"),
            cluster: "a".into(),
            address: "host".into(),
            ports: Ports::default(),
            version: 1,
        }
    }

    fn descriptor(generation: u64, node: u64) -> Partition {
        Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
            start: Bytes::new(),
            end: Bytes::new(),
            generation,
            cluster: "a".into(),
            voters: vec![Member { node: NodeId::from_bits(node), replica: node }],
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        }
    }

    fn map() -> PartitionMap {
        PartitionMap {
            epoch: 1,
            keyspaces: vec![Keyspace::default_by_hash()],
            clusters: Vec::new(),
            nodes: vec![entry(1)],
            partitions: vec![descriptor(1, 1)],
            ..PartitionMap::empty(DatabaseId::from_bits(1))
        }
    }

    #[test]
    fn a_descriptor_waits_until_the_map_lists_its_nodes() {
        let mut held = HeldDescriptors::default();
        assert_eq!(held.publish(&map(), &descriptor(2, 7)), None);
        let heard = PartitionMap { nodes: vec![entry(1), entry(7)], epoch: 2, ..map() };
        let update = held.merge(&map(), &heard).unwrap().unwrap();
        assert_eq!(update.map.partitions, [descriptor(2, 7)]);
        assert!(update.news, "nobody else has told it");
    }

    #[test]
    fn an_older_descriptor_never_takes_the_place_of_a_newer_one_that_waits() {
        let mut held = HeldDescriptors::default();
        held.publish(&map(), &descriptor(3, 7));
        assert_eq!(held.publish(&map(), &descriptor(2, 7)), None);
        let update = held.set_entries(&map(), 5, vec![entry(7)], vec![]).unwrap();
        assert_eq!(update.map.partitions, [descriptor(3, 7)]);
    }

    #[test]
    fn a_cluster_is_declared_again_only_at_a_greater_epoch() {
        let (mut held, map) = (HeldDescriptors::default(), map());
        let declared = |nodes| vec![Cluster { name: "b".into(), nodes, version: 0 }];
        let three = held.set_entries(&map, 5, vec![], declared(3)).unwrap().map;
        assert_eq!(three.clusters, [Cluster { name: "b".into(), nodes: 3, version: 5 }]);
        assert_eq!(held.set_entries(&three, 5, vec![], declared(7)), None);
        let five = held.set_entries(&three, 6, vec![], declared(5)).unwrap().map;
        assert_eq!((five.clusters[0].nodes, five.epoch), (5, 6));
    }

    #[test]
    fn a_cluster_departs_with_its_last_node_and_may_be_declared_again() {
        let of_b = |id| Node { cluster: "b".into(), ..entry(id) };
        let mut held = HeldDescriptors::default();
        let declared = vec![Cluster { name: "b".into(), nodes: 3, version: 0 }];
        let nodes = vec![of_b(7), of_b(8)];
        let with_b = held.set_entries(&map(), 5, nodes, declared.clone()).unwrap().map;
        let without = |map, id| MapUpdate::without_node(map, NodeId::from_bits(id)).unwrap().map;
        let one_left = without(&with_b, 7);
        assert!(one_left.cluster("b").is_some(), "a node of it is left");
        let departed = without(&one_left, 8);
        assert_eq!(departed.cluster("b"), None);
        assert_eq!(with_b.merge(&departed).unwrap().cluster("b"), None, "it stays away");
        let epoch = departed.epoch + 1;
        let again = held.set_entries(&departed, epoch, vec![], declared).unwrap().map;
        assert_eq!(again.cluster("b").map(|b| b.nodes), Some(3));
    }

    #[test]
    fn a_cluster_that_holds_a_partition_does_not_depart_with_its_last_node() {
        let declared = vec![Cluster { name: "a".into(), nodes: 1, version: 0 }];
        let known = HeldDescriptors::default().set_entries(&map(), 5, vec![], declared);
        let without = MapUpdate::without_node(&known.unwrap().map, NodeId::from_bits(1));
        assert!(without.unwrap().map.cluster("a").is_some());
    }

    #[test]
    fn a_map_taken_over_as_it_was_told_is_no_news() {
        let heard = PartitionMap { partitions: vec![descriptor(2, 1)], epoch: 2, ..map() };
        let update = HeldDescriptors::default().merge(&map(), &heard).unwrap().unwrap();
        assert!(!update.news);
    }
}
