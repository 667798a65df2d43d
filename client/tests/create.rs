//! Creations, against admin services on real ports.

use doug_client::create::{Created, Spec, create};
use doug_client::{Fault, v1};
use doug_proto::access::AccessToken;
use doug_proto::ids::DatabaseId;
use doug_proto::v1::admin_server::{Admin, AdminServer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A bare node: stores the first map it is given, and refuses others.
#[derive(Clone)]
struct Node {
    id: u64,
    stored: Arc<Mutex<Option<v1::PartitionMap>>>,
}

#[tonic::async_trait]
impl Admin for Node {
    async fn identify(
        &self,
        _: Request<v1::IdentifyRequest>,
    ) -> Result<Response<v1::IdentifyResponse>, Status> {
        let stored = self.stored.lock().unwrap();
        let database = stored.as_ref().map(|map| map.database.clone()).unwrap_or_default();
        let node = format!("{:012x}", self.id);
        Ok(Response::new(v1::IdentifyResponse { node, database, ..Default::default() }))
    }

    async fn create(
        &self,
        request: Request<v1::CreateRequest>,
    ) -> Result<Response<v1::CreateResponse>, Status> {
        let map = request.into_inner().map.unwrap();
        let mut stored = self.stored.lock().unwrap();
        if stored.as_ref().is_some_and(|stored| *stored != map) {
            return Err(Fault::invalid("a different creation").into());
        }
        *stored = Some(map);
        Ok(Response::new(v1::CreateResponse { replicas: 1 }))
    }

    async fn join(
        &self,
        _request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn create_replica(
        &self,
        _request: Request<v1::CreateReplicaRequest>,
    ) -> Result<Response<v1::CreateReplicaResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn change_members(
        &self,
        _request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn transfer_leader(
        &self,
        _: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn update_addresses(
        &self,
        _: Request<v1::UpdateAddressesRequest>,
    ) -> Result<Response<v1::UpdateAddressesResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

async fn node(id: u64) -> (Node, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = Node { id, stored: Arc::default() };
    let server = tonic::transport::Server::builder()
        .add_service(AdminServer::new(node.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (node, address)
}

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
    let nodes = [node(1).await, node(2).await, node(3).await];
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
