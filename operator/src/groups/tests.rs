use super::*;
use crate::testing::two_clusters::{Scene, node};

fn name(node: NodeId) -> String {
    format!("node {node}")
}

#[test]
fn the_leader_of_the_later_term_is_believed() {
    let mut scene = Scene::new();
    scene.replica("a", 1, 1).role = v1::ReplicaRole::Leader.into();
    scene.replica("a", 1, 1).term = 9;
    let group = scene.groups().remove(0);
    assert_eq!(group.leader.unwrap().node, node("a", 1));
}

#[test]
fn a_leader_knows_its_descriptor_before_the_map_does() {
    let mut scene = Scene::new();
    let mut newer = scene.map.partitions[0].clone();
    newer.generation += 1;
    newer.cluster = "b".into();
    scene.leading(1).descriptor = Some(newer.to_wire());
    assert_eq!(scene.groups()[0].descriptor, newer);
}

#[test]
fn a_voter_can_be_spared_while_all_others_have_caught_up() {
    let scene = Scene::new();
    assert_eq!(scene.groups()[0].needs(node("a", 2), name), None);
}

#[test]
fn a_voter_is_needed_while_another_is_down_or_behind() {
    let mut scene = Scene::new();
    scene.leading(1).peers[0].active = false;
    let why = scene.groups()[0].needs(node("a", 2), |_| "a-1".into());
    assert_eq!(why.unwrap(), "node a-1 is down as well, and holds partition 1 too");
    let mut scene = Scene::new();
    scene.leading(1).commit = 10_000;
    let why = scene.groups()[0].needs(node("a", 2), |_| "a-1".into());
    assert_eq!(why.unwrap(), "node a-1 has not caught up with partition 1 yet");
}

#[test]
fn nobody_can_be_spared_without_a_leader_or_during_a_change() {
    let mut scene = Scene::new();
    scene.leading(1).role = v1::ReplicaRole::Follower.into();
    let why = scene.groups()[0].needs(node("a", 2), name);
    assert_eq!(why.unwrap(), "partition 1 has no leader");
    let mut scene = Scene::new();
    let voters = scene.map.partitions[0].voters.clone();
    scene.map.partitions[0].outgoing = voters;
    let why = scene.groups()[0].needs(node("a", 2), name);
    assert_eq!(why.unwrap(), "partition 1 is changing its members");
}
