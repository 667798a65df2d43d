//! A database steered through its nodes' admin services.

mod support;

use doug_client::admin::{Intent, Steering};
use doug_client::v1::{self, ReplicaRole};
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node, Partition, PartitionMap, REMOVED};
use std::time::Duration;
use support::admin::{FakeNode, serve};
use support::hash_map;

/// Three nodes, on which partition 1 is; the node leads that is told to.
struct Database {
    nodes: Vec<FakeNode>,
    map: PartitionMap,
    steering: Steering,
}

impl Database {
    async fn new() -> Self {
        let mut map = hash_map(&[&[1, 2, 3]]);
        let mut nodes = Vec::new();
        for entry in &mut map.nodes {
            let (node, address) = serve(entry.id.bits()).await;
            entry.address = address.ip().to_string();
            entry.ports.admin = address.port();
            *node.stored.lock().unwrap() = None;
            nodes.push(node);
        }
        for (node, entry) in nodes.iter().zip(&map.nodes) {
            *node.stored.lock().unwrap() = Some(map.to_wire());
            node.describe(entry, &map, None);
        }
        let timeout = Duration::from_secs(3);
        let steering = Steering::new(map.clone(), timeout, AccessToken::default());
        Self { nodes, map, steering }
    }

    fn lead(&self, number: usize, descriptor: &Partition) {
        for (other, node) in self.nodes.iter().enumerate() {
            let leads = (other == number).then_some(descriptor);
            node.describe(&self.map.nodes[other], &self.map, leads);
        }
    }

    fn partition(&self) -> Partition {
        self.map.partitions[0].clone()
    }

    fn goal(&self) -> Goal {
        let nodes = self.map.nodes.iter().map(|node| node.id).collect();
        Goal { nodes, cluster: "b".into(), discarded: Vec::new() }
    }
}

fn reach(goal: &Goal) -> impl Fn(&Partition) -> Result<Intent, Fault> {
    let goal = goal.clone();
    move |_| Ok(Intent::Reach(goal.clone()))
}

#[tokio::test]
async fn a_goal_goes_to_whoever_leads_with_the_generation_it_was_decided_by() {
    let database = Database::new().await;
    database.lead(1, &database.partition());
    let goal = database.goal();
    let descriptor = database.steering.steer(1, reach(&goal)).await.unwrap();
    assert_eq!(descriptor.goal, Some(goal));
    let asked = database.nodes[1].goals.lock().unwrap();
    assert_eq!(asked[0].generation, database.partition().generation);
    assert!(database.nodes[0].goals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_goal_that_stands_already_is_not_given_again() {
    let database = Database::new().await;
    let goal = database.goal();
    database.lead(0, &Partition { goal: Some(goal.clone()), ..database.partition() });
    database.steering.steer(1, reach(&goal)).await.unwrap();
    assert!(database.nodes[0].goals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_leader_that_has_just_lost_it_is_looked_for_anew() {
    let database = Database::new().await;
    database.lead(2, &database.partition());
    let refusal = Fault::not_leader(1, String::new(), String::new());
    database.nodes[2].refusals.lock().unwrap().push(refusal);
    database.steering.steer(1, reach(&database.goal())).await.unwrap();
    assert_eq!(database.nodes[2].goals.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_leader_refuses_again_and_again_is_said() {
    let database = Database::new().await;
    database.lead(0, &database.partition());
    let refusal = Fault::new(tonic::Code::FailedPrecondition, "level 1").not_executed();
    database.nodes[0].refusals.lock().unwrap().extend([refusal.clone(), refusal]);
    let fault = database.steering.steer(1, reach(&database.goal())).await.unwrap_err();
    assert!(fault.message.contains("level 1"), "{fault}");
}

#[tokio::test]
async fn a_leadership_goes_to_the_named_node_though_others_take_over_before_it() {
    let database = Database::new().await;
    database.lead(0, &database.partition());
    let given_up = Fault::new(tonic::Code::DeadlineExceeded, "not taken over in time");
    database.nodes[0].refusals.lock().unwrap().push(given_up);
    let (other, named) = (database.map.nodes[1].id, database.map.nodes[2].id);
    database.nodes[0].successors.lock().unwrap().push(other.to_string());
    assert_eq!(database.steering.transfer_leader(1, Some(named)).await.unwrap(), named);
    assert!(database.nodes[0].successors.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_leader_the_silent_nodes_are_named() {
    let database = Database::new().await;
    *database.nodes[1].description.lock().unwrap() = Err(Fault::unavailable("ill"));
    let fault = database.steering.steer(1, reach(&database.goal())).await.unwrap_err();
    assert!(fault.message.contains("has no leader") && fault.message.contains("n2"), "{fault}");
}

#[tokio::test]
async fn a_node_that_joins_is_given_the_map_with_itself_and_the_others_are_told() {
    let database = Database::new().await;
    let (new, address) = serve(9).await;
    let entry = Node {
        id: NodeId::from_bits(9),
        name: String::new(),
        cluster: String::new(),
        ..database.map.nodes[0].clone()
    };
    let description = v1::DescribeResponse { node: Some(entry.to_wire()), ..Default::default() };
    *new.description.lock().unwrap() = Ok(description);
    let joined = database.steering.join(&address.to_string(), "a", "n4").await.unwrap();
    assert_eq!((joined.name.as_str(), joined.cluster.as_str()), ("n4", "a"));
    let given = PartitionMap::from_wire(new.stored.lock().unwrap().as_ref().unwrap()).unwrap();
    assert!(given.node(joined.id).is_some());
    for node in &database.nodes {
        assert_eq!(node.told.lock().unwrap()[0].nodes[0].id, joined.id.to_string());
    }
}

#[tokio::test]
async fn a_node_of_another_database_or_cluster_does_not_join() {
    let database = Database::new().await;
    let (new, address) = serve(9).await;
    let entry =
        Node { id: NodeId::from_bits(9), cluster: "z".into(), ..database.map.nodes[0].clone() };
    let mut description =
        v1::DescribeResponse { node: Some(entry.to_wire()), ..Default::default() };
    *new.description.lock().unwrap() = Ok(description.clone());
    let fault = database.steering.join(&address.to_string(), "a", "n4").await.unwrap_err();
    assert!(fault.message.contains("--cluster a"), "{fault}");
    description.database = "0000000000ff".into();
    *new.description.lock().unwrap() = Ok(description);
    let fault = database.steering.join(&address.to_string(), "a", "n4").await.unwrap_err();
    assert!(fault.message.contains("empty volume"), "{fault}");
}

#[tokio::test]
async fn a_node_is_removed_by_another_one_and_never_asked_again() {
    let database = Database::new().await;
    let gone = database.map.nodes[0].id;
    database.steering.remove_node(gone).await.unwrap();
    assert!(database.nodes[0].removed.lock().unwrap().is_empty());
    assert_eq!(*database.nodes[1].removed.lock().unwrap(), [gone.to_string()]);
    let mut map = database.map.clone();
    map.nodes[0].version = REMOVED;
    database.nodes[1].describe(&map.nodes[1], &map, None);
    database.steering.survey().await.unwrap();
    assert!(!database.steering.survey().await.unwrap().nodes.contains_key(&gone));
}

/// What a node says by whose map the first node is needed still.
fn still_needed() -> Fault {
    Fault::new(tonic::Code::FailedPrecondition, "node 1 holds replicas").not_executed()
}

#[tokio::test]
async fn a_node_that_the_leaders_have_left_out_is_removed_although_no_map_has_all_of_it_yet() {
    let database = Database::new().await;
    let gone = database.map.nodes[0].id;
    let mut descriptor = database.partition();
    descriptor.voters.remove(0);
    descriptor.generation += 1;
    database.lead(1, &descriptor);
    for node in &database.nodes[1..] {
        node.refusals.lock().unwrap().extend([still_needed(), still_needed()]);
    }
    database.steering.remove_node(gone).await.unwrap();
    assert_eq!(*database.nodes[1].removed.lock().unwrap(), [gone.to_string()]);
}

#[tokio::test]
async fn a_removal_that_was_carried_out_is_a_success_although_its_answer_was_lost() {
    let database = Database::new().await;
    let gone = database.map.nodes[0].id;
    let mut map = database.map.clone();
    map.nodes[0].version = REMOVED;
    // The map changes, and then every connection breaks.
    for node in &database.nodes[1..] {
        node.refusals.lock().unwrap().push(Fault::unknown("the connection broke"));
    }
    database.nodes[2].describe(&map.nodes[2], &map, None);
    database.steering.remove_node(gone).await.unwrap();
}

#[tokio::test]
async fn a_node_that_a_leader_needs_still_is_refused_at_once() {
    let database = Database::new().await;
    database.lead(1, &database.partition());
    for node in &database.nodes[1..] {
        node.refusals.lock().unwrap().extend([still_needed(), still_needed()]);
    }
    let fault = database.steering.remove_node(database.map.nodes[0].id).await.unwrap_err();
    assert!(fault.message.contains("holds replicas"), "{fault}");
    assert_eq!(database.nodes[1].refusals.lock().unwrap().len(), 1, "asked again");
}

#[tokio::test]
async fn another_node_at_an_address_of_the_map_counts_as_silent() {
    let database = Database::new().await;
    database.nodes[0].describe(&database.map.nodes[2], &database.map, None);
    let survey = database.steering.survey().await.unwrap();
    let told = &survey.nodes[&database.map.nodes[0].id];
    assert!(told.as_ref().unwrap_err().message.contains("another node"), "{told:?}");
}

impl FakeNode {
    /// What it says of itself: that it leads the partition of this descriptor, or not.
    fn describe(&self, entry: &Node, map: &PartitionMap, leads: Option<&Partition>) {
        let replica = leads.map(|descriptor| v1::ReplicaStatus {
            partition: descriptor.id,
            role: ReplicaRole::Leader.into(),
            term: 3,
            descriptor: Some(descriptor.to_wire()),
            ..Default::default()
        });
        let status =
            v1::NodeStatus { replicas: replica.into_iter().collect(), ..Default::default() };
        *self.description.lock().unwrap() = Ok(v1::DescribeResponse {
            node: Some(entry.to_wire()),
            status: Some(status),
            database: map.database.to_string(),
            map: Some(map.to_wire()),
        });
    }
}
