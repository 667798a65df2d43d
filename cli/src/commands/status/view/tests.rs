use super::*;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{
    Cluster, Keyspace, KeyspaceId, Member, Node as MapNode, Partition as MapPartition, Ports,
    REMOVED,
};
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
        keyspace: KeyspaceId::DEFAULT,
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
        recoveries: Vec::new(),
    };
    PartitionMap {
        epoch: 4,
        keyspaces: vec![Keyspace::default_by_hash()],
        clusters: Vec::new(),
        nodes: (0..3).map(node).collect(),
        partitions: (0..2).map(partition).collect(),
        ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
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
        bytes: 3 << 19,
        estimated_keys: 12_345,
        ..Default::default()
    }
}

/// Node 0 leads partition 1; partition 2 has two that believe to lead; node
/// 2 does not answer.
pub fn sample() -> View {
    View::new(&map(), &sample_status())
}

fn sample_status() -> StatusResponse {
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
    StatusResponse {
        version: "0.1.0".into(),
        nodes: vec![
            node(0, NodeState::Ready, vec![leading, replica(2, Leader, 3, 7)]),
            node(1, NodeState::Ready, vec![replica(1, Follower, 3, 99), replica(2, Leader, 5, 9)]),
            down,
        ],
        ..Default::default()
    }
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
fn the_size_of_a_partition_is_its_leaders_or_else_the_greatest_known() {
    let mut status = sample_status();
    status.nodes[0].replicas[0].bytes = 7;
    status.nodes[1].replicas[0].bytes = 9;
    assert_eq!(View::new(&map(), &status).partitions[0].bytes, 7);
    status.nodes[0].replicas[0].role = ReplicaRole::Follower.into();
    assert_eq!(View::new(&map(), &status).partitions[0].bytes, 9);
}

#[test]
fn a_partition_nobody_leads_has_no_leader() {
    let view = View::new(&map(), &StatusResponse::default());
    assert!(view.partitions.iter().all(|partition| partition.leader.is_none()));
    assert!(view.partitions[0].members.values().all(|place| *place == Place::Down));
}

/// Node 1's replica of partition 1 is damaged; partition 2 is to leave node 2.
pub fn changing() -> View {
    let (mut map, mut status) = (map(), sample_status());
    let replica = &mut status.nodes[1].replicas[0];
    replica.damage = "checksum at offset 4096 of 12.sst".into();
    let partition = &mut map.partitions[1];
    partition.generation = 9;
    partition.goal = Some(doug_proto::map::Goal {
        nodes: [0, 1, 2].map(NodeId::from_bits).to_vec(),
        cluster: "a".into(),
        discarded: vec![2],
    });
    View::new(&map, &status)
}

#[test]
fn a_damaged_replica_and_a_change_under_way_are_seen() {
    let view = changing();
    let (id, why) = &view.partitions[0].damaged[0];
    assert_eq!((id.as_str(), why.contains("12.sst")), ("000000000001", true));
    assert_eq!(view.partitions[0].members["000000000001"], Place::Damaged);
    let change = view.partitions[1].change.as_ref().unwrap();
    assert!(change.goal.contains("damaged replica 2"), "{change:?}");
    assert_eq!(change.waits_for, ["a-2"]);
}

/// Cluster a is to have five nodes and has three, and so many voters of partition 1;
/// partition 2 is on its way to five.
pub fn short() -> View {
    let mut map = map();
    map.clusters = vec![Cluster { name: "a".into(), nodes: 5, version: 1 }];
    map.partitions[1].goal = Some(doug_proto::map::Goal {
        nodes: (0..5).map(NodeId::from_bits).collect(),
        cluster: "a".into(),
        discarded: Vec::new(),
    });
    View::new(&map, &sample_status())
}

#[test]
fn clusters_and_partitions_below_the_declared_number_are_seen() {
    let view = short();
    let expected = Shortage { cluster: "a".into(), nodes: 3, declared: 5 };
    assert_eq!(view.shortages, [expected]);
    assert_eq!([0, 1].map(|number| view.partitions[number].lacks()), [2, 0]);
    assert_eq!(sample().shortages, []);
}

#[test]
fn a_node_that_was_removed_is_not_listed() {
    let mut map = map();
    let gone = NodeId::from_bits(9);
    map.nodes.push(MapNode { id: gone, version: REMOVED, ..map.nodes[0].clone() });
    assert_eq!(View::new(&map, &sample_status()).nodes.len(), 3);
}
