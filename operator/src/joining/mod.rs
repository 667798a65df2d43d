//! New clusters and nodes become part of the database that exists: first the map
//! lists them, then they are told what they belong to. Which partitions they get is
//! decided elsewhere. Pure.

use crate::dereference::Observed;
use crate::groups::Group;
use crate::resizing;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Node, Ports};

/// What is to be done; nothing of it, where all nodes are members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joining {
    /// Entries that the map lacks, or has otherwise.
    pub entries: Vec<Node>,
    /// Clusters that the map lacks, or has with another number of nodes.
    pub clusters: Vec<Cluster>,
    /// Empty nodes that the map lists.
    pub empty: Vec<(Place, NodeId)>,
    /// Nodes with volumes that were removed from the database for good.
    pub barred: Vec<Place>,
}

/// Decides. A node is told only once the map lists it: the first that it does as
/// a member is to talk to the others.
pub fn next(
    database: &Database,
    map: &PartitionMap,
    groups: &[Group],
    observed: &Observed,
) -> Joining {
    let mut joining = Joining { clusters: clusters(database, map, groups), ..Joining::default() };
    for place in database.places() {
        let Some(answer) = observed.answers.get(&place) else { continue };
        let Some(id) = answer.node() else { continue };
        let entry = entry(database, &place, id, map.epoch + 1);
        match map.node(id) {
            Some(known) if known.is_removed() => joining.barred.push(place),
            Some(known) if known.cluster != entry.cluster => {}
            Some(known) if (&known.name, &known.address) == (&entry.name, &entry.address) => {
                if answer.database.is_empty() {
                    joining.empty.push((place, id));
                }
            }
            _ => joining.entries.push(entry),
        }
    }
    joining
}

fn clusters(database: &Database, map: &PartitionMap, groups: &[Group]) -> Vec<Cluster> {
    let declared = database.spec.clusters.iter();
    let declared = declared.filter(|cluster| resizing::may_say(map, groups, cluster));
    let declared = declared.map(|cluster| Cluster {
        name: cluster.name.clone(),
        nodes: cluster.nodes,
        version: map.epoch + 1,
    });
    let is_known = |cluster: &Cluster| {
        map.cluster(&cluster.name).is_some_and(|known| known.nodes == cluster.nodes)
    };
    declared.filter(|cluster| !is_known(cluster)).collect()
}

fn entry(database: &Database, place: &Place, id: NodeId, version: u64) -> Node {
    Node {
        id,
        name: place.name(),
        cluster: place.cluster.clone(),
        address: database.address(place),
        ports: Ports::default(),
        version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::two_clusters::{Scene, node, place};

    fn joining(scene: &Scene) -> Joining {
        next(&scene.database, &scene.map, &scene.groups(), &scene.observed)
    }

    #[test]
    fn members_are_left_alone() {
        assert_eq!(joining(&Scene::new()), Joining::default());
    }

    #[test]
    fn nodes_of_a_new_cluster_are_listed_before_they_are_told() {
        let mut scene = Scene::new();
        scene.declare("c");
        scene.start_empty("c");
        let found = joining(&scene);
        let names: Vec<&str> = found.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["c-0", "c-1", "c-2"]);
        assert_eq!(found.entries[0].address, "orders-c-0.orders-c.shop.svc");
        assert_eq!(found.entries[0].version, scene.map.epoch + 1);
        let clusters: Vec<_> = found.clusters.iter().map(|c| (c.name.as_str(), c.nodes)).collect();
        assert_eq!(clusters, [("c", 3)], "the catalog knows how many it is to have");
        assert!(found.empty.is_empty());

        scene.map.nodes.extend(found.entries);
        scene.map.clusters.extend(found.clusters);
        let found = joining(&scene);
        assert!(found.entries.is_empty() && found.clusters.is_empty());
        let told: Vec<NodeId> = found.empty.iter().map(|(_, id)| *id).collect();
        assert_eq!(told, [0, 1, 2].map(|ordinal| node("c", ordinal)));
    }

    #[test]
    fn a_node_that_lost_its_volume_joins_under_its_new_id() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        let found = joining(&scene);
        let listed: Vec<_> = found.entries.iter().map(|e| (e.name.as_str(), e.id)).collect();
        assert_eq!(listed, [("a-2", Scene::successor("a", 2))]);
    }

    #[test]
    fn an_address_that_has_changed_is_told() {
        let mut scene = Scene::new();
        scene.map.nodes[1].address = "elsewhere".into();
        let found = joining(&scene);
        assert_eq!(found.entries.len(), 1);
        assert_eq!(found.entries[0].id, node("a", 1));
    }

    #[test]
    fn a_volume_that_was_removed_for_good_stays_out() {
        let mut scene = Scene::new();
        scene.map.nodes[1].version = doug_proto::map::REMOVED;
        let found = joining(&scene);
        assert_eq!(found, Joining { barred: vec![place("a", 1)], ..Joining::default() });
    }

    #[test]
    fn a_silent_node_waits() {
        let mut scene = Scene::new();
        scene.declare("c");
        let found = joining(&scene);
        assert!(found.entries.is_empty() && found.empty.is_empty());
    }
}
