//! What all nodes said, put together: partitions × nodes.

use crate::commands::steering::{describe, goal_of, names_of};
use doug_client::PartitionMap;
use doug_client::admin::Survey;
use doug_proto::error::Fault;
use doug_proto::map::Recovery;
use doug_proto::v1::{
    NodeState, NodeStatus, ReplicaRole, ReplicaStatus, StatusResponse, VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The whole database.
pub struct View {
    /// Its id.
    pub database: String,
    /// Epoch of the map.
    pub epoch: u64,
    /// Version of whoever answered.
    pub version: String,
    /// In order of cluster and name.
    pub nodes: Vec<Node>,
    /// Clusters that have fewer nodes than they are to have.
    pub shortages: Vec<Shortage>,
    /// In order of id.
    pub partitions: Vec<Partition>,
}

/// One node.
pub struct Node {
    /// Name, or id where it has none.
    pub name: String,
    /// Id.
    pub id: String,
    /// Its cluster.
    pub cluster: String,
    /// Where it serves clients.
    pub address: String,
    /// What it is.
    pub state: NodeState,
    /// Why.
    pub message: String,
    /// Its version; empty if it does not answer.
    pub version: String,
    /// By how many milliseconds its wall clock is ahead of those it hears, or behind them if
    /// negative.
    pub clock_offset: i64,
    /// Room on its volume, where that is known.
    pub volume: Option<VolumeStatus>,
}

impl Node {
    /// How full its volume is, once that is worth telling, and what is left of it.
    pub fn fullness(&self) -> Option<(&'static str, String)> {
        let volume = self.volume.filter(VolumeStatus::is_nearly_full)?;
        let fullness = if volume.refuses_writes { "full" } else { "nearly full" };
        Some((fullness, volume.in_words()))
    }
}

/// One partition.
pub struct Partition {
    /// Id.
    pub id: u64,
    /// Name of its keyspace.
    pub keyspace: String,
    /// Cluster that holds it.
    pub cluster: String,
    /// Node that leads, by id.
    pub leader: Option<String>,
    /// How long it has had this leader, or none.
    pub since_milliseconds: Option<u64>,
    /// Last entry of the leader.
    pub last_index: u64,
    /// Bytes that its data take in tables and memtables of one replica: the leader's, or else
    /// of the one that has most.
    pub bytes: u64,
    /// How many keys that replica has, as the counts of its tables let it estimate.
    pub estimated_keys: u64,
    /// Its members, by node id.
    pub members: BTreeMap<String, Place>,
    /// What changes about its members, and how far that is.
    pub change: Option<Change>,
    /// Voters that it has, or is on its way to have.
    pub voters: usize,
    /// Voters that it is to have: the nodes that its cluster was declared with.
    pub wanted: Option<usize>,
    /// Replicas whose files are damaged: the node's id, and why.
    pub damaged: Vec<(String, String)>,
    /// Times that its group had to begin anew without a quorum, the last one last.
    pub recoveries: Vec<Recovery>,
    /// Nodes whose replica may have lost what it acknowledged, for the log was cut.
    pub ambiguous_tails: Vec<String>,
}

/// A cluster that has fewer nodes than it was declared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The cluster.
    pub cluster: String,
    /// Its nodes.
    pub nodes: usize,
    /// What it was declared with.
    pub declared: usize,
}

impl Partition {
    /// Voters that it lacks.
    pub fn lacks(&self) -> usize {
        self.wanted.unwrap_or(0).saturating_sub(self.voters)
    }
}

/// A change of members under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it leads.
    pub goal: String,
    /// What happens at the moment.
    pub phase: String,
    /// Nodes that it needs and that do not answer.
    pub waits_for: Vec<String>,
}

/// How one member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It leads.
    Leads,
    /// It lacks so many entries of the leader's.
    Lags(u64),
    /// Its node does not answer.
    Down,
    /// Its files are damaged: it stays out of its group.
    Damaged,
    /// Nobody can say.
    Unknown,
}

impl View {
    /// Puts the answers of all nodes together.
    pub fn new(map: &PartitionMap, status: &StatusResponse) -> Self {
        let said: BTreeMap<&str, &NodeStatus> =
            status.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut nodes: Vec<Node> = map
            .present()
            .map(|node| described(node, said.get(node.id.to_string().as_str()).copied()))
            .collect();
        nodes.sort_by(|a, b| (&a.cluster, &a.name, &a.id).cmp(&(&b.cluster, &b.name, &b.id)));
        let mut partitions: Vec<Partition> =
            map.partitions.iter().map(|partition| placed(map, partition, &said)).collect();
        let survey = survey(map, status);
        for partition in &mut partitions {
            partition.change = change(&survey, partition.id);
            if let Some(now) = survey.descriptor(partition.id) {
                partition.recoveries = now.recoveries;
                partition.voters = now.goal.map_or(now.voters.len(), |goal| goal.nodes.len());
            }
            let declared = map.cluster(&partition.cluster);
            partition.wanted = declared.map(|cluster| cluster.nodes as usize);
        }
        partitions.sort_by_key(|partition| partition.id);
        Self {
            database: map.database.to_string(),
            epoch: map.epoch,
            version: status.version.clone(),
            shortages: shortages(map),
            nodes,
            partitions,
        }
    }

    /// The name of a node.
    pub fn name_of<'a>(&'a self, id: &'a str) -> &'a str {
        self.nodes.iter().find(|node| node.id == id).map_or(id, |node| &node.name)
    }
}

fn shortages(map: &PartitionMap) -> Vec<Shortage> {
    let short = map.declared().map(|cluster| Shortage {
        cluster: cluster.name.clone(),
        nodes: map.present().filter(|node| node.cluster == cluster.name).count(),
        declared: cluster.nodes as usize,
    });
    // One without any node was taken out as a whole.
    short.filter(|cluster| cluster.nodes > 0 && cluster.nodes < cluster.declared).collect()
}

fn described(node: &doug_proto::map::Node, said: Option<&NodeStatus>) -> Node {
    let id = node.id.to_string();
    Node {
        name: if node.name.is_empty() { id.clone() } else { node.name.clone() },
        id,
        cluster: node.cluster.clone(),
        address: node.doug_address(),
        state: said.map_or(NodeState::Unreachable, NodeStatus::state),
        message: said.map_or_else(|| "nobody asked it".to_owned(), |said| said.message.clone()),
        version: said.map(|said| said.version.clone()).unwrap_or_default(),
        clock_offset: said.map_or(0, |said| said.clock_offset_milliseconds),
        volume: said.and_then(|said| said.volume),
    }
}

/// The answers as whoever steers members sees them.
fn survey(map: &PartitionMap, status: &StatusResponse) -> Survey {
    let told = status.nodes.iter().filter_map(|node| {
        let answered = node.state() != NodeState::Unreachable;
        let told = if answered { Ok(node.clone()) } else { Err(Fault::unavailable("silent")) };
        Some((node.id.parse().ok()?, told))
    });
    Survey { map: Arc::new(map.clone()), nodes: told.collect() }
}

fn change(survey: &Survey, partition: u64) -> Option<Change> {
    let descriptor = survey.descriptor(partition)?;
    let goal = goal_of(survey, &descriptor)?;
    let wanted = descriptor.goal.iter().flat_map(|goal| &goal.nodes).copied();
    let wanted = wanted.chain(descriptor.learners.iter().map(|learner| learner.node));
    let silent: BTreeSet<_> =
        wanted.filter(|node| survey.nodes.get(node).is_none_or(Result::is_err)).collect();
    let waits_for = names_of(&survey.map, silent);
    Some(Change { goal, phase: describe(survey, &descriptor), waits_for })
}

fn placed<'a>(
    map: &PartitionMap,
    partition: &doug_proto::map::Partition,
    said: &BTreeMap<&str, &'a NodeStatus>,
) -> Partition {
    let of_it = |node: &&'a NodeStatus| {
        // A damaged replica and its successor may both be there for a moment.
        let of_it = node.replicas.iter().filter(|replica| replica.partition == partition.id);
        of_it.min_by_key(|replica| !replica.damage.is_empty())
    };
    let replicas: BTreeMap<String, Option<&ReplicaStatus>> = partition
        .members()
        .map(|member| {
            let id = member.node.to_string();
            let replica = said.get(id.as_str()).and_then(of_it);
            (id, replica)
        })
        .collect();
    let damaged = replicas.iter().filter_map(|(id, replica)| {
        let why = &(*replica)?.damage;
        (!why.is_empty()).then(|| (id.clone(), why.clone()))
    });
    let damaged: Vec<_> = damaged.collect();
    let ambiguous = replicas
        .iter()
        .filter(|(_, replica)| replica.is_some_and(|replica| replica.ambiguous_tail));
    let ambiguous_tails = ambiguous.map(|(id, _)| id.clone()).collect();
    let leader = leader(&replicas);
    let last_index = leader.map_or(0, |(_, replica)| replica.last_index);
    let largest = || replicas.values().flatten().max_by_key(|replica| replica.bytes).copied();
    let measured = leader.map(|(_, replica)| replica).or_else(largest);
    let members = replicas
        .iter()
        .map(|(id, replica)| (id.clone(), place(id, *replica, leader, said)))
        .collect();
    let longest = || replicas.values().flatten().map(|r| r.since_milliseconds).max();
    Partition {
        id: partition.id,
        keyspace: map.keyspace_of(partition).name.clone(),
        cluster: partition.cluster.clone(),
        leader: leader.map(|(id, _)| id.to_owned()),
        since_milliseconds: leader.map(|(_, r)| r.since_milliseconds).or_else(longest),
        last_index,
        bytes: measured.map_or(0, |replica| replica.bytes),
        estimated_keys: measured.map_or(0, |replica| replica.estimated_keys),
        members,
        change: None,
        voters: partition.voters.len(),
        wanted: None,
        damaged,
        recoveries: Vec::new(),
        ambiguous_tails,
    }
}

/// Of two that believe to lead, the one of the later term: the other was paused
/// or cut off, and does not know yet.
fn leader<'a>(
    replicas: &'a BTreeMap<String, Option<&'a ReplicaStatus>>,
) -> Option<(&'a str, &'a ReplicaStatus)> {
    replicas
        .iter()
        .filter_map(|(id, replica)| Some((id.as_str(), (*replica)?)))
        .filter(|(_, replica)| replica.role() == ReplicaRole::Leader)
        .max_by_key(|(_, replica)| replica.term)
}

fn place(
    id: &str,
    replica: Option<&ReplicaStatus>,
    leader: Option<(&str, &ReplicaStatus)>,
    said: &BTreeMap<&str, &NodeStatus>,
) -> Place {
    if leader.is_some_and(|(leading, _)| leading == id) {
        return Place::Leads;
    }
    let Some(replica) = replica else {
        let answered = said.get(id).is_some_and(|n| n.state() != NodeState::Unreachable);
        return if answered { Place::Unknown } else { Place::Down };
    };
    if !replica.damage.is_empty() {
        return Place::Damaged;
    }
    let Some((_, leading)) = leader else { return Place::Unknown };
    // What the leader knows of it is a match, what it says of itself may be an
    // old leader's suffix.
    let known = leading.peers.iter().find(|peer| peer.node == id);
    let has = known.map_or(replica.last_index, |peer| peer.match_index);
    Place::Lags(leading.last_index.saturating_sub(has))
}

#[cfg(test)]
pub mod tests;
