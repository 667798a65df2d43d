use super::*;
use crate::testing::two_clusters::{Scene, node, place};
use doug_client::v1;
use doug_proto::map::Recovery;

const NOON: &str = "2026-01-01T12:00:00Z";

fn steps_at(scene: &Scene, now: &str) -> Vec<Step> {
    next(&Situation {
        database: &scene.database,
        map: &scene.map,
        groups: &scene.groups(),
        observed: &scene.observed,
        nodes: &scene.status.nodes,
        told: &scene.told,
        now,
    })
}

fn steps(scene: &Scene) -> Vec<Step> {
    steps_at(scene, NOON)
}

/// The only step.
fn step(scene: &Scene) -> Step {
    let mut steps = steps(scene);
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps.remove(0)
}

fn give_up(scene: &mut Scene, name: &str) {
    scene.told.push(name.to_owned());
}

fn old(ordinal: u32) -> Replacing {
    Replacing { id: node("a", ordinal).to_string(), claim: format!("claim-a-{ordinal}") }
}

/// The status after the intent was written.
fn intend(scene: &mut Scene, ordinal: u32) {
    let Step::Intend(at, replacing) = step(scene) else { panic!("{:?}", steps(scene)) };
    assert_eq!((&at, &replacing), (&place("a", ordinal), &old(ordinal)));
    let status = scene.status.nodes.iter_mut().find(|status| status.name == at.name());
    status.unwrap().replacing = Some(replacing);
}

fn silent_since(scene: &mut Scene, name: &str, since: &str) {
    let status = scene.status.nodes.iter_mut().find(|status| status.name == name);
    status.unwrap().silent_since = Some(since.to_owned());
}

#[test]
fn nodes_that_are_as_they_were_stay() {
    assert_eq!(steps(&Scene::new()), []);
}

mod a_lost_volume {
    use super::*;

    #[test]
    fn the_new_one_becomes_a_member_first() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        let why = "its new volume is to become a member first";
        assert_eq!(step(&scene), Step::Wait(place("a", 2), why.into()));
    }

    #[test]
    fn its_old_members_are_voted_out_two_partitions_at_a_time() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        let Step::Substitute { moves, left, .. } = step(&scene) else { panic!() };
        assert_eq!(left, [1, 3, 5]);
        assert_eq!(moves.iter().map(|m| m.partition).collect::<Vec<_>>(), [1, 3]);
        let first = scene.map.partitions[0].clone();
        let lost = first.voter_on(node("a", 2)).unwrap();
        let goal = &moves[0].goal;
        assert_eq!((&goal.cluster, &goal.discarded), (&"a".to_owned(), &vec![lost.replica]));
        assert_eq!(goal.nodes, [node("a", 0), node("a", 1), Scene::successor("a", 2)]);
        assert_eq!((moves[0].leader, moves[0].generation), (node("a", 0), first.generation));
    }

    #[test]
    fn the_next_follows_when_one_is_done_and_then_all_is() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        scene.replace_in_goal(1, "a", 2);
        scene.replace_in_goal(3, "a", 2);
        let Step::Substitute { moves, left, .. } = step(&scene) else { panic!() };
        assert_eq!((moves.len(), left), (0, vec![1, 3, 5]));
        scene.arrive(1);
        let Step::Substitute { moves, left, .. } = step(&scene) else { panic!() };
        assert_eq!((moves[0].partition, left), (5, vec![3, 5]));
        scene.replace_in_goal(5, "a", 2);
        scene.arrive(3);
        scene.arrive(5);
        assert_eq!(steps(&scene), []);
    }

    /// `doug recover` left the partition with the survivors alone.
    #[test]
    fn a_place_that_a_recovery_left_is_filled() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        let first = &mut scene.map.partitions[0];
        let lost = first.voter_on(node("a", 2)).unwrap();
        first.voters.retain(|voter| *voter != lost);
        first.generation += 100;
        *first = first.clone().recovered(Recovery {
            at_milliseconds: 1,
            by: "ann".into(),
            replica: 1,
            node: node("a", 0),
            committed: 5,
            kept: 6,
            kept_term: 1,
            resumed: 1_000,
            first_replica: lost.replica + 1,
            lost: vec![lost.node],
        });
        let Step::Substitute { moves, .. } = step(&scene) else { panic!() };
        let goal = &moves.iter().find(|m| m.partition == 1).unwrap().goal;
        assert_eq!(goal.nodes, [node("a", 0), node("a", 1), Scene::successor("a", 2)]);
        assert!(goal.discarded.is_empty());
    }

    #[test]
    fn nothing_is_done_without_a_majority_that_has_caught_up() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        scene.silence("a", 1);
        let why = "only 1 of 3 voters of partition 1 have caught up";
        assert_eq!(step(&scene), Step::Wait(place("a", 2), why.into()));
    }

    #[test]
    fn of_two_in_one_cluster_one_is_replaced_and_clusters_do_not_wait_for_each_other() {
        let mut scene = Scene::new();
        for (cluster, ordinal) in [("a", 1), ("a", 2), ("b", 0)] {
            scene.lose_volume(cluster, ordinal);
        }
        let waiting: Vec<String> = steps(&scene)
            .iter()
            .map(|step| match step {
                Step::Wait(place, _) => place.name(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waiting, ["a-1", "b-0"]);
    }

    #[test]
    fn one_after_the_other_loses_its_volume() {
        let mut scene = Scene::new();
        for ordinal in [1, 2] {
            scene.lose_volume("a", ordinal);
            scene.join_successor("a", ordinal);
            let Step::Substitute { place: found, .. } = step(&scene) else { panic!() };
            assert_eq!(found, place("a", ordinal));
            for partition in [1, 3, 5] {
                scene.replace_in_goal(partition, "a", ordinal);
                let Step::Substitute { place: found, .. } = step(&scene) else { panic!() };
                assert_eq!(found, place("a", ordinal));
                scene.arrive(partition);
            }
            assert_eq!(steps(&scene), []);
        }
    }

    #[test]
    fn a_move_to_the_cluster_is_no_replacement() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        for partition in [1, 3, 5] {
            scene.replace_in_goal(partition, "a", 2);
            scene.arrive(partition);
        }
        scene.send(2, "a");
        assert_eq!(steps(&scene), []);
    }

    #[test]
    fn that_it_is_given_up_as_well_is_taken_for_done() {
        let mut scene = Scene::new();
        scene.lose_volume("a", 2);
        give_up(&mut scene, "a-2");
        assert_eq!(step(&scene), Step::Finish(place("a", 2)));
    }
}

mod one_that_is_given_up {
    use super::*;

    #[test]
    fn its_volume_is_written_down_before_it_is_taken_away() {
        let mut scene = Scene::new();
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        let Step::Clear(_, clearing) = step(&scene) else { panic!() };
        let named = |name: &str, uid: &str| Some((name.to_owned(), uid.to_owned()));
        assert_eq!(clearing.claim, named("data-orders-a-2", "claim-a-2"));
        assert_eq!(clearing.pod, named("orders-a-2", "pod-a-2"));
        assert!(!clearing.dead);
    }

    #[test]
    fn it_is_refused_while_another_that_holds_its_partitions_is_down() {
        let mut scene = Scene::new();
        scene.silence("a", 1);
        give_up(&mut scene, "a-2");
        let Step::Refuse(name, why) = step(&scene) else { panic!() };
        assert_eq!(name, "a-2");
        assert!(why.starts_with("node a-1 is down as well, and holds partition 1 too."), "{why}");
    }

    #[test]
    fn one_that_died_since_it_was_given_up_stops_it() {
        let mut scene = Scene::new();
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        scene.silence("a", 1);
        let Step::Refuse(name, why) = step(&scene) else { panic!() };
        assert_eq!(name, "a-2");
        assert!(why.starts_with("node a-1 is down as well, and holds partition 1 too."), "{why}");
    }

    #[test]
    fn a_dead_machine_is_waited_for_until_kubernetes_knows_it() {
        let mut scene = Scene::new();
        scene.silence("a", 2);
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        assert!(matches!(step(&scene), Step::Wait(_, why) if why.contains("for ready still")));
        scene.not_ready("a", 2);
        let Step::Clear(_, clearing) = step(&scene) else { panic!() };
        assert!(clearing.dead && clearing.claim.is_some() && clearing.pod.is_some());
    }

    #[test]
    fn its_successors_claim_and_pod_are_never_taken_away() {
        let mut scene = Scene::new();
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        scene.silence("a", 2);
        scene.make_claim(&place("a", 2), "another-claim");
        scene.make_pod(&place("a", 2), "another-pod");
        let why = "waiting for its new pod to answer";
        assert_eq!(step(&scene), Step::Wait(place("a", 2), why.into()));
    }

    /// a-2 was given up, and its new pod, on a new claim, does not answer.
    fn awaiting_its_successor() -> Scene {
        let mut scene = Scene::new();
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        scene.silence("a", 2);
        scene.make_claim(&place("a", 2), "another-claim");
        scene.make_pod(&place("a", 2), "another-pod");
        scene
    }

    #[test]
    fn a_successor_whose_machine_died_before_it_was_a_member_is_made_anew() {
        let mut scene = awaiting_its_successor();
        scene.not_ready("a", 2);
        assert!(matches!(step(&scene), Step::Wait(..)), "it may be starting still");
        scene.evict("a", 2);
        let Step::Clear(_, clearing) = step(&scene) else { panic!() };
        let named = |name: &str, uid: &str| Some((name.to_owned(), uid.to_owned()));
        assert_eq!(clearing.claim, named("data-orders-a-2", "another-claim"));
        assert_eq!(clearing.pod, named("orders-a-2", "another-pod"));
        assert!(clearing.dead);
    }

    #[test]
    fn a_successor_that_was_a_member_is_waited_for() {
        let mut scene = awaiting_its_successor();
        scene.list(&place("a", 2), Scene::successor("a", 2));
        scene.evict("a", 2);
        let why = "waiting for its new pod to answer";
        assert_eq!(step(&scene), Step::Wait(place("a", 2), why.into()));
    }

    #[test]
    fn it_is_done_once_no_partition_has_a_member_on_the_old_volume() {
        let mut scene = Scene::new();
        give_up(&mut scene, "a-2");
        intend(&mut scene, 2);
        scene.make_claim(&place("a", 2), "another-claim");
        scene.lose_volume("a", 2);
        scene.join_successor("a", 2);
        assert!(matches!(step(&scene), Step::Substitute { moves, .. } if moves.len() == 2));
        for partition in [1, 3, 5] {
            scene.replace_in_goal(partition, "a", 2);
            scene.arrive(partition);
        }
        assert_eq!(step(&scene), Step::Finish(place("a", 2)));
    }

    #[test]
    fn a_name_that_is_not_declared_is_refused() {
        let mut scene = Scene::new();
        give_up(&mut scene, "c-0");
        assert!(matches!(step(&scene), Step::Refuse(name, _) if name == "c-0"));
    }
}

mod one_that_is_silent {
    use super::*;

    fn silent() -> Scene {
        let mut scene = Scene::new();
        scene.silence("a", 2);
        silent_since(&mut scene, "a-2", NOON);
        scene
    }

    #[test]
    fn it_is_given_up_after_the_time_declared() {
        let mut scene = silent();
        assert_eq!(steps_at(&scene, "2026-01-01T12:09:59Z"), []);
        let due = steps_at(&scene, "2026-01-01T12:10:00Z");
        assert_eq!(due, [Step::Intend(place("a", 2), old(2))]);
        scene.database.replace_after = None;
        assert_eq!(steps_at(&scene, "2026-01-01T12:10:00Z"), []);
    }

    #[test]
    fn it_is_left_alone_while_others_hear_it() {
        let mut scene = silent();
        scene.leading(1).peers[1] =
            v1::PeerProgress { node: node("a", 2).to_string(), match_index: 5, active: true };
        let due = steps_at(&scene, "2026-01-01T13:00:00Z");
        assert!(matches!(&due[..], [Step::Refuse(_, why)] if why.contains("still hear it")));
    }

    #[test]
    fn one_that_answers_again_stays() {
        let mut scene = Scene::new();
        silent_since(&mut scene, "a-2", NOON);
        assert_eq!(steps_at(&scene, "2026-01-01T13:00:00Z"), []);
    }
}
