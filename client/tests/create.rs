//! Creations, against admin services on real ports.

mod support;

use doug_client::Fault;
use doug_client::create::{Created, Spec, create};
use doug_proto::access::AccessToken;
use doug_proto::ids::DatabaseId;
use std::net::SocketAddr;
use std::time::Duration;
use support::admin::{FakeNode as Node, serve};
use tokio::net::TcpListener;

fn spec(partitions: u64, addresses: &[SocketAddr]) -> Spec {
    let node = |address: &SocketAddr| serde_json::json!({"address": address.ip().to_string(), "ports": {"admin": address.port()}});
    let nodes: Vec<_> = addresses.iter().map(node).collect();
    serde_json::from_value(serde_json::json!({
        "partitioning": {"hash": {"partitions": partitions}},
        "clusters": [{"name": "a", "nodes": nodes}],
    }))
    .unwrap()
}

async fn three() -> (Vec<Node>, Vec<SocketAddr>) {
    let nodes = [serve(1).await, serve(2).await, serve(3).await];
    nodes.into_iter().unzip()
}

async fn run(spec: &Spec, fresh: u64) -> Result<Created, Fault> {
    create(spec, DatabaseId::from_bits(fresh), Duration::from_secs(5), &AccessToken::default())
        .await
}

#[tokio::test]
async fn empty_nodes_become_a_database_and_the_same_again_changes_nothing() {
    let (nodes, addresses) = three().await;
    let spec = spec(4, &addresses);
    let first = run(&spec, 7).await.unwrap();
    assert_eq!((first.joined, first.map.database.bits()), (3, 7));
    let again = run(&spec, 8).await.unwrap();
    assert_eq!((again.joined, &again.map), (0, &first.map));
    assert!(nodes.iter().all(|n| *n.stored.lock().unwrap() == Some(first.map.to_wire())));
}

#[tokio::test]
async fn a_creation_that_was_interrupted_is_finished_under_the_id_it_began_with() {
    let (nodes, addresses) = three().await;
    let spec = spec(4, &addresses);
    run(&spec, 7).await.unwrap();
    *nodes[2].stored.lock().unwrap() = None;
    let finished = run(&spec, 8).await.unwrap();
    assert_eq!((finished.joined, finished.map.database.bits()), (1, 7));
}

#[tokio::test]
async fn a_node_that_is_silent_keeps_everything_from_being_created() {
    let (nodes, mut addresses) = three().await;
    // A port that was free a moment ago, where nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    addresses[2] = free.local_addr().unwrap();
    drop(free);
    let fault = run(&spec(4, &addresses), 7).await.unwrap_err();
    assert!(fault.message.contains(&addresses[2].to_string()), "{fault}");
    assert!(nodes.iter().all(|node| node.stored.lock().unwrap().is_none()));
}

#[tokio::test]
async fn a_different_creation_is_refused_before_an_empty_node_joins_it() {
    let (nodes, addresses) = three().await;
    run(&spec(4, &addresses), 7).await.unwrap();
    *nodes[2].stored.lock().unwrap() = None;
    let fault = run(&spec(8, &addresses), 8).await.unwrap_err();
    assert!(fault.message.contains("a-0") || fault.message.contains("a-1"), "{fault}");
    assert!(nodes[2].stored.lock().unwrap().is_none());
}
