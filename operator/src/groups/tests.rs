use super::*;
use crate::testing::two_clusters::{Scene, node};
use doug_proto::map::Member;

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
    assert_eq!(needs(&Scene::new().groups()[0], 2, &[]), None);
}

#[test]
fn a_voter_is_needed_while_another_is_down_or_behind() {
    let mut scene = Scene::new();
    scene.leading(1).peers[0].active = false;
    let why = needs(&scene.groups()[0], 2, &[]);
    assert_eq!(why.unwrap(), "node a-1 is down as well, and holds partition 1 too");
    let mut scene = Scene::new();
    scene.leading(1).commit = 10_000;
    let why = needs(&scene.groups()[0], 2, &[]);
    assert_eq!(why.unwrap(), "node a-1 has not caught up with partition 1 yet");
}

/// Voters of partition 1 are five nodes, of which the last ones are down.
fn group_of_five(down: u32) -> Group {
    let mut group = Scene::new().groups().remove(0);
    let voter = group.descriptor.voters[0];
    let nodes = (0..5).map(|ordinal| node("a", ordinal));
    group.descriptor.voters = nodes.clone().map(|node| Member { node, ..voter }).collect();
    let leader = group.leader.as_mut().unwrap();
    leader.active = nodes.take(5 - down as usize).collect();
    leader.caught_up = leader.active.clone();
    group
}

/// Whoever the leader hears answers the operator, too.
fn known(group: &Group, given_up: &[u32]) -> Known {
    Known {
        answering: group.leader.as_ref().map(|leader| leader.active.clone()).unwrap_or_default(),
        given_up: given_up.iter().map(|ordinal| node("a", *ordinal)).collect(),
    }
}

/// Why partition 1 needs a node of `a`.
fn needs(group: &Group, ordinal: u32, given_up: &[u32]) -> Option<String> {
    let name_of = |node: NodeId| format!("a-{}", node.bits() & 0xf);
    group.needs(node("a", ordinal), &known(group, given_up), name_of)
}

#[test]
fn one_that_its_leader_still_hears_but_that_answers_nobody_else_is_down() {
    let group = group_of_five(0);
    let mut known = known(&group, &[]);
    known.answering.remove(&node("a", 3));
    let why = group.needs(node("a", 4), &known, |_| "a-3".into());
    assert_eq!(why.unwrap(), "node a-3 is down as well, and holds partition 1 too");
}

#[test]
fn two_dead_voters_do_not_stand_in_each_others_way_once_both_are_given_up() {
    assert_eq!(needs(&group_of_five(2), 4, &[3, 4]), None);
    let why = needs(&group_of_five(2), 4, &[4]);
    assert_eq!(why.unwrap(), "node a-3 is down as well, and holds partition 1 too");
}

#[test]
fn a_voter_that_is_up_is_needed_while_another_that_is_given_up_is_down() {
    let why = needs(&group_of_five(1), 3, &[3, 4]);
    assert_eq!(why.unwrap(), "node a-4 is down as well, and holds partition 1 too");
}

#[test]
fn no_more_are_given_up_than_a_majority_can_do_without() {
    let left = "without the nodes that are given up, only 2 of 5 voters of partition 1 are left";
    assert_eq!(needs(&group_of_five(3), 4, &[2, 3, 4]).unwrap(), left);
}

#[test]
fn those_who_stay_must_have_caught_up_for_two_to_be_given_up() {
    let mut group = group_of_five(2);
    group.leader.as_mut().unwrap().caught_up.remove(&node("a", 2));
    let why = needs(&group, 4, &[3, 4]);
    assert_eq!(why.unwrap(), "node a-2 has not caught up with partition 1 yet");
}

#[test]
fn nobody_can_be_spared_without_a_leader_or_during_a_change() {
    let mut scene = Scene::new();
    scene.leading(1).role = v1::ReplicaRole::Follower.into();
    let why = needs(&scene.groups()[0], 2, &[]);
    assert_eq!(why.unwrap(), "partition 1 has no leader");
    let mut scene = Scene::new();
    let voters = scene.map.partitions[0].voters.clone();
    scene.map.partitions[0].outgoing = voters;
    let why = needs(&scene.groups()[0], 2, &[]);
    assert_eq!(why.unwrap(), "partition 1 is changing its members");
}
