//! How many facades there are, where somebody else scales them.
//!
//! The number is declared in `spec.facade.replicas`, and an autoscaler that scales the DougCluster
//! writes it there. One that scales the Deployment itself, or a person in a hurry, is left in
//! charge of it: were the declared number put back each time, the two would fight without an end,
//! and clients would lose their connections each time. A number that is declared anew counts again.

use crate::build::{Desired, MANAGER};
use crate::dereference::Observed;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

/// The number that was declared when it was last applied.
pub const DECLARED: &str = "dougdb.io/declared-replicas";

/// Leaves the number of facades to whoever has set it since it was last declared, and writes down
/// which number is declared now.
pub fn keep_replicas(objects: &mut [Desired], observed: &Observed) {
    for object in objects.iter_mut().filter(|object| object.resource.kind == "Deployment") {
        let declared = object.body["spec"]["replicas"].to_string();
        let scaled = observed.facade.as_ref().is_some_and(|found| {
            found.annotations().get(DECLARED) == Some(&declared) && is_scaled_by_another(found)
        });
        if let Some(spec) = object.body["spec"].as_object_mut().filter(|_| scaled) {
            // What an apply leaves out, and does not own, stays.
            spec.remove("replicas");
        }
        object.body["metadata"]["annotations"][DECLARED] = declared.into();
    }
}

/// Whoever changes a field owns it from then on, and those who did before do not.
fn is_scaled_by_another(found: &Deployment) -> bool {
    let owners = found.metadata.managed_fields.iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:spec"]);
        fields.is_some_and(|spec| spec.get("f:replicas").is_some())
    });
    let mut names = owners.map(|entry| entry.manager.as_deref().unwrap_or_default()).peekable();
    names.peek().is_some() && names.all(|name| name != MANAGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Circumstances, build};
    use crate::testing::database;
    use doug_crds::Platform;
    use serde_json::{Value, json};

    /// What is applied of the facade of a database that declares two, where the Deployment was
    /// last applied as that many, and these set the number.
    fn applied(declared: &str, owners: &[&str]) -> Value {
        let entry = |manager: &&str| json!({"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}});
        let other = json!({"manager": MANAGER, "fieldsV1": {"f:spec": {"f:template": {}}}});
        let entries: Vec<Value> = owners.iter().map(entry).chain([other]).collect();
        let found = json!({"metadata": {
            "name": "orders-facade",
            "annotations": {DECLARED: declared},
            "managedFields": entries,
        }});
        let facade = Some(serde_json::from_value(found).unwrap());
        with(&Observed { facade, ..Observed::default() })
    }

    fn with(observed: &Observed) -> Value {
        let mut objects = build(
            &database(),
            &Circumstances {
                image: "doug:1".into(),
                platform: Platform::Kubernetes,
                asleep: false,
                nodes: Default::default(),
            },
        );
        keep_replicas(&mut objects, observed);
        objects.pop().unwrap().body
    }

    #[test]
    fn as_many_as_declared_are_made() {
        let body = with(&Observed::default());
        assert_eq!(body["spec"]["replicas"], 2);
        assert_eq!(body["metadata"]["annotations"][DECLARED], "2");
        assert_eq!(applied("2", &[MANAGER])["spec"]["replicas"], 2);
    }

    #[test]
    fn whoever_scales_the_deployment_is_left_in_charge_of_it() {
        for other in ["kube-controller-manager", "kubectl"] {
            let body = applied("2", &[other]);
            assert_eq!(body["spec"].get("replicas"), None, "{other} is fought");
            assert!(body["spec"]["template"].is_object(), "all else is applied");
        }
    }

    #[test]
    fn a_number_that_is_declared_anew_counts_again() {
        assert_eq!(applied("3", &["kubectl"])["spec"]["replicas"], 2);
    }

    #[test]
    fn one_who_wants_the_same_number_takes_nothing_over() {
        assert_eq!(applied("2", &["kubectl", MANAGER])["spec"]["replicas"], 2);
    }
}
