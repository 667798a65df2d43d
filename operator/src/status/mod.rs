//! From what was found to the published status. Pure; the controller writes it,
//! and only when it differs.

mod conditions;
mod nodes;
mod writable;

pub use conditions::{Finding, Findings, TYPES, conditions, unknown};
pub use nodes::node_statuses;
pub use writable::{Leaders, writable};

use crate::build::facade_selector;
use crate::dereference::Observed;
use crate::validate::Database;
use doug_client::PartitionMap;
use doug_crds::{DougClusterStatus, FacadeStatus, NodeState, StatusMap, Summary};

/// What a reconciliation found besides the nodes' answers.
pub struct Outcome<'a> {
    /// The database, checked.
    pub database: &'a Database,
    /// What was observed.
    pub observed: &'a Observed,
    /// What it means for the conditions.
    pub findings: Findings,
    /// Now, as RFC 3339.
    pub now: String,
}

/// The status that follows. `old` gives what nobody says at the moment.
pub fn status(old: &DougClusterStatus, outcome: &Outcome) -> DougClusterStatus {
    let Outcome { database, observed, findings, now } = outcome;
    let nodes = node_statuses(database, observed, &old.nodes, now);
    let map = newer_map(old.partition_map.as_ref(), observed.map());
    let version = nodes.iter().filter_map(|node| node.version.clone()).min();
    let summary = Summary {
        clusters: database.spec.clusters.len() as u32,
        // As many as spec.partitioning declares.
        partitions: map.as_ref().map_or(0, |map| map.of_default().count() as u32),
        nodes: nodes.len() as u32,
        ready_nodes: nodes.iter().filter(|node| node.state == NodeState::Ready).count() as u32,
    };
    DougClusterStatus {
        observed_generation: Some(database.generation),
        database_id: database_id(observed).or_else(|| old.database_id.clone()),
        version: version.or_else(|| old.version.clone()),
        endpoint: Some(database.endpoint()),
        summary: Some(summary),
        facade: facade(database, observed).or_else(|| old.facade.clone()),
        conditions: conditions(&old.conditions, findings, database.generation, now),
        nodes,
        operator: old.operator.clone(),
        creation: old.creation.clone(),
        partition_map: map,
    }
}

fn facade(database: &Database, observed: &Observed) -> Option<FacadeStatus> {
    let status = observed.facade.as_ref()?.status.as_ref()?;
    Some(FacadeStatus {
        replicas: status.replicas.unwrap_or(0),
        ready_replicas: status.ready_replicas.unwrap_or(0),
        selector: facade_selector(&database.name),
    })
}

fn database_id(observed: &Observed) -> Option<String> {
    let mut ids = observed.answers.values().map(|answer| &answer.database);
    ids.find(|id| !id.is_empty()).cloned()
}

/// The epoch never falls: while too few nodes answer to rebuild the map, the
/// published one stays, and news raises its epoch. What is published has no
/// replica ids, so they are left out before the two are compared; otherwise each
/// would forever look like news to the other.
fn newer_map(old: Option<&StatusMap>, found: Option<PartitionMap>) -> Option<StatusMap> {
    let found = found.and_then(|map| PartitionMap::from_json(&map.to_json()).ok());
    let known = old.and_then(|old| PartitionMap::from_json(&serde_json::to_string(old).ok()?).ok());
    let newer = match (known, found) {
        (Some(known), Some(found)) if known.database == found.database => match known.merge(&found)
        {
            Some(newer) => newer,
            None => return old.cloned(),
        },
        (None, found) => found?,
        _ => return old.cloned(),
    };
    serde_json::from_str(&newer.to_json()).ok()
}

#[cfg(test)]
mod tests;
