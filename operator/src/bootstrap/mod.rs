//! From empty volumes to a database, exactly once. A pure decision: what is
//! known goes in, the next step comes out.
//!
//! The danger is two databases, or a second one over the first. So the intent to
//! create is written to the resource before the first call, under a
//! precondition; it is written only when every declared node has answered that
//! its volume is empty; and once any data is found, it is adopted.

use crate::dereference::{Answer, Observed};
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_client::create::{self as creation, NodeIdentity};
use doug_crds::{Creation, CreationNode, DougClusterStatus};
use doug_proto::ids::{DatabaseId, NodeId};
use std::collections::BTreeMap;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Not everyone has answered; a sentence says who is missing.
    Wait(String),
    /// Write this intent, before anything else.
    Intend(Creation),
    /// Give these nodes this first map.
    Create(Box<PartitionMap>, Vec<Place>),
    /// All there is to create is created.
    Done,
    /// Going on could make a second database or lose one: reason and remedy.
    Blocked(&'static str, String),
}

/// Decides, with `fresh` as the id of a database that is yet to be.
pub fn next(
    database: &Database,
    status: &DougClusterStatus,
    observed: &Observed,
    fresh: DatabaseId,
) -> Step {
    if let Err(blocked) = one_database(status, observed) {
        return blocked;
    }
    if let Some(intent) = &status.creation {
        return follow(database, intent, observed);
    }
    if observed.answers.values().any(|answer| !answer.database.is_empty()) {
        return complete(observed);
    }
    if !observed.silent.is_empty() {
        return Step::Wait(waiting(database, observed));
    }
    if let Some(known) = &status.database_id {
        return Step::Blocked(
            "VolumesEmpty",
            format!(
                "every node's volume is empty, though this DougCluster had database {known}: \
                 nothing is created over it. Restore the volumes; or, to begin with an empty \
                 database, delete the DougCluster and apply it again"
            ),
        );
    }
    intend(database, observed, fresh)
}

fn waiting(database: &Database, observed: &Observed) -> String {
    let all = database.places().count();
    let mut silent = observed.silent.iter().map(|(place, why)| format!("{} ({why})", place.name()));
    let first: Vec<String> = silent.by_ref().take(3).collect();
    let rest = silent.count();
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!(
        "{} of {all} nodes have answered; waiting for {}{more}",
        observed.answers.len(),
        first.join(", ")
    )
}

/// All data must be of one database, and of the one that is expected.
fn one_database(status: &DougClusterStatus, observed: &Observed) -> Result<(), Step> {
    let expected = status.creation.as_ref().map(|intent| &intent.database_id);
    let mut known = expected.or(status.database_id.as_ref()).map(|id| (id.clone(), None));
    for (place, answer) in &observed.answers {
        let found = &answer.database;
        match &known {
            _ if found.is_empty() => {}
            None => known = Some((found.clone(), Some(place))),
            Some((id, _)) if id == found => {}
            Some((id, holder)) => {
                let holder = holder.map_or("this DougCluster".to_owned(), |p: &Place| p.name());
                return Err(Step::Blocked(
                    "ForeignData",
                    format!(
                        "node {} holds data of database {found}, and {holder} belongs to {id}: \
                         nothing is changed. If that volume is not needed, delete its claim and \
                         its pod",
                        place.name()
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn intend(database: &Database, observed: &Observed, fresh: DatabaseId) -> Step {
    let node = |(place, answer): (&Place, &Answer)| CreationNode {
        name: place.name(),
        id: answer.status.id.clone(),
    };
    let declared = observed.answers.iter().filter(|(place, _)| database.declares(place));
    let nodes: Vec<CreationNode> = declared.map(node).collect();
    let mut by_id = BTreeMap::new();
    for node in &nodes {
        if let Some(other) = by_id.insert(&node.id, &node.name) {
            return Step::Blocked(
                "SameVolume",
                format!(
                    "nodes {other} and {} have the same id {}: their volumes are copies of each \
                     other, or one volume. Give one of them an empty volume",
                    node.name, node.id
                ),
            );
        }
    }
    Step::Intend(Creation { database_id: fresh.to_string(), nodes })
}

/// Carries an intent out. It alone says which nodes found the database.
fn follow(database: &Database, intent: &Creation, observed: &Observed) -> Step {
    let map = match first_map(database, intent) {
        Ok(map) => map,
        Err(why) => {
            return Step::Blocked(
                "CreationImpossible",
                format!("the creation that was begun cannot be finished: {why}"),
            );
        }
    };
    let mut empty = Vec::new();
    for node in &intent.nodes {
        let answer = observed.answers.iter().find(|(place, _)| place.name() == node.name);
        let Some((place, answer)) = answer else { continue };
        if answer.status.id != node.id && !created(observed) {
            return Step::Blocked(
                "VolumeReplaced",
                format!(
                    "node {} was {} when the creation began, and is {} now: its volume was \
                     replaced. No write was taken yet: delete the DougCluster with its claims \
                     and apply it again",
                    node.name, node.id, answer.status.id
                ),
            );
        }
        if answer.database.is_empty() && answer.status.id == node.id {
            empty.push(place.clone());
        }
    }
    if !empty.is_empty() {
        return Step::Create(Box::new(map), empty);
    }
    if created(observed) || observed.silent.is_empty() {
        return Step::Done;
    }
    Step::Wait(waiting(database, observed))
}

/// Whether every partition has a leader, which a majority has voted for.
fn created(observed: &Observed) -> bool {
    let Some(map) = observed.map() else { return false };
    let leads = |partition: u64| {
        let replicas = observed.answers.values().flat_map(|answer| &answer.status.replicas);
        replicas
            .into_iter()
            .any(|r| r.partition == partition && r.role() == doug_client::v1::ReplicaRole::Leader)
    };
    map.partitions.iter().all(|partition| leads(partition.id))
}

/// The map that follows from the intent and the partitioning, which never
/// changes. Clusters and nodes declared since are left out: they join later. Nodes declared no more
/// are in it: they leave later.
fn first_map(database: &Database, intent: &Creation) -> Result<PartitionMap, String> {
    let ids: BTreeMap<&str, &str> =
        intent.nodes.iter().map(|node| (node.name.as_str(), node.id.as_str())).collect();
    let intended = |cluster: &str| {
        let known = |ordinal: &u32| ids.contains_key(format!("{cluster}-{ordinal}").as_str());
        (0..).take_while(known).count() as u32
    };
    let mut spec = database.creation_of(|cluster| intended(&cluster.name));
    spec.clusters.retain(|cluster| !cluster.nodes.is_empty());
    let mut identities = Vec::new();
    for cluster in &spec.clusters {
        let names = (0..cluster.nodes.len()).map(|number| format!("{}-{number}", cluster.name));
        identities.push(names.map(|name| identity(&ids, &name)).collect::<Result<Vec<_>, _>>()?);
    }
    if identities.iter().map(Vec::len).sum::<usize>() != ids.len() {
        return Err(
            "a cluster that it began with is not declared any more: declare it again".into()
        );
    }
    let id: DatabaseId = intent.database_id.parse().map_err(|error| format!("{error}"))?;
    creation::plan(&spec, &identities, id).map_err(|fault| fault.message)
}

fn identity(ids: &BTreeMap<&str, &str>, name: &str) -> Result<NodeIdentity, String> {
    let id = ids.get(name).ok_or_else(|| format!("node {name} is not in it"))?;
    let node: NodeId = id.parse().map_err(|error| format!("{error}"))?;
    Ok(NodeIdentity { node, database: None })
}

/// Data without an intent: it is adopted. A creation that was interrupted is
/// finished, which is safe only for nodes that the first map lists.
fn complete(observed: &Observed) -> Step {
    let Some(map) = observed.map() else { return Step::Done };
    let listed = |answer: &Answer| {
        let id: Result<NodeId, _> = answer.status.id.parse();
        id.is_ok_and(|id| {
            let mut holds = map.partitions.iter().filter(|p| p.voter_on(id).is_some()).peekable();
            holds.peek().is_some() && holds.all(|partition| partition.generation == 1)
        })
    };
    let empty = observed.answers.iter().filter(|(_, a)| a.database.is_empty() && listed(a));
    let places: Vec<Place> = empty.map(|(place, _)| place.clone()).collect();
    if places.is_empty() { Step::Done } else { Step::Create(Box::new(map), places) }
}

#[cfg(test)]
mod tests;
