//! Nodes that are gone for good leave the map. Pure.
//!
//! For ever: an id that was removed never comes back. So only the ids on volumes that
//! were replaced go, and those of clusters whose volumes went with them; a cluster whose
//! volumes stay may be declared again.

use crate::dereference::Observed;
use crate::groups::Group;
use crate::resizing;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_crds::WhenDeleted;
use doug_proto::ids::NodeId;
use doug_proto::map::Node;
use std::collections::BTreeSet;

/// Nodes to take out of the map.
pub fn next(
    database: &Database,
    map: &PartitionMap,
    groups: &[Group],
    observed: &Observed,
) -> Vec<NodeId> {
    let gone = |node: &&Node| {
        let id = BTreeSet::from([node.id]);
        groups.iter().all(|group| group.leader.is_some() && group.is_done_with(&id))
            && (is_replaced(node, database, map, observed)
                || went_with_its_cluster(node, database, observed)
                || went_as_its_cluster_shrank(node, database, observed))
    };
    map.present().filter(gone).map(|node| node.id).collect()
}

/// Whether its place has another volume, which has become a member.
fn is_replaced(node: &Node, database: &Database, map: &PartitionMap, observed: &Observed) -> bool {
    let mut places = database.places();
    let place = places.find(|place| place.name() == node.name && place.cluster == node.cluster);
    let answer = place.and_then(|place| observed.answers.get(&place));
    let now = answer.and_then(|answer| answer.node());
    now.is_some_and(|now| now != node.id && map.node(now).is_some())
}

fn went_with_its_cluster(node: &Node, database: &Database, observed: &Observed) -> bool {
    database.spec.node.storage.when_deleted == WhenDeleted::Delete
        && !database.spec.clusters.iter().any(|cluster| cluster.name == node.cluster)
        && !observed.leaving_clusters(database).contains(&node.cluster)
}

/// First its claim goes: an id that the map has removed bars the volume that has it, should the
/// node be declared again.
fn went_as_its_cluster_shrank(node: &Node, database: &Database, observed: &Observed) -> bool {
    let deletes = database.spec.node.storage.when_deleted == WhenDeleted::Delete;
    let cluster = database.spec.clusters.iter().find(|cluster| cluster.name == node.cluster);
    let (true, Some(cluster), Some(ordinal)) = (deletes, cluster, resizing::ordinal(node)) else {
        return false;
    };
    let place = Place { cluster: node.cluster.clone(), ordinal };
    let runs = resizing::replicas(database, observed, &node.cluster);
    ordinal >= cluster.nodes
        && runs.is_some_and(|runs| runs <= ordinal)
        && observed.pod(database, &place).is_none()
        && !observed.claims.contains_key(&database.claim_name(&place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::two_clusters::{Scene, node};

    fn forgotten(scene: &Scene) -> Vec<NodeId> {
        next(&scene.database, &scene.map, &scene.groups(), &scene.observed)
    }

    #[test]
    fn members_stay() {
        assert_eq!(forgotten(&Scene::new()), []);
    }

    #[test]
    fn the_id_of_a_lost_volume_goes_once_no_partition_has_a_member_on_it() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        for partition in [1, 3, 5] {
            assert_eq!(forgotten(&scene), []);
            scene.replace_in_goal(partition, "a", 2);
            scene.arrive(partition);
        }
        assert_eq!(forgotten(&scene), [node("a", 2)]);
        for entry in scene.map.nodes.iter_mut().filter(|entry| entry.id == node("a", 2)) {
            entry.version = doug_proto::map::REMOVED;
        }
        assert_eq!(forgotten(&scene), []);
    }

    #[test]
    fn nodes_of_a_removed_cluster_go_only_with_their_volumes() {
        let mut scene = Scene::new();
        scene.undeclare("b");
        for partition in [2, 4, 6] {
            scene.send(partition, "a");
            scene.arrive(partition);
        }
        scene.database.spec.node.storage.when_deleted = WhenDeleted::Delete;
        assert_eq!(forgotten(&scene), []);
        scene.observed.sets.remove("orders-b");
        assert_eq!(forgotten(&scene), [0, 1, 2].map(|ordinal| node("b", ordinal)));
        scene.database.spec.node.storage.when_deleted = WhenDeleted::Retain;
        assert_eq!(forgotten(&scene), []);
    }

    #[test]
    fn the_last_nodes_of_a_cluster_that_shrank_go_after_their_claims() {
        let mut scene = Scene::new();
        scene.scale("a", 4);
        scene.join("a", 3);
        scene.database.spec.node.storage.when_deleted = WhenDeleted::Delete;
        assert_eq!(forgotten(&scene), [], "its pod runs");
        scene.scale("a", 3);
        assert_eq!(forgotten(&scene), [], "declared again, it would come back");
        scene.observed.claims.remove("data-orders-a-3");
        assert_eq!(forgotten(&scene), [node("a", 3)]);
    }
}
