//! Nodes that are replaced: those that have lost their volumes, unasked, and those
//! that someone gives up, or that are silent for too long. Pure: one step at a time
//! for each cluster, decided anew from what is there.
//!
//! A node is given up by taking its volume away; from then on it is one that has
//! lost it. What is to be taken away is written to the status first, by its uid, so
//! that whoever goes on can tell the old volume from the new one. Should the old
//! process return, on a machine that was only cut off, it has the old id: its groups
//! have left its replicas out, and nobody listens to them.

mod clearing;
mod lost;
mod told;

pub use clearing::Clearing;
pub use told::{ANNOTATION, told, without};

use crate::dereference::{Answer, Observed};
use crate::groups::{Group, Known};
use crate::placement::Move;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_crds::{NodeStatus, Replacing};
use doug_proto::ids::NodeId;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// What to do about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write down what is to be taken away, before it is.
    Intend(Place, Replacing),
    /// Take it away.
    Clear(Place, Clearing),
    /// Tell partitions to replace their members on the old volume.
    Substitute {
        /// Whose volume is another one.
        place: Place,
        /// The goals to give now.
        moves: Vec<Move>,
        /// Partitions that still have a member on the old volume.
        left: Vec<u64>,
    },
    /// Nothing for now, and why.
    Wait(Place, String),
    /// It is not done, though it was asked for or is due, and why.
    Refuse(String, String),
    /// It is done: the request and the record of it can go.
    Finish(Place),
}

impl Step {
    /// What is under way with a node of a cluster, in words.
    pub fn concerns(&self, cluster: &str) -> Option<String> {
        let place = match self {
            Self::Refuse(..) => return None,
            Self::Intend(place, _) | Self::Clear(place, _) => place,
            Self::Wait(place, _) | Self::Finish(place) | Self::Substitute { place, .. } => place,
        };
        (place.cluster == cluster).then(|| format!("node {} is being replaced", place.name()))
    }
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What is declared.
    pub database: &'a Database,
    /// The map as the nodes have it.
    pub map: &'a PartitionMap,
    /// The groups.
    pub groups: &'a [Group],
    /// What there is.
    pub observed: &'a Observed,
    /// The nodes as they were last published.
    pub nodes: &'a [NodeStatus],
    /// Names of the nodes that someone gives up.
    pub told: &'a [String],
    /// Now, as RFC 3339.
    pub now: &'a str,
}

/// The next step for each cluster that has one.
pub fn next(situation: &Situation) -> Vec<Step> {
    let declared = |name: &String| situation.database.places().any(|place| place.name() == *name);
    let unknown = situation.told.iter().filter(|name| !declared(name)).map(|name| {
        let why = "no node of that name is declared: correct the annotation dougdb.io/replace";
        Step::Refuse(name.clone(), why.to_owned())
    });
    let clusters = situation.database.spec.clusters.iter();
    clusters.filter_map(|cluster| of_cluster(situation, &cluster.name)).chain(unknown).collect()
}

/// One node of a cluster at a time: what has been begun, then what is lost already,
/// then what is asked for.
fn of_cluster(situation: &Situation, cluster: &str) -> Option<Step> {
    let places = || situation.database.places().filter(|place| place.cluster == cluster);
    let begun = places().find_map(|place| {
        let replacing = situation.status(&place)?.replacing.clone()?;
        Some(clearing::go_on(situation, place, &replacing))
    });
    begun
        .or_else(|| places().find_map(|place| lost::substitute(situation, place)))
        .or_else(|| places().find_map(|place| asked(situation, place)))
        .or_else(|| places().find_map(|place| due(situation, place)))
}

fn asked(situation: &Situation, place: Place) -> Option<Step> {
    situation.told.contains(&place.name()).then(|| begin(situation, place))
}

/// A node that has been silent for longer than declared. Whoever is only out of this
/// operator's reach is left alone.
fn due(situation: &Situation, place: Place) -> Option<Step> {
    let after = situation.database.replace_after?;
    let status = situation.status(&place)?;
    if situation.observed.answers.contains_key(&place) {
        return None;
    }
    let since = status.silent_since.as_ref()?.parse::<Timestamp>().ok()?;
    let silent = situation.now.parse::<Timestamp>().ok()?.duration_since(since);
    if silent < SignedDuration::try_from(after).ok()? {
        return None;
    }
    let node: NodeId = status.id.as_ref()?.parse().ok()?;
    let mut leaders = situation.groups.iter().filter_map(|group| group.leader.as_ref());
    if leaders.any(|leader| leader.active.contains(&node)) {
        let why = "other nodes still hear it, so that only this operator cannot reach it: look \
                   at the network between them";
        return Some(Step::Refuse(place.name(), why.to_owned()));
    }
    Some(begin(situation, place))
}

/// Gives a node up, if all others that hold its partitions are well.
fn begin(situation: &Situation, place: Place) -> Step {
    let refuse = |why: String| Step::Refuse(place.name(), why);
    let answer = situation.observed.answers.get(&place).and_then(|answer| answer.node());
    let known = situation.status(&place).and_then(|status| status.id.as_ref()?.parse().ok());
    let Some(node) = answer.or(known) else {
        let (pod, claim) = (situation.database.pod_name(&place), situation.claim_name(&place));
        return refuse(format!(
            "it never said who it is, so that nothing is known of what it holds: delete its \
             claim {claim} and its pod {pod} yourself"
        ));
    };
    if let Some(why) = hindrance(situation, node) {
        return refuse(why);
    }
    let claim = situation.observed.claims.get(&situation.claim_name(&place));
    match claim.and_then(ResourceExt::uid) {
        Some(claim) => Step::Intend(place, Replacing { id: node.to_string(), claim }),
        None => Step::Wait(place, "it has no claim yet".to_owned()),
    }
}

/// Why a node's volume cannot be taken away now.
fn hindrance(situation: &Situation, node: NodeId) -> Option<String> {
    let told = |status: &&NodeStatus| situation.told.contains(&status.name);
    let ids = situation.nodes.iter().filter(told).filter_map(|status| status.id.as_ref());
    let known = Known {
        answering: situation.observed.answers.values().filter_map(Answer::node).collect(),
        // Two that are merely silent are no such: that may be a network that comes back.
        given_up: ids.filter_map(|id| id.parse().ok()).collect(),
    };
    let concerned = situation.groups.iter().filter(|group| group.has(node));
    let name_of = |node| situation.name_of(node);
    let why = concerned.filter_map(|group| group.needs(node, &known, name_of)).next()?;
    Some(format!(
        "{why}. Taking its volume away as well could lose what only they have: bring the other \
         back first, or wait"
    ))
}

impl Situation<'_> {
    fn status(&self, place: &Place) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.name == place.name())
    }

    fn claim_name(&self, place: &Place) -> String {
        self.database.claim_name(place)
    }

    fn name_of(&self, node: NodeId) -> String {
        self.map.node(node).map_or_else(|| node.to_string(), |entry| entry.name.clone())
    }
}

#[cfg(test)]
mod tests;
