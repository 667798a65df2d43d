use super::*;
use crate::departure::Departure;
use crate::placement::Placement;
use crate::reconcile::Members;
use crate::replacement::Step as Replacement;
use crate::resizing::{Change, Resizing};
use crate::testing::{answered, database, facade, first_map as map, member, place};

fn observed() -> Observed {
    let mut observed = answered([0, 1, 2].map(|ordinal| member(ordinal, &map(), ordinal == 0)));
    observed.facades = vec![facade(&map(), true)];
    observed
}

fn settled() -> Progress {
    Progress {
        bootstrap: Step::Done,
        growth: Growth::Done,
        rollout: Next::Done,
        members: Members::default(),
        unwritable: Vec::new(),
    }
}

/// A status that noticed a-2's silence at noon.
fn noticed() -> DougClusterStatus {
    let node = doug_crds::NodeStatus {
        name: "a-2".into(),
        silent_since: Some("2026-01-01T12:00:00Z".into()),
        ..Default::default()
    };
    DougClusterStatus { nodes: vec![node], ..Default::default() }
}

/// One line a condition.
fn judged(observed: &Observed, progress: &Progress) -> String {
    let findings = judge(&database(), observed, &noticed(), progress, "2026-01-01T12:00:31Z");
    let Findings { ready, available, progressing, degraded } = findings;
    let line =
        |name: &str, f: Finding| format!("{name} {:?} {}: {}\n", f.holds, f.reason, f.message);
    line("Ready", ready)
        + &line("Available", available)
        + &line("Progressing", progressing)
        + &line("Degraded", degraded)
}

#[test]
fn each_situation_has_its_words() {
    let mut silent = observed();
    silent.answers.remove(&place(2));
    silent.silent.insert(place(2), "its pod does not run".into());
    let mut behind = observed();
    let mut newer = map();
    newer.epoch = 9;
    for answer in behind.answers.values_mut() {
        answer.map = Some(newer.clone());
    }
    let mut no_facade = observed();
    no_facade.facades[0].ready = false;
    let stuck = Next::Stuck { place: place(1), why: "its image x cannot be had: not found".into() };
    let held = |opens: Option<&str>| Next::Held { waiting: 3, opens: opens.map(str::to_owned) };
    let cannot = Growth::CannotGrow { class: "local".into(), claim: "data-orders-a-0".into() };
    let failing = Growth::Failing {
        claim: "data-orders-a-1".into(),
        why: "volume is in use on node-2".into(),
    };
    let replacing = Next::Evict(Place { cluster: "a".into(), ordinal: 2 });
    let mut full = observed();
    for (answer, available_bytes) in full.answers.values_mut().zip([100, 20, 400]) {
        let volume = v1::VolumeStatus {
            total_bytes: 1_000,
            available_bytes,
            refuses_writes: available_bytes < 30,
            ..Default::default()
        };
        answer.status.volume = Some(volume);
    }
    let mut refused_pods = observed();
    refused_pods.refused.insert("orders-a".into(), "exceeded quota: pods=1".into());
    let mut clocks = observed();
    for (answer, off) in clocks.answers.values_mut().zip([0, 1_500, -3_600_000]) {
        answer.status.clock_offset_milliseconds = off;
    }
    let members = |members| judged(&observed(), &Progress { members, ..settled() });
    let moving = Placement {
        moving: vec![(2, "b".into())],
        waiting: 1,
        why: Some("node b-1 does not answer".into()),
        ..Placement::default()
    };
    let draining = Departure { cluster: "b".into(), held: vec![1, 2], why: None };
    let drained = Departure { held: Vec::new(), ..draining.clone() };
    let change = Change {
        cluster: "a".into(),
        nodes: 5,
        all: 5,
        left: vec![1, 4],
        why: Some("node a-3 is not a member yet".into()),
    };
    let larger = Resizing { clusters: vec![change.clone()], moves: Vec::new() };
    let change = Change { nodes: 3, left: Vec::new(), why: None, ..change };
    let smaller = Resizing { clusters: vec![change], moves: Vec::new() };
    let refused = Replacement::Refuse("a-2".into(), "node a-1 is down as well".into());
    let substituted =
        Replacement::Substitute { place: place(2), moves: Vec::new(), left: vec![1, 4] };
    let situations = [
        ("all is well", judged(&observed(), &settled())),
        (
            "waiting for nodes",
            judged(
                &observed(),
                &Progress {
                    bootstrap: Step::Wait("2 of 3 nodes have answered".into()),
                    ..settled()
                },
            ),
        ),
        (
            "foreign data",
            judged(
                &observed(),
                &Progress {
                    bootstrap: Step::Blocked("ForeignData", "node a-1 holds other data".into()),
                    ..settled()
                },
            ),
        ),
        (
            "two partitions without a leader",
            judged(&observed(), &Progress { unwritable: vec![2, 4], ..settled() }),
        ),
        ("a node is silent", judged(&silent, &settled())),
        ("a facade is behind", judged(&behind, &settled())),
        ("no facade is ready", judged(&no_facade, &settled())),
        ("a pod is replaced", judged(&observed(), &Progress { rollout: replacing, ..settled() })),
        (
            "a maintenance window is waited for",
            judged(
                &observed(),
                &Progress { rollout: held(Some("2026-12-05 02:00 (UTC)")), ..settled() },
            ),
        ),
        (
            "no maintenance window ever opens",
            judged(&observed(), &Progress { rollout: held(None), ..settled() }),
        ),
        ("a broken image", judged(&observed(), &Progress { rollout: stuck, ..settled() })),
        (
            "a class that cannot expand",
            judged(&observed(), &Progress { growth: cannot, ..settled() }),
        ),
        (
            "a driver that grows only volumes at rest",
            judged(&observed(), &Progress { growth: failing, ..settled() }),
        ),
        ("a quota refuses pods", judged(&refused_pods, &settled())),
        ("volumes are nearly full", judged(&full, &settled())),
        ("clocks are off", judged(&clocks, &settled())),
        (
            "partitions move, and a node objects",
            members(Members {
                placement: moving,
                objections: vec!["partition 3 does not begin: its leader is busy".into()],
                ..Members::default()
            }),
        ),
        (
            "a cluster is drained",
            members(Members { departures: vec![draining], ..Members::default() }),
        ),
        (
            "a drained cluster goes",
            members(Members { departures: vec![drained], ..Members::default() }),
        ),
        ("a cluster gets more nodes", members(Members { resizing: larger, ..Members::default() })),
        (
            "a cluster has given nodes up",
            members(Members { resizing: smaller, ..Members::default() }),
        ),
        (
            "a lost volume is replaced",
            members(Members { replacement: vec![substituted], ..Members::default() }),
        ),
        (
            "a replacement is refused",
            members(Members { replacement: vec![refused], ..Members::default() }),
        ),
    ];
    let text: Vec<String> = situations.map(|(name, lines)| format!("# {name}\n{lines}")).into();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_bad_change_does_not_unsay_that_the_database_serves() {
    let mut cluster = crate::testing::resource(crate::testing::spec());
    let failure = Failure::Invalid("cluster \"a\" has 4 nodes".into());
    assert_eq!(of_failure(&cluster, &failure, false).ready.holds, None);
    let was = crate::status::conditions(
        &[],
        &judge(&database(), &observed(), &noticed(), &settled(), ""),
        1,
        "2026-01-01T12:00:00Z",
    );
    cluster.status = Some(DougClusterStatus { conditions: was, ..Default::default() });
    let findings = of_failure(&cluster, &failure, false);
    assert_eq!((findings.ready.holds, findings.degraded.holds), (Some(true), Some(true)));
}

#[test]
fn what_passes_by_itself_needs_no_person() {
    let cluster = crate::testing::resource(crate::testing::spec());
    let busy = doug_client::Fault::unavailable("node a-1 does not answer");
    let still_there = crate::apply::ApplyError::StillThere("Service orders".into());
    for failure in [Failure::Apply(still_there), Failure::Node(busy)] {
        let after = |failures| {
            let findings = of_failure(&cluster, &failure, failure.passes(failures));
            (findings.degraded.holds, findings.progressing.holds)
        };
        assert_eq!([0, 4].map(after), [(Some(false), Some(true)); 2]);
        assert_eq!(after(5), (Some(true), Some(false)), "it has not passed for half a minute");
    }
}

#[test]
fn a_node_that_restarts_degrades_nothing() {
    let mut restarting = observed();
    restarting.answers.remove(&place(2));
    restarting.silent.insert(place(2), "its pod does not run".into());
    let degraded =
        |now| judge(&database(), &restarting, &noticed(), &settled(), now).degraded.holds;
    assert_eq!(degraded("2026-01-01T12:00:30Z"), Some(false));
    assert_eq!(degraded("2026-01-01T12:00:31Z"), Some(true));
}
