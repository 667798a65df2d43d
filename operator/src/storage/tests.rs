use super::*;
use crate::testing::database;
use serde_json::json;

/// Three claims and the StatefulSet, of these sizes.
fn observed(claimed: [&str; 3], capacity: &str, template: &str) -> Observed {
    let claim = |(ordinal, size): (usize, &str)| {
        let name = format!("data-orders-a-{ordinal}");
        let claim = json!({
            "metadata": {"name": name},
            "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": size}}},
            "status": {"capacity": {"storage": capacity}},
        });
        (name, serde_json::from_value(claim).unwrap())
    };
    let set = json!({"metadata": {"name": "orders-a"}, "spec": {
        "serviceName": "orders-a", "selector": {}, "template": {},
        "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": template}}}}],
    }});
    Observed {
        claims: claimed.into_iter().enumerate().map(claim).collect(),
        sets: [("orders-a".to_owned(), serde_json::from_value(set).unwrap())].into(),
        ..Observed::default()
    }
}

#[test]
fn volumes_of_the_declared_size_are_left_alone() {
    let observed = observed(["1Gi"; 3], "1Gi", "1Gi");
    assert_eq!(next(&database(), &observed, |_| true), Growth::Done);
}

#[test]
fn claims_grow_before_the_stateful_set_is_replaced() {
    let first = observed(["512Mi", "1Gi", "512Mi"], "512Mi", "512Mi");
    let small = vec!["data-orders-a-0".to_owned(), "data-orders-a-2".to_owned()];
    assert_eq!(next(&database(), &first, |_| true), Growth::PatchClaims(small));
    let then = observed(["1Gi"; 3], "512Mi", "512Mi");
    assert_eq!(next(&database(), &then, |_| true), Growth::ReplaceSets(vec!["orders-a".into()]));
    let last = observed(["1Gi"; 3], "512Mi", "1Gi");
    assert!(
        matches!(next(&database(), &last, |_| true), Growth::Growing(claims) if claims.len() == 3)
    );
}

#[test]
fn a_class_that_cannot_expand_is_named_and_nothing_is_touched() {
    let observed = observed(["512Mi"; 3], "512Mi", "512Mi");
    let stopped = Growth::CannotGrow { class: "fast".into(), claim: "data-orders-a-0".into() };
    assert_eq!(next(&database(), &observed, |_| false), stopped);
}

#[test]
fn the_stateful_set_of_a_cluster_that_leaves_is_not_deleted_for_its_size() {
    let mut observed = observed(["1Gi"; 3], "1Gi", "1Gi");
    let mut leaving = observed.sets["orders-a"].clone();
    leaving.metadata.name = Some("orders-b".into());
    let template = leaving.spec.as_mut().unwrap().volume_claim_templates.as_mut().unwrap();
    let resources = template[0].spec.as_mut().unwrap().resources.as_mut().unwrap();
    resources.requests.as_mut().unwrap().get_mut("storage").unwrap().0 = "512Mi".into();
    observed.sets.insert("orders-b".into(), leaving);
    assert_eq!(next(&database(), &observed, |_| true), Growth::Done);
}

#[test]
fn a_stateful_set_that_is_there_is_applied_with_the_size_it_has() {
    let observed = observed(["512Mi"; 3], "512Mi", "512Mi");
    let circumstances = crate::build::Circumstances {
        image: "doug".into(),
        platform: doug_crds::Platform::Kubernetes,
        asleep: false,
        nodes: Default::default(),
    };
    let mut objects = crate::build::build(&database(), &circumstances);
    keep_templates(&mut objects, &observed);
    let set = objects.iter().find(|object| object.resource.kind == "StatefulSet").unwrap();
    let template = &set.body["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["spec"]["resources"]["requests"]["storage"], "512Mi");
}

/// The first claim has this condition since noon.
fn with_condition(observed: &mut Observed, kind: &str, message: &str) -> PersistentVolumeClaim {
    let claim = observed.claims.get_mut("data-orders-a-0").unwrap();
    let condition = json!({
        "type": kind, "status": "True", "message": message,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    });
    let conditions = vec![serde_json::from_value(condition).unwrap()];
    claim.status.as_mut().unwrap().conditions = Some(conditions);
    claim.clone()
}

#[test]
fn storage_that_fails_to_grow_is_said_in_its_drivers_words() {
    let mut observed = observed(["1Gi"; 3], "512Mi", "1Gi");
    with_condition(&mut observed, "ControllerResizeError", "volume is in use");
    let failing =
        Growth::Failing { claim: "data-orders-a-0".into(), why: "volume is in use".into() };
    assert_eq!(next(&database(), &observed, |_| true), failing);
}

#[test]
fn a_pod_makes_way_where_its_volume_grows_only_as_it_is_mounted() {
    let mut observed = observed(["1Gi"; 3], "512Mi", "1Gi");
    let pod = |began: &str| -> Pod {
        serde_json::from_value(json!({"metadata": {"creationTimestamp": began}})).unwrap()
    };
    let (before, after) = (pod("2026-01-01T11:00:00Z"), pod("2026-01-01T12:00:30Z"));
    let at = |time: &str| time.parse::<Timestamp>().unwrap();
    let late = at("2026-01-01T12:01:01Z");

    let growing = with_condition(&mut observed, "FileSystemResizePending", "");
    assert!(awaits_restart(&growing, &before, late));
    assert!(!awaits_restart(&growing, &before, at("2026-01-01T12:01:00Z")), "it may be mounted");
    assert!(!awaits_restart(&growing, &after, late), "it was restarted for that, once is enough");
    let other = with_condition(&mut observed, "Resizing", "");
    assert!(!awaits_restart(&other, &before, late));
}
