use super::*;
use crate::joining;
use crate::testing::two_clusters::{Scene, node};
use doug_crds::{DougClusterStatus, WhenDeleted};

fn resizing(scene: &Scene) -> Resizing {
    let (database, map) = (&scene.database, &scene.map);
    super::next((database, map), &scene.groups(), &scene.observed, &Placement::default(), &[])
}

fn runs(scene: &Scene) -> u32 {
    let groups = scene.groups();
    let known = Some((&scene.map, &groups[..]));
    running(&scene.database, &scene.status, &scene.observed, known)["a"]
}

/// What the map is to say of clusters.
fn said(scene: &Scene) -> Vec<(String, u32)> {
    let joining = joining::next(&scene.database, &scene.map, &scene.groups(), &scene.observed);
    joining.clusters.into_iter().map(|cluster| (cluster.name, cluster.nodes)).collect()
}

fn nodes(of: std::ops::Range<u32>) -> Vec<NodeId> {
    of.map(|ordinal| node("a", ordinal)).collect()
}

/// Partitions 1, 3 and 5 take up what is decided, two at a time, until nothing is left.
fn carry_out(scene: &mut Scene) {
    for _ in 0..3 {
        for one in resizing(scene).moves {
            scene.pursue(one.partition, one.goal);
            scene.arrive(one.partition);
        }
    }
}

/// Five nodes in `a`, and voters on all of them.
fn of_five() -> Scene {
    let mut scene = Scene::new();
    scene.declare_nodes("a", 5);
    scene.scale("a", 5);
    scene.join("a", 3);
    scene.join("a", 4);
    carry_out(&mut scene);
    scene.say("a", 5);
    scene
}

#[test]
fn clusters_as_declared_are_left_alone() {
    let scene = Scene::new();
    assert_eq!(resizing(&scene), Resizing::default());
    assert_eq!(resizing(&of_five()), Resizing::default());
    assert_eq!((runs(&scene), runs(&of_five())), (3, 5));
}

#[test]
fn partitions_get_voters_on_new_nodes_once_all_of_these_are_members() {
    let mut scene = Scene::new();
    scene.declare_nodes("a", 5);
    assert_eq!(runs(&scene), 5, "the StatefulSet grows first");
    let waiting = |why: &str| Change {
        cluster: "a".into(),
        nodes: 5,
        all: 3,
        left: vec![1, 3, 5],
        why: Some(why.to_owned()),
    };
    let silent = Resizing { clusters: vec![waiting("node a-3 does not answer")], moves: vec![] };
    assert_eq!(resizing(&scene), silent);
    scene.scale("a", 5);
    scene.join("a", 3);
    assert_eq!(resizing(&scene).clusters, [waiting("node a-4 is not a member yet")]);
    scene.join("a", 4);
    let moves = resizing(&scene).moves;
    assert_eq!(moves.iter().map(|one| one.partition).collect::<Vec<_>>(), [1, 3], "two at once");
    for one in moves {
        let mut goal = one.goal.nodes;
        goal.sort_unstable();
        assert_eq!((goal, one.goal.cluster, one.goal.discarded), (nodes(0..5), "a".into(), vec![]));
    }
}

#[test]
fn the_map_says_more_nodes_once_no_partition_has_fewer_voters() {
    let mut scene = Scene::new();
    scene.declare_nodes("a", 5);
    scene.scale("a", 5);
    scene.join("a", 3);
    scene.join("a", 4);
    for partition in [1, 3, 5] {
        assert_eq!(said(&scene), []);
        let goal = Goal { nodes: nodes(0..5), cluster: "a".into(), discarded: Vec::new() };
        scene.pursue(partition, goal);
        assert_eq!(said(&scene), []);
        scene.arrive(partition);
    }
    assert_eq!(said(&scene), [("a".to_owned(), 5)]);
    assert!(resizing(&scene).clusters[0].left.is_empty());
}

#[test]
fn the_map_says_fewer_nodes_before_a_partition_leaves_any() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    assert_eq!(said(&scene), [("a".to_owned(), 3)]);
    carry_out(&mut scene);
    assert_eq!(runs(&scene), 5, "else nodes would refuse the next goal of three");
    scene.say("a", 3);
    assert_eq!(runs(&scene), 3);
}

#[test]
fn pods_go_once_no_partition_has_a_member_on_the_last_nodes() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    for partition in [1, 3, 5] {
        assert_eq!(runs(&scene), 5);
        scene
            .pursue(partition, Goal { nodes: nodes(0..3), cluster: "a".into(), discarded: vec![] });
        assert_eq!(runs(&scene), 5, "it is on its way");
        scene.arrive(partition);
    }
    assert_eq!(runs(&scene), 3);
    scene.leading(3).role = doug_client::v1::ReplicaRole::Follower.into();
    assert_eq!(runs(&scene), 5, "one without a leader cannot say where its members are");
    let (status, nobody) =
        (&scene.status, running(&scene.database, &scene.status, &scene.observed, None));
    assert_eq!((status.partition_map.as_ref(), nobody["a"]), (None, 5), "silence says nothing");
}

#[test]
fn nodes_that_hold_members_run_again_when_someone_has_taken_them_away() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    scene.scale("a", 3);
    assert_eq!(runs(&scene), 5);
}

#[test]
fn before_anything_was_written_fewer_nodes_are_simply_fewer() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    let never = DougClusterStatus::default();
    assert_eq!(running(&scene.database, &never, &scene.observed, None)["a"], 3);
    assert!(shrinking(&scene.database, &scene.observed, &never).is_empty());
    assert_eq!(shrinking(&scene.database, &scene.observed, &scene.status), ["a"]);
}

#[test]
fn leaderships_spread_over_new_nodes_and_leave_the_last_ones() {
    let preferred = |scene: &Scene| {
        let firsts = scene.groups().into_iter().filter(|group| group.destination() == "a");
        let mut firsts: Vec<NodeId> = firsts.map(|g| g.descriptor.voters[0].node).collect();
        firsts.sort_unstable();
        firsts
    };
    let mut scene = of_five();
    let spread = preferred(&scene);
    assert_eq!(spread.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{spread:?}");
    let goal = |first: usize| {
        let mut nodes = nodes(0..5);
        nodes.rotate_left(first);
        Goal { nodes, cluster: "a".into(), discarded: Vec::new() }
    };
    for (partition, first) in [(1, 4), (3, 3), (5, 4)] {
        scene.pursue(partition, goal(first));
        scene.arrive(partition);
    }
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    carry_out(&mut scene);
    assert_eq!(preferred(&scene), nodes(0..3));
}

#[test]
fn no_voter_is_given_up_while_one_that_stays_lags() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    scene.silence("a", 2);
    let waits = resizing(&scene);
    assert_eq!(waits.moves, []);
    let why = "node a-2 has not caught up with partition 1";
    assert_eq!(waits.clusters[0].why.as_deref(), Some(why));
}

#[test]
fn a_node_that_is_dead_can_be_shrunk_away() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    scene.silence("a", 4);
    assert_eq!(resizing(&scene).moves.len(), 2);
}

#[test]
fn what_moves_or_is_replaced_comes_first() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    let next = |placement: &Placement, steps: &[replacement::Step]| {
        let (database, map) = (&scene.database, &scene.map);
        super::next((database, map), &scene.groups(), &scene.observed, placement, steps)
    };
    let moving = |partition| (partition, "b".to_owned());
    let placement = Placement { moving: vec![moving(2), moving(4)], ..Placement::default() };
    assert_eq!(next(&placement, &[]).moves, []);
    let waits = |name: &str| {
        let place = Place { cluster: name.to_owned(), ordinal: 1 };
        [replacement::Step::Wait(place, "its pod comes".to_owned())]
    };
    assert_eq!(next(&Placement::default(), &waits("b")).moves.len(), 2);
    let replaced = next(&Placement::default(), &waits("a"));
    assert_eq!(replaced.moves, []);
    assert_eq!(replaced.clusters[0].why.as_deref(), Some("node a-1 is being replaced"));
}

#[test]
fn both_configurations_of_a_change_of_size_are_no_move() {
    let mut scene = Scene::new();
    scene.declare_nodes("a", 5);
    scene.scale("a", 5);
    scene.join("a", 3);
    scene.join("a", 4);
    let one = resizing(&scene).moves.remove(0);
    scene.pursue(one.partition, one.goal.clone());
    let mut group = scene.groups().into_iter().find(|group| group.id() == one.partition).unwrap();
    assert!(group.resizes() && group.moving_to().is_none());
    group.descriptor.outgoing = group.descriptor.voters.clone();
    assert!(group.resizes() && group.moving_to().is_none());
    let left = resizing(&scene);
    assert_eq!((left.clusters[0].left.as_slice(), left.moves.len()), ([1, 3, 5].as_slice(), 1));
}

#[test]
fn claims_of_nodes_that_left_are_deleted_only_where_that_is_declared() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    scene.database.spec.node.storage.when_deleted = WhenDeleted::Delete;
    let left = |scene: &Scene| {
        let found = leftovers(&scene.database, &scene.map, &scene.groups(), &scene.observed);
        found.into_iter().map(|one| (one.claim, one.uid)).collect::<Vec<_>>()
    };
    carry_out(&mut scene);
    assert_eq!(left(&scene), [], "their pods run");
    scene.scale("a", 3);
    let both = [3, 4].map(|at| (format!("data-orders-a-{at}"), format!("claim-a-{at}")));
    assert_eq!(left(&scene), both);
    scene.database.spec.node.storage.when_deleted = WhenDeleted::Retain;
    assert_eq!(left(&scene), []);
}

#[test]
fn no_claim_is_deleted_while_a_partition_has_a_member_there() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    scene.database.spec.node.storage.when_deleted = WhenDeleted::Delete;
    scene.scale("a", 3);
    let left = leftovers(&scene.database, &scene.map, &scene.groups(), &scene.observed);
    assert_eq!(left, [], "someone scaled the StatefulSet by hand");
}

#[test]
fn while_pods_are_replaced_nothing_begins() {
    let mut scene = of_five();
    scene.declare_nodes("a", 3);
    scene.say("a", 3);
    let mut held = resizing(&scene);
    held.hold("pods are being replaced");
    assert_eq!(held.moves, []);
    assert_eq!(held.clusters[0].why.as_deref(), Some("pods are being replaced"));
}
