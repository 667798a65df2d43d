//! Who holds which partitions, as the status says.

use crate::database::Database;
use crate::kubectl;
use crate::wait::until;
use serde_json::Value;
use std::time::Duration;

/// How many partitions a cluster holds, the catalog's too, not counting those whose
/// members change.
pub fn held(database: &Database<'_>, cluster: &str) -> usize {
    let status = database.status();
    let at_rest = |partition: &&Value| {
        partition["cluster"] == cluster
            && partition["outgoing"].is_null()
            && partition["learners"].is_null()
    };
    partitions(&status).iter().filter(at_rest).count()
}

/// How many partitions have a member on a node of a cluster, be it on the way in or out.
pub fn on(database: &Database<'_>, cluster: &str) -> usize {
    let status = database.status();
    let nodes = status["partitionMap"]["nodes"].as_array().cloned().unwrap_or_default();
    let nodes = nodes.iter().filter(|node| node["cluster"] == cluster);
    let ids: Vec<&Value> = nodes.map(|node| &node["id"]).collect();
    let has_member = |partition: &&Value| {
        let members = ["voters", "outgoing", "learners"]
            .iter()
            .flat_map(|of| partition[of].as_array().into_iter().flatten());
        members.into_iter().any(|member| ids.contains(&member))
    };
    partitions(&status).iter().filter(has_member).count()
}

/// How many voters each partition has whose members are at rest.
pub fn voters(database: &Database<'_>) -> Vec<usize> {
    let partitions = partitions(&database.status());
    let at_rest =
        |partition: &&Value| partition["outgoing"].is_null() && partition["learners"].is_null();
    let voters = partitions.iter().filter(at_rest).map(|partition| &partition["voters"]);
    voters.map(|voters| voters.as_array().map_or(0, Vec::len)).collect()
}

/// The id on the volume of a node.
///
/// # Panics
/// When the status does not give one.
pub fn id(database: &Database<'_>, name: &str) -> String {
    let node = node(&database.status(), name);
    node["id"].as_str().expect("the node has said who it is").to_owned()
}

/// The state of a node, in one word.
pub fn state(database: &Database<'_>, name: &str) -> String {
    node(&database.status(), name)["state"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a node has another volume, every partition has a voter on it, and
/// none has a member on the old one.
///
/// # Panics
/// When it is not so in time.
pub fn await_replaced(database: &Database<'_>, name: &str, old: &str, within: Duration) {
    until(&format!("node {name} is replaced"), within, || {
        let status = database.status();
        let new = node(&status, name)["id"].as_str().filter(|id| *id != old)?.to_owned();
        let partitions = partitions(&status);
        let among = |partition: &Value, field: &str, id: &str| {
            partition[field].as_array().into_iter().flatten().any(|member| member == id)
        };
        let replaced = |partition: &Value| {
            among(partition, "voters", &new)
                && !["voters", "outgoing", "learners"].iter().any(|of| among(partition, of, old))
                && partition["outgoing"].is_null()
        };
        (!partitions.is_empty() && partitions.iter().all(replaced)).then_some(())
    });
}

/// Whether an event of that reason tells of the database.
pub fn said(database: &Database<'_>, reason: &str) -> bool {
    let selector = format!("--field-selector=reason={reason}");
    let events = kubectl::list(&database.namespace().arguments(&["events", &selector]));
    !events.is_empty()
}

fn node(status: &Value, name: &str) -> Value {
    let mut nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.find(|node| node["name"] == name).cloned().unwrap_or_default()
}

fn partitions(status: &Value) -> Vec<Value> {
    status["partitionMap"]["partitions"].as_array().cloned().unwrap_or_default()
}
