use super::*;
use crate::testing::two_clusters::{Scene, node};

fn placement(scene: &Scene) -> Placement {
    next(&scene.database, &scene.map, &scene.groups(), &scene.observed)
}

/// Partition and cluster of each move.
fn targets(placement: &Placement) -> Vec<(u64, &str)> {
    placement.moves.iter().map(|m| (m.partition, m.goal.cluster.as_str())).collect()
}

#[test]
fn what_is_balanced_rests() {
    assert_eq!(placement(&Scene::new()), Placement::default());
}

#[test]
fn a_new_cluster_takes_partitions_over_two_at_a_time() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_members("c");
    let found = placement(&scene);
    assert_eq!(targets(&found), [(5, "c"), (6, "c")]);
    let first = &found.moves[0];
    assert_eq!(first.leader, node("a", 2));
    assert_eq!(first.goal.nodes, [0, 1, 2].map(|ordinal| node("c", ordinal)));
    assert!(first.goal.discarded.is_empty());
}

#[test]
fn leaderships_are_spread_over_the_nodes_of_the_new_cluster() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_members("c");
    let firsts: Vec<_> = placement(&scene).moves.iter().map(|m| m.goal.nodes[0]).collect();
    assert_eq!(firsts, [node("c", 0), node("c", 1)]);
}

#[test]
fn further_moves_wait_while_two_are_under_way() {
    let mut scene = Scene::new();
    scene.undeclare("b");
    scene.declare("c");
    scene.start_members("c");
    assert_eq!(targets(&placement(&scene)), [(2, "c"), (4, "c")]);
    scene.send(2, "c");
    scene.send(4, "c");
    let found = placement(&scene);
    assert!(found.moves.is_empty());
    assert_eq!(found.moving, [(2, "c".to_owned()), (4, "c".to_owned())]);
    assert_eq!((found.waiting, found.why), (1, None));
    scene.arrive(2);
    assert_eq!(targets(&placement(&scene)), [(6, "c")]);
}

#[test]
fn a_cluster_that_is_not_whole_takes_nothing_in() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_members("c");
    scene.silence("c", 1);
    let found = placement(&scene);
    assert!(found.moves.is_empty());
    assert_eq!((found.waiting, found.why.as_deref()), (2, Some("node c-1 does not answer")));
}

#[test]
fn nodes_take_nothing_in_before_they_are_members() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_empty("c");
    let found = placement(&scene);
    assert!(found.moves.is_empty());
    assert_eq!(found.why.as_deref(), Some("node c-0 is not a member yet"));
}

#[test]
fn a_partition_without_a_leader_stays_and_others_do_not_wait_for_it() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_members("c");
    scene.leading(5).role = doug_client::v1::ReplicaRole::Follower.into();
    let found = placement(&scene);
    assert_eq!(targets(&found), [(6, "c")]);
    assert_eq!(found.why.as_deref(), Some("partition 5 has no leader"));
}

#[test]
fn a_replacement_under_way_is_no_move() {
    let mut scene = Scene::new();
    scene.lose_volume("a", 2);
    scene.replace_in_goal(1, "a", 2);
    assert_eq!(placement(&scene), Placement::default());
}

#[test]
fn a_cluster_whose_volume_is_full_takes_nothing_in() {
    let mut scene = Scene::new();
    scene.declare("c");
    scene.start_members("c");
    let volume = doug_client::v1::VolumeStatus { refuses_writes: true, ..Default::default() };
    scene.answer("c", 2).status.volume = Some(volume);
    assert_eq!(placement(&scene).why.as_deref(), Some("the volume of node c-2 is full"));
}
