//! More and fewer nodes of a cluster that stays. Pure: decided anew from what is there.
//!
//! **More**: the StatefulSet grows first, its new nodes join, then each partition gets learners on
//! them, which get votes once they have caught up. The map's number of nodes rises last: until then
//! it is true that no partition has fewer voters than the cluster is said to have.
//!
//! **Fewer**: the map's number falls first, or nodes would refuse a goal of fewer. Then each
//! partition leaves the last nodes, the StatefulSet shrinks once none has a member there, and what
//! becomes of their volumes is as declared.
//!
//! A partition goes from one number to the other in one joint configuration, never through an even
//! number of voters: four survive no more failures than three.

mod leaving;

pub use leaving::{Leftover, leftovers, ordinal, replicas, running, shrinking};

use crate::dereference::Observed;
use crate::groups::{Group, Leader};
use crate::placement::{AT_ONCE, Move, Placement, able_node, preferences};
use crate::replacement;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_crds::ClusterSpec;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node};
use std::collections::BTreeMap;

/// What is to be done so that every partition has as many voters as its cluster has nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resizing {
    /// Goals to give now.
    pub moves: Vec<Move>,
    /// Clusters that are not as declared yet.
    pub clusters: Vec<Change>,
}

/// A cluster on its way to another number of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The cluster.
    pub cluster: String,
    /// How many nodes it is to have.
    pub nodes: u32,
    /// Its partitions.
    pub all: usize,
    /// Those that do not have their voters on exactly these nodes yet.
    pub left: Vec<u64>,
    /// What they wait for, where it is not their turn.
    pub why: Option<String>,
}

/// All that a decision looks at.
struct Scene<'a> {
    database: &'a Database,
    map: &'a PartitionMap,
    groups: &'a [Group],
    observed: &'a Observed,
}

/// Decides. Partitions on their way to another cluster count towards those that may be at once, and
/// a cluster in which a node is replaced waits until that has been done.
pub fn next(
    (database, map): (&Database, &PartitionMap),
    groups: &[Group],
    observed: &Observed,
    placement: &Placement,
    replaced: &[replacement::Step],
) -> Resizing {
    let scene = Scene { database, map, groups, observed };
    let under_way = groups.iter().filter(|group| group.resizes()).count();
    let mut room =
        AT_ONCE.saturating_sub(placement.moving.len() + placement.moves.len() + under_way);
    let mut preferred = preferences(groups);
    let mut resizing = Resizing::default();
    for cluster in &database.spec.clusters {
        let Some(mut change) = scene.change(cluster) else { continue };
        change.why = replaced.iter().find_map(|step| step.concerns(&cluster.name));
        for id in change.left.clone() {
            if change.why.is_some() || room == 0 {
                break;
            }
            let group = groups.iter().find(|group| group.id() == id);
            let Some(group) = group.filter(|group| group.is_at_rest()) else { continue };
            match scene.goal(group, cluster, &mut preferred) {
                Ok(next) => {
                    resizing.moves.push(next);
                    room -= 1;
                }
                Err(why) => change.why = Some(why),
            }
        }
        resizing.clusters.push(change);
    }
    resizing
}

impl Scene<'_> {
    /// What is left to do in a cluster, if anything is.
    fn change(&self, cluster: &ClusterSpec) -> Option<Change> {
        let held = self
            .groups
            .iter()
            .filter(|group| group.destination() == cluster.name && group.moving_to().is_none());
        let held: Vec<&Group> = held.collect();
        let left = held.iter().filter(|group| !self.is_sized(group, cluster));
        let left: Vec<u64> = left.map(|group| group.id()).collect();
        let known = self.map.cluster(&cluster.name);
        let told = known.is_none_or(|known| known.nodes == cluster.nodes);
        let runs = replicas(self.database, self.observed, &cluster.name);
        let scaled = runs.is_none_or(|nodes| nodes == cluster.nodes || nodes == 0);
        (!left.is_empty() || !told || !scaled).then(|| Change {
            cluster: cluster.name.clone(),
            nodes: cluster.nodes,
            all: held.len(),
            left,
            why: None,
        })
    }

    /// Whether its voters are on the nodes declared, and it is not on its way from or to others.
    /// A place whose volume is another one is still that place: replacing it is done elsewhere.
    fn is_sized(&self, group: &Group, cluster: &ClusterSpec) -> bool {
        let voters = &group.descriptor.voters;
        let declared = |node: NodeId| {
            self.map.node(node).and_then(ordinal).is_none_or(|at| at < cluster.nodes)
        };
        !group.resizes()
            && voters.len() >= cluster.nodes as usize
            && voters.iter().all(|voter| declared(voter.node))
    }

    fn goal(
        &self,
        group: &Group,
        cluster: &ClusterSpec,
        preferred: &mut BTreeMap<NodeId, usize>,
    ) -> Result<Move, String> {
        let partition = group.id();
        let leader = group.leader.as_ref();
        let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
        let places = (0..cluster.nodes)
            .map(|ordinal| Place { cluster: cluster.name.clone(), ordinal })
            .map(|place| self.voter(group, leader, &place));
        let nodes = places.collect::<Result<Vec<_>, _>>()?;
        let first = group.descriptor.voters.first().map(|voter| voter.node);
        Ok(Move {
            partition,
            generation: group.descriptor.generation,
            leader: leader.node,
            goal: Goal {
                nodes: in_order(nodes, first, preferred),
                cluster: cluster.name.clone(),
                discarded: Vec::new(),
            },
        })
    }

    /// The node of a place, which votes already or can. Each that stays must be there and have
    /// caught up: else fewer voters would hang on those that have, and a single failure more could
    /// stop the partition.
    fn voter(&self, group: &Group, leader: &Leader, place: &Place) -> Result<NodeId, String> {
        let name = place.name();
        let entry = |node: NodeId| self.map.node(node).is_some_and(|entry| entry.name == name);
        let mut voters = group.descriptor.voters.iter().map(|voter| voter.node);
        let Some(votes) = voters.find(|node| entry(*node)) else {
            return able_node(self.map, self.observed, place);
        };
        if leader.caught_up.contains(&votes) {
            return Ok(votes);
        }
        Err(format!("node {name} has not caught up with partition {}", group.id()))
    }
}

/// In order of preference for the leadership: the node preferred by the fewest partitions comes
/// first, and of equals the one that was first.
fn in_order(
    mut nodes: Vec<NodeId>,
    first: Option<NodeId>,
    preferred: &mut BTreeMap<NodeId, usize>,
) -> Vec<NodeId> {
    if let Some(count) = first.and_then(|first| preferred.get_mut(&first)) {
        *count -= 1;
    }
    let load = |node: &NodeId| preferred.get(node).copied().unwrap_or(0);
    let rank = |at: &usize| (load(&nodes[*at]), Some(nodes[*at]) != first);
    let best = (0..nodes.len()).min_by_key(rank).unwrap_or(0);
    nodes.rotate_left(best);
    if let Some(node) = nodes.first() {
        *preferred.entry(*node).or_default() += 1;
    }
    nodes
}

impl Resizing {
    /// Begins nothing for now.
    pub fn hold(&mut self, why: &str) {
        if !self.moves.is_empty() {
            self.moves.clear();
            for change in &mut self.clusters {
                change.why = change.why.take().or_else(|| Some(why.to_owned()));
            }
        }
    }
}

/// Whether the map may say that a cluster has so many nodes. Fewer at once. More only once every
/// partition on it has as many voters: what the map says, each of them has.
pub fn may_say(map: &PartitionMap, groups: &[Group], cluster: &ClusterSpec) -> bool {
    let Some(known) = map.cluster(&cluster.name) else { return true };
    let has_as_many = |group: &Group| {
        group.is_at_rest() && group.descriptor.voters.len() >= cluster.nodes as usize
    };
    let mut held = groups.iter().filter(|group| group.destination() == cluster.name);
    cluster.nodes <= known.nodes || held.all(has_as_many)
}

/// Whether a node of the map belongs to a cluster's nodes beyond the first `nodes`.
fn is_beyond(node: &Node, cluster: &str, nodes: u32) -> bool {
    node.cluster == cluster && ordinal(node).is_some_and(|ordinal| ordinal >= nodes)
}

#[cfg(test)]
mod tests;
