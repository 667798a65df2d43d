//! What all nodes said, put together: partitions × nodes.

use doug_client::PartitionMap;
use doug_proto::v1::{
    NodeState, NodeStatus, ReplicaRole, ReplicaStatus, StatusResponse, VolumeStatus,
};
use std::collections::BTreeMap;

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
    /// What it is.
    pub state: NodeState,
    /// Why.
    pub message: String,
    /// Its version; empty if it does not answer.
    pub version: String,
    /// Room on its volume, where that is known.
    pub volume: Option<VolumeStatus>,
}

/// One partition.
pub struct Partition {
    /// Id.
    pub id: u64,
    /// Cluster that holds it.
    pub cluster: String,
    /// Node that leads, by id.
    pub leader: Option<String>,
    /// How long it has had this leader, or none.
    pub since_milliseconds: Option<u64>,
    /// Last entry of the leader.
    pub last_index: u64,
    /// Its members, by node id.
    pub members: BTreeMap<String, Place>,
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
    /// Nobody can say.
    Unknown,
}

impl View {
    /// Puts the answers of all nodes together.
    pub fn new(map: &PartitionMap, status: &StatusResponse) -> Self {
        let said: BTreeMap<&str, &NodeStatus> =
            status.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut nodes: Vec<Node> = map
            .nodes
            .iter()
            .map(|node| described(node, said.get(node.id.to_string().as_str()).copied()))
            .collect();
        nodes.sort_by(|a, b| (&a.cluster, &a.name, &a.id).cmp(&(&b.cluster, &b.name, &b.id)));
        let mut partitions: Vec<Partition> =
            map.partitions.iter().map(|partition| placed(partition, &said)).collect();
        partitions.sort_by_key(|partition| partition.id);
        Self {
            database: map.database.to_string(),
            epoch: map.epoch,
            version: status.version.clone(),
            nodes,
            partitions,
        }
    }

    /// The name of a node.
    pub fn name_of<'a>(&'a self, id: &'a str) -> &'a str {
        self.nodes.iter().find(|node| node.id == id).map_or(id, |node| &node.name)
    }
}

fn described(node: &doug_proto::map::Node, said: Option<&NodeStatus>) -> Node {
    let id = node.id.to_string();
    Node {
        name: if node.name.is_empty() { id.clone() } else { node.name.clone() },
        id,
        cluster: node.cluster.clone(),
        state: said.map_or(NodeState::Unreachable, NodeStatus::state),
        message: said.map_or_else(|| "nobody asked it".to_owned(), |said| said.message.clone()),
        version: said.map(|said| said.version.clone()).unwrap_or_default(),
        volume: said.and_then(|said| said.volume),
    }
}

fn placed(partition: &doug_proto::map::Partition, said: &BTreeMap<&str, &NodeStatus>) -> Partition {
    let replicas: BTreeMap<String, Option<&ReplicaStatus>> = partition
        .voters
        .iter()
        .chain(&partition.learners)
        .map(|member| {
            let id = member.node.to_string();
            let replica = said
                .get(id.as_str())
                .and_then(|node| node.replicas.iter().find(|r| r.partition == partition.id));
            (id, replica)
        })
        .collect();
    let leader = leader(&replicas);
    let last_index = leader.map_or(0, |(_, replica)| replica.last_index);
    let members = replicas
        .iter()
        .map(|(id, replica)| (id.clone(), place(id, *replica, leader, said)))
        .collect();
    let longest = || replicas.values().flatten().map(|r| r.since_milliseconds).max();
    Partition {
        id: partition.id,
        cluster: partition.cluster.clone(),
        leader: leader.map(|(id, _)| id.to_owned()),
        since_milliseconds: leader.map(|(_, r)| r.since_milliseconds).or_else(longest),
        last_index,
        members,
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
    let Some((_, leading)) = leader else { return Place::Unknown };
    // What the leader knows of it is a match, what it says of itself may be an
    // old leader's suffix.
    let known = leading.peers.iter().find(|peer| peer.node == id);
    let has = known.map_or(replica.last_index, |peer| peer.match_index);
    Place::Lags(leading.last_index.saturating_sub(has))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use doug_proto::ids::{DatabaseId, NodeId};
    use doug_proto::map::{Member, Node as MapNode, Partition as MapPartition, Ports};
    use doug_proto::routing::Routing;
    use doug_proto::v1::PeerProgress;

    fn id(number: u64) -> String {
        NodeId::from_bits(number).to_string()
    }

    fn map() -> PartitionMap {
        let node = |number: u64| MapNode {
            id: NodeId::from_bits(number),
            name: format!("a-{number}"),
            cluster: "a".into(),
            address: "127.0.0.1".into(),
            ports: Ports::default(),
            version: 1,
        };
        let partition = |number: u64| MapPartition {
            id: number + 1,
            start: Routing::hash_start(number, 2),
            end: if number == 0 { Routing::hash_start(1, 2) } else { Default::default() },
            generation: 1,
            cluster: "a".into(),
            voters: (0..3).map(|n| Member { node: NodeId::from_bits(n), replica: n }).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
        };
        PartitionMap {
            database: DatabaseId::from_bits(0xdb),
            epoch: 4,
            routing: Routing::Hash { prefix_delimiter: Default::default() },
            nodes: (0..3).map(node).collect(),
            partitions: (0..2).map(partition).collect(),
        }
    }

    fn replica(partition: u64, role: ReplicaRole, term: u64, last_index: u64) -> ReplicaStatus {
        let since_milliseconds = 12_000;
        ReplicaStatus {
            partition,
            role: role.into(),
            term,
            last_index,
            since_milliseconds,
            ..Default::default()
        }
    }

    /// Node 0 leads partition 1; partition 2 has two that believe to lead; node
    /// 2 does not answer.
    pub fn sample() -> View {
        use ReplicaRole::{Follower, Leader};
        let mut leading = replica(1, Leader, 3, 100);
        leading.peers = [(1, 93), (2, 40)]
            .map(|(node, match_index)| PeerProgress { node: id(node), match_index, active: true })
            .into();
        let node = |number, state: NodeState, replicas| NodeStatus {
            id: id(number),
            state: state.into(),
            version: "0.1.0".into(),
            replicas,
            ..Default::default()
        };
        let mut down = node(2, NodeState::Unreachable, Vec::new());
        down.message = "connection refused".into();
        let status = StatusResponse {
            version: "0.1.0".into(),
            nodes: vec![
                node(0, NodeState::Ready, vec![leading, replica(2, Leader, 3, 7)]),
                node(
                    1,
                    NodeState::Ready,
                    vec![replica(1, Follower, 3, 99), replica(2, Leader, 5, 9)],
                ),
                down,
            ],
            ..Default::default()
        };
        View::new(&map(), &status)
    }

    #[test]
    fn lag_is_what_the_leader_knows_not_what_the_follower_says() {
        let members = &sample().partitions[0].members;
        assert_eq!(members[&id(0)], Place::Leads);
        assert_eq!(members[&id(1)], Place::Lags(7));
        assert_eq!(members[&id(2)], Place::Down);
    }

    #[test]
    fn of_two_leaders_the_later_term_leads() {
        let partition = &sample().partitions[1];
        assert_eq!(partition.leader, Some(id(1)));
        assert_eq!(partition.members[&id(0)], Place::Lags(2));
    }

    #[test]
    fn a_partition_nobody_leads_has_no_leader() {
        let view = View::new(&map(), &StatusResponse::default());
        assert!(view.partitions.iter().all(|partition| partition.leader.is_none()));
        assert!(view.partitions[0].members.values().all(|place| *place == Place::Down));
    }
}
