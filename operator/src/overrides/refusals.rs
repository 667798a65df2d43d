//! What a pod template may not change: what the operator works by, and what has a field of its own
//! in the DougCluster, where it is checked.

use super::Component;
use super::merge::join;
use crate::names::{OWN_LABELS, OWN_PREFIX};
use serde_json::Value;

/// Nodes and facades hand over and drain before they end; sooner, they would be killed meanwhile.
const LEAST_GRACE_SECONDS: i64 = 30;

/// Of a pod.
const OF_POD: [(&str, &str); 9] = [
    ("restartPolicy", "the process is always started again"),
    ("hostname", "others reach a node by its name"),
    ("subdomain", "others reach a node by its name"),
    ("nodeName", "use nodeSelector or affinity, and the scheduler respects them"),
    ("serviceAccountName", "the account is the operator's; see serviceAccountAnnotations"),
    ("serviceAccount", "the account is the operator's; see serviceAccountAnnotations"),
    ("activeDeadlineSeconds", "pods run until they are replaced"),
    ("ephemeralContainers", "they are added to running pods, with `kubectl debug`"),
    ("schedulingGates", "nobody would open them"),
];

/// Of the container in which `doug` runs.
const OF_MAIN_CONTAINER: [(&str, &str); 10] = [
    ("command", "see config"),
    ("args", "see config"),
    ("ports", "others reach it there"),
    ("image", "declare spec.image"),
    ("resources", "declare resources beside podTemplate"),
    ("workingDir", "its files are where the operator put them"),
    ("startupProbe", "the operator counts on it"),
    ("livenessProbe", "the operator counts on it"),
    ("readinessProbe", "the operator counts on it"),
    ("lifecycle", "it hands over and drains by itself"),
];

/// Where the main container has its data and its token.
const OF_NODE_PATHS: [&str; 2] = ["/var/lib/dougdb", "/etc/dougdb"];

/// The paths in `declared` that `typed`, the same read as a pod template, does not have.
pub fn unknown(declared: &Value, typed: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_unknown(declared, typed, "", &mut found);
    found
}

fn find_unknown(declared: &Value, typed: &Value, path: &str, found: &mut Vec<String>) {
    match (declared, typed) {
        (Value::Object(fields), Value::Object(known)) => {
            for (name, value) in fields {
                let path = join(path, name);
                match known.get(name) {
                    Some(typed) => find_unknown(value, typed, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(elements), Value::Array(known)) => {
            for (number, (element, typed)) in elements.iter().zip(known).enumerate() {
                find_unknown(element, typed, &format!("{path}[{number}]"), found);
            }
        }
        _ => {}
    }
}

/// Everything declared that belongs to the operator, each with the reason. A null counts: it would
/// take the field away.
pub fn owned(component: Component, declared: &Value) -> Vec<String> {
    let mut refused = of_metadata(&declared["metadata"]);
    let spec = &declared["spec"];
    refused.extend(of_fields(spec, "spec", &OF_POD));
    if let Some(seconds) = spec.get("terminationGracePeriodSeconds")
        && seconds.as_i64().is_none_or(|seconds| seconds < LEAST_GRACE_SECONDS)
    {
        refused.push(format!(
            "spec.terminationGracePeriodSeconds below {LEAST_GRACE_SECONDS} (handing over and \
             draining take that long)"
        ));
    }
    if component == Component::Facade && spec.get("automountServiceAccountToken").is_some() {
        refused.push(
            "spec.automountServiceAccountToken (the facade reads its partition map with the token)"
                .to_owned(),
        );
    }
    let own_volumes: &[&str] = match component {
        Component::Node => &["data", "token"],
        Component::Facade => &[],
    };
    for name in names(&spec["volumes"]).filter(|name| own_volumes.contains(name)) {
        refused.push(format!("spec.volumes[{name}] (a node has its data and token there)"));
    }
    let main = component.name();
    if names(&spec["initContainers"]).any(|name| name == main) {
        refused.push(format!("spec.initContainers[{main}] (a container has this name)"));
    }
    let containers = spec["containers"].as_array().into_iter().flatten();
    for container in containers.filter(|container| container["name"] == main) {
        refused.extend(of_main_container(component, container));
    }
    refused
}

fn of_metadata(metadata: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    for name in fields(metadata).filter(|name| !["labels", "annotations"].contains(name)) {
        refused.push(format!("metadata.{name} (only labels and annotations can be added)"));
    }
    for label in fields(&metadata["labels"]) {
        if label.starts_with(OWN_PREFIX) || OWN_LABELS.contains(&label) {
            refused.push(format!("metadata.labels[{label}] (pods are selected by it)"));
        }
    }
    for annotation in fields(&metadata["annotations"]).filter(|name| name.starts_with(OWN_PREFIX)) {
        refused.push(format!("metadata.annotations[{annotation}] (the operator works by it)"));
    }
    refused
}

fn of_main_container(component: Component, container: &Value) -> Vec<String> {
    let path = format!("spec.containers[{}]", component.name());
    let mut refused = of_fields(container, &path, &OF_MAIN_CONTAINER);
    if component == Component::Facade {
        return refused;
    }
    for name in names(&container["env"]).filter(|name| ["POD_NAME", "POD_INDEX"].contains(name)) {
        refused.push(format!("{path}.env[{name}] (a node is named by it)"));
    }
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    for mount in mounts.filter_map(|mount| mount["mountPath"].as_str()) {
        if OF_NODE_PATHS.iter().any(|own| is_within(mount, own) || is_within(own, mount)) {
            refused.push(format!("{path}.volumeMounts[{mount}] (data and token are there)"));
        }
    }
    refused
}

fn is_within(path: &str, folder: &str) -> bool {
    let (path, folder) = (path.trim_end_matches('/'), folder.trim_end_matches('/'));
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn of_fields(object: &Value, path: &str, owned: &[(&str, &str)]) -> Vec<String> {
    let declared = owned.iter().filter(|(name, _)| object.get(*name).is_some());
    declared.map(|(name, why)| format!("{path}.{name} ({why})")).collect()
}

fn fields(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str))
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|element| element["name"].as_str())
}
