//! Typed calls to the admin service of one node.

mod support;

use doug_client::admin::Admin;
use doug_client::v1;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, PartitionMap};
use support::admin::{FakeNode, serve};
use support::hash_map;

fn id() -> NodeId {
    NodeId::from_bits(1)
}

async fn member() -> (FakeNode, Admin, PartitionMap) {
    let (node, address) = serve(1).await;
    let admin = Admin::new(&address.to_string()).unwrap();
    let map = hash_map(&[&[1, 2, 3], &[1, 2, 3]]);
    admin.join(id(), &map).await.unwrap();
    (node, admin, map)
}

fn goal() -> Goal {
    Goal { nodes: vec![id()], cluster: "b".into(), discarded: vec![3] }
}

#[tokio::test]
async fn a_node_that_joins_is_given_the_whole_map() {
    let (node, _, map) = member().await;
    assert_eq!(*node.stored.lock().unwrap(), Some(map.to_wire()));
}

#[tokio::test]
async fn a_goal_comes_back_in_the_descriptor_as_committed() {
    let (node, admin, map) = member().await;
    let descriptor = admin.change_members(id(), 2, Some(&goal()), 7).await.unwrap();
    assert_eq!(descriptor.generation, map.partition(2).unwrap().generation + 1);
    assert_eq!(descriptor.goal, Some(goal()));
    assert!(!descriptor.is_at_rest());
    let asked = node.goals.lock().unwrap()[0].clone();
    assert_eq!((asked.to, asked.partition, asked.generation), (id().to_string(), 2, 7));
}

#[tokio::test]
async fn no_goal_gives_up_the_one_there_is() {
    let (node, admin, _) = member().await;
    let descriptor = admin.change_members(id(), 2, None, 0).await.unwrap();
    assert!(descriptor.is_at_rest());
    assert_eq!(node.goals.lock().unwrap()[0].goal, None);
}

#[tokio::test]
async fn a_refused_goal_keeps_the_hint_at_the_leader() {
    let (node, admin, _) = member().await;
    let refusal = Fault::not_leader(2, "0000000000a1".into(), "host:7400".into());
    node.refusals.lock().unwrap().push(refusal);
    let fault = admin.change_members(id(), 2, Some(&goal()), 0).await.unwrap_err();
    assert_eq!(fault.leader_hint().unwrap().leader_node, "0000000000a1");
    assert!(fault.is_not_executed());
}

#[tokio::test]
async fn a_replica_is_made_as_the_request_says() {
    let (node, admin, map) = member().await;
    let request = v1::CreateReplicaRequest {
        to: id().to_string(),
        database: map.database.to_string(),
        descriptor: Some(map.partitions[0].to_wire()),
        replica: 6,
        ..Default::default()
    };
    admin.create_replica(request.clone()).await.unwrap();
    assert_eq!(*node.replicas.lock().unwrap(), [request]);
}
