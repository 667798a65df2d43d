//! Clusters that are not declared any more. Their partitions go first, which the
//! placement sees to; then their objects, last of all the StatefulSet, by which
//! this operator knows of them. Pure.

use crate::dereference::Observed;
use crate::groups::Group;
use crate::validate::Database;
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use std::collections::BTreeSet;

/// What becomes of a cluster that is not declared any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The cluster.
    pub cluster: String,
    /// Partitions that it still holds, or that are on their way from it or to it.
    pub held: Vec<u64>,
    /// Why its objects stay although it holds none.
    pub why: Option<String>,
}

impl Departure {
    /// Whether its objects can go.
    pub fn is_drained(&self) -> bool {
        self.held.is_empty() && self.why.is_none()
    }
}

/// All of them, by name.
pub fn next(
    database: &Database,
    map: &PartitionMap,
    groups: &[Group],
    observed: &Observed,
) -> Vec<Departure> {
    let leaving = observed.leaving_clusters(database).into_iter();
    leaving.map(|cluster| departure(cluster, map, groups)).collect()
}

fn departure(cluster: String, map: &PartitionMap, groups: &[Group]) -> Departure {
    let entries = map.nodes.iter().filter(|node| node.cluster == cluster);
    let nodes: BTreeSet<NodeId> = entries.map(|node| node.id).collect();
    let holds = |group: &&Group| !group.is_done_with(&nodes) || group.destination() == cluster;
    let held: Vec<u64> = groups.iter().filter(holds).map(Group::id).collect();
    // Whoever leads knows the members best; without a leader, the map may be old.
    let leaderless = groups.iter().find(|group| group.leader.is_none());
    let why = leaderless
        .filter(|_| held.is_empty())
        .map(|group| format!("partition {} has no leader that could say where it is", group.id()));
    Departure { cluster, held, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::two_clusters::Scene;

    fn departures(scene: &Scene) -> Vec<Departure> {
        next(&scene.database, &scene.map, &scene.groups(), &scene.observed)
    }

    fn of_b(held: &[u64], why: Option<&str>) -> Vec<Departure> {
        let why = why.map(str::to_owned);
        vec![Departure { cluster: "b".into(), held: held.to_vec(), why }]
    }

    #[test]
    fn declared_clusters_stay() {
        assert_eq!(departures(&Scene::new()), []);
    }

    #[test]
    fn a_cluster_that_holds_partitions_is_kept() {
        let mut scene = Scene::new();
        scene.undeclare("b");
        assert_eq!(departures(&scene), of_b(&[2, 4, 6], None));
        scene.send(2, "a");
        assert_eq!(departures(&scene), of_b(&[2, 4, 6], None));
        scene.arrive(2);
        assert_eq!(departures(&scene), of_b(&[4, 6], None));
    }

    #[test]
    fn a_drained_cluster_goes() {
        let mut scene = Scene::new();
        scene.undeclare("b");
        for partition in [2, 4, 6] {
            scene.send(partition, "a");
            scene.arrive(partition);
        }
        assert!(departures(&scene)[0].is_drained());
    }

    #[test]
    fn nothing_goes_while_a_partition_has_no_leader_to_ask() {
        let mut scene = Scene::new();
        scene.undeclare("b");
        for partition in [2, 4, 6] {
            scene.send(partition, "a");
            scene.arrive(partition);
        }
        scene.leading(2).role = doug_client::v1::ReplicaRole::Follower.into();
        let why = "partition 2 has no leader that could say where it is";
        assert_eq!(departures(&scene), of_b(&[], Some(why)));
    }

    #[test]
    fn a_partition_that_is_sent_there_keeps_it() {
        let mut scene = Scene::new();
        scene.undeclare("b");
        for partition in [2, 4, 6] {
            scene.send(partition, "a");
            scene.arrive(partition);
        }
        scene.send(1, "b");
        assert_eq!(departures(&scene), of_b(&[1], None));
    }
}
