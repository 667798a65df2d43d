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
