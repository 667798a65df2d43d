//! Which partition goes to which cluster. Pure: the same database gives the same
//! moves, whoever asks, and nothing is remembered.
//!
//! Partitions are counted where they are going, so a move that is under way is
//! done as far as the next decision is concerned, and nothing goes back and forth.

mod quota;

use crate::dereference::Observed;
use crate::groups::Group;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use doug_proto::map::Goal;
use std::collections::BTreeMap;

/// Partitions on their way at the same time: each is copied whole to every node of
/// its new cluster.
pub const AT_ONCE: usize = 2;

/// Where the partitions are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Moves to begin now.
    pub moves: Vec<Move>,
    /// Partitions on their way, and to which cluster.
    pub moving: Vec<(u64, String)>,
    /// Partitions that are to go somewhere and wait for their turn.
    pub waiting: usize,
    /// What they wait for, where it is not their turn.
    pub why: Option<String>,
}

/// One partition that is to go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: u64,
    /// The generation at which this was decided.
    pub generation: u64,
    /// Who leads it, and is to be told.
    pub leader: NodeId,
    /// Where it is to go.
    pub goal: Goal,
}

impl Placement {
    /// Whether every partition is where it is to be.
    pub fn is_settled(&self) -> bool {
        self.moves.is_empty() && self.moving.is_empty() && self.waiting == 0
    }
}

/// Decides.
pub fn next(
    database: &Database,
    map: &PartitionMap,
    groups: &[Group],
    observed: &Observed,
) -> Placement {
    let declared: Vec<&str> = database.spec.clusters.iter().map(|c| c.name.as_str()).collect();
    let held: Vec<(u64, &str)> =
        groups.iter().map(|group| (group.id(), group.destination())).collect();
    let wanted = quota::assign(&held, &declared);
    let mut placement = Placement::default();
    let moving = groups.iter().filter_map(|g| Some((g.id(), g.moving_to()?.to_owned())));
    placement.moving = moving.collect();
    let mut preferred = preferences(groups);
    for (partition, cluster) in wanted {
        let Some(group) = groups.iter().find(|group| group.id() == partition) else { continue };
        let ready = turn(&placement, group).and_then(|leader| {
            let nodes = able_nodes(database, map, observed, &cluster).map_err(Some)?;
            Ok((leader, nodes))
        });
        match ready {
            Ok((leader, nodes)) => placement.moves.push(Move {
                partition,
                generation: group.descriptor.generation,
                leader,
                goal: Goal { nodes: spread(nodes, &mut preferred), cluster, discarded: Vec::new() },
            }),
            Err(why) => {
                placement.waiting += 1;
                placement.why = placement.why.take().or(why);
            }
        }
    }
    placement
}

/// The leader to tell, if it is the partition's turn. If not, what is in the way;
/// nothing, if it only waits for others to arrive.
fn turn(placement: &Placement, group: &Group) -> Result<NodeId, Option<String>> {
    if placement.moving.len() + placement.moves.len() >= AT_ONCE {
        return Err(None);
    }
    let partition = group.id();
    let leader = group.leader.as_ref();
    let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
    if !group.is_at_rest() {
        return Err(Some(format!("partition {partition} is changing its members already")));
    }
    Ok(leader.node)
}

/// The nodes of a cluster that can take a partition in. All of them: a move ends only
/// once each has a copy.
fn able_nodes(
    database: &Database,
    map: &PartitionMap,
    observed: &Observed,
    cluster: &str,
) -> Result<Vec<NodeId>, String> {
    let places = database.places().filter(|place| place.cluster == cluster);
    places.map(|place| able_node(map, observed, &place)).collect()
}

/// The node of a place, if it can take a partition in.
///
/// # Errors
/// What is in the way.
pub fn able_node(map: &PartitionMap, observed: &Observed, place: &Place) -> Result<NodeId, String> {
    let name = place.name();
    let answer = observed.answers.get(place);
    let answer = answer.ok_or_else(|| format!("node {name} does not answer"))?;
    let member = answer.node().filter(|id| {
        !answer.database.is_empty()
            && map.node(*id).is_some_and(|e| e.cluster == place.cluster && !e.is_removed())
    });
    let full = answer.status.volume.as_ref().is_some_and(|volume| volume.refuses_writes);
    match member {
        Some(_) if full => Err(format!("the volume of node {name} is full")),
        Some(id) => Ok(id),
        None => Err(format!("node {name} is not a member yet")),
    }
}

/// How many partitions would rather be led by each node.
pub fn preferences(groups: &[Group]) -> BTreeMap<NodeId, usize> {
    let mut preferred = BTreeMap::new();
    for group in groups {
        let goal = group.descriptor.goal.as_ref().and_then(|goal| goal.nodes.first().copied());
        let first = goal.or_else(|| group.descriptor.voters.first().map(|voter| voter.node));
        if let Some(node) = first {
            *preferred.entry(node).or_default() += 1;
        }
    }
    preferred
}

/// The nodes in order of preference for the leadership, beginning with the one that
/// has the fewest.
fn spread(mut nodes: Vec<NodeId>, preferred: &mut BTreeMap<NodeId, usize>) -> Vec<NodeId> {
    let load = |node: &NodeId| preferred.get(node).copied().unwrap_or(0);
    let first = (0..nodes.len()).min_by_key(|number| load(&nodes[*number])).unwrap_or(0);
    nodes.rotate_left(first);
    if let Some(node) = nodes.first() {
        *preferred.entry(*node).or_default() += 1;
    }
    nodes
}

#[cfg(test)]
mod tests;
