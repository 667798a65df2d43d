use super::*;
use crate::testing::place;

fn node(ordinal: u32) -> NodeId {
    NodeId::from_bits(0xa0 + u64::from(ordinal))
}

/// Five nodes of one partition; the first leads, everyone has caught up.
fn five() -> Vec<PodView> {
    let caught_up: Vec<NodeId> = (0..5).map(node).collect();
    let pod = |ordinal| PodView {
        place: place(ordinal),
        node: Some(node(ordinal)),
        outdated: true,
        state: PodState::Ready,
        replicas: vec![ReplicaView {
            partition: 1,
            leads: ordinal == 0,
            caught_up: if ordinal == 0 { caught_up.clone() } else { Vec::new() },
            voters: 5,
        }],
    };
    (0..5).map(pod).collect()
}

#[test]
fn followers_go_first() {
    assert_eq!(next(&five(), None), Next::Evict(place(1)));
}

#[test]
fn a_leader_goes_last_and_is_relieved_by_a_node_that_stays() {
    let mut pods = five();
    for pod in &mut pods[1..] {
        pod.outdated = false;
    }
    let relieved = Next::HandOver { from: place(0), partition: 1, to: node(1) };
    assert_eq!(next(&pods, None), relieved);
    pods[0].replicas[0].leads = false;
    pods[3].replicas[0].leads = true;
    pods[3].replicas[0].caught_up = (0..5).map(node).collect();
    assert_eq!(next(&pods, None), Next::Evict(place(0)));
}

#[test]
fn nobody_else_goes_until_a_replaced_node_is_ready() {
    let mut pods = five();
    pods[1].outdated = false;
    pods[1].state = PodState::Coming;
    assert_eq!(next(&pods, None), Next::Wait("node a-1 is not ready yet".into()));
}

#[test]
fn a_partition_keeps_a_caught_up_majority() {
    let mut pods = five();
    pods[0].replicas[0].caught_up = [0, 1, 2].map(node).to_vec();
    let why = "without node a-1, partition 1 would have 2 of 5 voters caught up";
    assert_eq!(next(&pods, None), Next::Wait(why.into()));
}

#[test]
fn outside_a_maintenance_window_only_pods_that_do_not_run_are_made_anew() {
    let closed = || Maintenance::Closed(Some("2026-12-05 02:00 (UTC)".into()));
    let mut pods = five();
    pods[4].outdated = false;
    let held = Next::Held { waiting: 4, opens: Some("2026-12-05 02:00 (UTC)".into()) };
    assert_eq!(within(closed(), &pods, next(&pods, None)), held);
    assert_eq!(within(Maintenance::Open, &pods, next(&pods, None)), Next::Evict(place(1)));
    for pod in &mut pods[1..4] {
        pod.outdated = false;
    }
    let held = Next::Held { waiting: 1, opens: Some("2026-12-05 02:00 (UTC)".into()) };
    assert_eq!(within(closed(), &pods, next(&pods, None)), held, "it would be relieved first");
    pods[0].state = PodState::Broken("its image cannot be had".into());
    assert_eq!(within(closed(), &pods, next(&pods, None)), Next::Delete(place(0)));
    pods[0].state = PodState::Coming;
    let waits = Next::Wait("node a-0 is not ready yet".into());
    assert_eq!(within(closed(), &pods, next(&pods, None)), waits, "what has begun goes on");
}

#[test]
fn nobody_goes_while_members_change() {
    let why = "partition 7 is changing its members";
    assert_eq!(next(&five(), Some(7)), Next::Wait(why.into()));
}

#[test]
fn without_a_leader_nobody_goes() {
    let mut pods = five();
    pods[0].replicas[0].leads = false;
    assert_eq!(next(&pods, None), Next::Wait("partition 1 has no leader".into()));
}

#[test]
fn a_broken_image_stops_at_the_first_pod() {
    let mut pods = five();
    pods[1].outdated = false;
    pods[1].state = PodState::Broken("its image cannot be had".into());
    let stuck = Next::Stuck { place: place(1), why: "its image cannot be had".into() };
    assert_eq!(next(&pods, None), stuck);
}

#[test]
fn rolling_back_begins_with_the_pod_that_broke() {
    let mut pods = five();
    for pod in &mut pods {
        pod.outdated = false;
    }
    pods[1].outdated = true;
    pods[1].state = PodState::Broken("its image cannot be had".into());
    assert_eq!(next(&pods, None), Next::Delete(place(1)));
}

#[test]
fn pods_as_they_should_be_are_left_alone() {
    let mut pods = five();
    for pod in &mut pods {
        pod.outdated = false;
    }
    assert_eq!(next(&pods, None), Next::Done);
}

#[test]
fn where_nobody_serves_a_correction_reaches_the_pods_that_the_mistake_stopped() {
    let broken = PodState::Broken("its image x cannot be had".into());
    let mut pods = five();
    for pod in &mut pods {
        (pod.state, pod.node) = (broken.clone(), None);
        pod.replicas.clear();
    }
    assert_eq!(revive(&pods), Next::Delete(place(0)));
    pods[0].outdated = false;
    pods[0].state = PodState::Coming;
    assert_eq!(revive(&pods), Next::Delete(place(1)));
    for pod in &mut pods {
        pod.outdated = false;
    }
    assert_eq!(
        revive(&pods),
        Next::Stuck { place: place(1), why: "its image x cannot be had".into() }
    );
}

#[test]
fn where_nobody_serves_pods_that_run_are_left_alone() {
    let mut pods = five();
    for pod in &mut pods {
        pod.state = PodState::Coming;
    }
    assert_eq!(revive(&pods), Next::Done);
}

mod of_pods {
    use super::super::view::*;
    use crate::testing::{answered, database, empty, pod};
    use doug_client::v1;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-01-01T12:01:01Z".parse().unwrap()
    }

    #[test]
    fn a_pod_that_waits_a_moment_for_a_machine_is_not_broken() {
        let since = |time: &str| {
            let status = json!({"conditions": [{
                "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available",
                "lastTransitionTime": time,
            }]});
            trouble(&pod(0, "new", status).1, now())
        };
        assert_eq!(since("2026-01-01T12:00:01Z"), None);
        assert!(since("2026-01-01T12:00:00Z").is_some());
    }

    #[test]
    fn a_node_that_kubernetes_does_not_count_as_ready_yet_is_waited_for() {
        let mut observed = answered([0, 1, 2].map(empty));
        for answer in observed.answers.values_mut() {
            answer.status.state = v1::NodeState::Ready.into();
        }
        let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
        observed.pods =
            [pod(0, "new", ready("True")), pod(1, "new", ready("False")), pod(2, "new", json!({}))]
                .into();
        let states: Vec<PodState> =
            view(&database(), &observed, "new", now()).into_iter().map(|pod| pod.state).collect();
        assert_eq!(states, [PodState::Ready, PodState::Coming, PodState::Coming]);
    }

    #[test]
    fn pods_are_outdated_when_made_from_another_template() {
        let mut observed = answered([0, 1, 2].map(empty));
        observed.pods =
            [pod(0, "new", json!({})), pod(1, "old", json!({})), pod(2, "new", json!({}))].into();
        let outdated: Vec<bool> =
            view(&database(), &observed, "new", now()).iter().map(|pod| pod.outdated).collect();
        assert_eq!(outdated, [false, true, false]);
    }

    #[test]
    fn a_leader_on_a_node_that_leaves_its_cluster_is_seen() {
        let mut scene = crate::testing::two_clusters::Scene::new();
        scene.scale("a", 4);
        scene.not_ready("a", 3);
        let view = |scene: &crate::testing::two_clusters::Scene| {
            let pods = view(&scene.database, &scene.observed, "new", now());
            pods.into_iter().find(|pod| pod.place.name() == "a-3")
        };
        let leaving = view(&scene).expect("it answers");
        assert_eq!((leaving.outdated, leaving.state), (false, PodState::Ready), "nobody waits");
        scene.silence("a", 3);
        assert_eq!(view(&scene), None);
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_said() {
        let waiting = |reason: &str, message: &str| {
            json!({"containerStatuses": [{
                "name": "node", "image": "dougdb/doug:nope", "imageID": "", "ready": false,
                "restartCount": 1, "state": {"waiting": {"reason": reason, "message": message}},
            }]})
        };
        let unschedulable = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available",
        }]});
        let said = [
            waiting("ImagePullBackOff", "not found"),
            waiting("CrashLoopBackOff", "back-off 20s"),
            waiting("ContainerCreating", ""),
            unschedulable,
        ]
        .map(|status| trouble(&pod(0, "new", status).1, now()).unwrap_or_else(|| "nothing".into()));
        insta::assert_snapshot!(said.join("\n"));
    }
}
