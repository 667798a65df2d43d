//! Which image nodes run where none is declared.

use super::CONTAINER;
use crate::dereference::{Observed, lacks_image};
use crate::validate::Database;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use std::collections::BTreeMap;

/// The declared image; without one, that of the nodes which answer, so that an operator's own
/// upgrade restarts nobody, and so that a broken image is undone by removing it from the
/// declaration. Where no node answers, what the StatefulSets say, unless it cannot be had; else
/// `own`, the operator's.
pub fn image(database: &Database, observed: &Observed, own: &str) -> String {
    if let Some(declared) = &database.image {
        return declared.clone();
    }
    let mut answering: BTreeMap<&str, usize> = BTreeMap::new();
    let pods = observed.answers.keys().filter_map(|place| observed.pod(database, place));
    for image in pods.filter_map(|pod| image_of(pod.spec.as_ref()?)) {
        *answering.entry(image).or_default() += 1;
    }
    // In the middle of a rollout there are two: what most have.
    if let Some((image, _)) = answering.into_iter().max_by_key(|(_, nodes)| *nodes) {
        return image.to_owned();
    }
    let wanting: Vec<&Pod> = observed.pods.values().filter(|pod| lacks_image(pod)).collect();
    let cannot_be_had =
        |image: &str| wanting.iter().any(|pod| pod.spec.as_ref().and_then(image_of) == Some(image));
    let declared = observed.sets.values().find_map(|set| {
        image_of(set.spec.as_ref()?.template.spec.as_ref()?).filter(|image| !cannot_be_had(image))
    });
    declared.unwrap_or(own).to_owned()
}

fn image_of(pod: &PodSpec) -> Option<&str> {
    let node = pod.containers.iter().find(|container| container.name == CONTAINER);
    node?.image.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{database, empty, place};
    use k8s_openapi::api::core::v1::Container;
    use serde_json::{Value, json};

    const OWN: &str = "dougdb/doug:2";

    /// Three pods with these images, of which the broken ones cannot have theirs.
    fn pods(images: [&str; 3], status: impl Fn(&str) -> Value) -> Observed {
        let mut observed = Observed::default();
        for (ordinal, image) in (0..).zip(images) {
            let name = format!("orders-a-{ordinal}");
            let pod = json!({
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "node", "image": image}]},
                "status": status(image),
            });
            observed.pods.insert(name, serde_json::from_value(pod).unwrap());
            let set = json!({
                "metadata": {"name": "orders-a"},
                "spec": {"serviceName": "orders-a", "selector": {}, "template": {"spec": {
                    "containers": [{"name": "node", "image": images[2]}],
                }}},
            });
            observed.sets.insert("orders-a".into(), serde_json::from_value(set).unwrap());
        }
        observed
    }

    fn fine(_: &str) -> Value {
        json!({})
    }

    fn not_found(image: &str) -> Value {
        json!({"containerStatuses": [{
            "name": "node", "image": image, "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
        }]})
    }

    fn answer(observed: &mut Observed, ordinals: &[u32]) {
        observed.answers = ordinals.iter().map(|n| (place(*n), empty(*n))).collect();
    }

    #[test]
    fn what_is_declared_is_run() {
        let mut database = database();
        database.image = Some("mirror/doug:1".into());
        assert_eq!(image(&database, &pods(["x", "x", "x"], fine), OWN), "mirror/doug:1");
    }

    #[test]
    fn an_operator_that_is_upgraded_restarts_nobody() {
        let mut running = pods(["doug:1", "doug:1", "doug:1"], fine);
        assert_eq!(image(&database(), &running, OWN), "doug:1", "while all are restarted");
        answer(&mut running, &[0, 2]);
        assert_eq!(image(&database(), &running, OWN), "doug:1");
        assert_eq!(image(&database(), &Observed::default(), OWN), OWN);
    }

    #[test]
    fn a_sidecar_that_was_put_first_is_not_the_node() {
        let mut running = pods(["doug:1", "doug:1", "doug:1"], fine);
        for pod in running.pods.values_mut() {
            let sidecar = Container {
                name: "proxy".into(),
                image: Some("proxy:7".into()),
                ..Default::default()
            };
            pod.spec.as_mut().unwrap().containers.insert(0, sidecar);
        }
        answer(&mut running, &[0, 1, 2]);
        assert_eq!(image(&database(), &running, OWN), "doug:1");
    }

    #[test]
    fn a_broken_image_that_is_removed_gives_way_to_what_the_others_run() {
        let mut stopped = pods(["doug:1", "doug:1", "doug:nope"], not_found);
        answer(&mut stopped, &[0, 1]);
        assert_eq!(image(&database(), &stopped, OWN), "doug:1");
    }

    #[test]
    fn a_broken_image_that_no_pod_ever_had_gives_way_to_the_operators_own() {
        let never = pods(["doug:nope", "doug:nope", "doug:nope"], not_found);
        assert_eq!(image(&database(), &never, OWN), OWN);
    }
}
