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
    };
    let mut objects = crate::build::build(&database(), &circumstances);
    keep_templates(&mut objects, &observed);
    let set = objects.iter().find(|object| object.resource.kind == "StatefulSet").unwrap();
    let template = &set.body["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["spec"]["resources"]["requests"]["storage"], "512Mi");
}
