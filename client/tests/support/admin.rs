//! Admin services on real ports, which remember what they were asked.

use doug_client::{Fault, v1};
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::v1::admin_server::{Admin, AdminServer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A bare node: stores the first map it is given, and refuses others.
#[derive(Clone)]
pub struct FakeNode {
    pub id: u64,
    pub stored: Arc<Mutex<Option<v1::PartitionMap>>>,
    pub goals: Arc<Mutex<Vec<v1::ChangeMembersRequest>>>,
    /// What it says to the next goals, hand-overs and removals, first to last; then it does them.
    pub refusals: Arc<Mutex<Vec<Fault>>>,
    pub replicas: Arc<Mutex<Vec<v1::CreateReplicaRequest>>>,
    pub told: Arc<Mutex<Vec<v1::UpdateAddressesRequest>>>,
    pub removed: Arc<Mutex<Vec<String>>>,
    pub recoveries: Arc<Mutex<Vec<v1::RecoverRequest>>>,
    /// Who takes over at the next hand-overs, first to last; then whoever is named.
    pub successors: Arc<Mutex<Vec<String>>>,
    pub description: Arc<Mutex<Result<v1::DescribeResponse, Fault>>>,
}

#[tonic::async_trait]
impl Admin for FakeNode {
    async fn identify(
        &self,
        _: Request<v1::IdentifyRequest>,
    ) -> Result<Response<v1::IdentifyResponse>, Status> {
        let stored = self.stored.lock().unwrap();
        let database = stored.as_ref().map(|map| map.database.clone()).unwrap_or_default();
        let node = format!("{:012x}", self.id);
        Ok(Response::new(v1::IdentifyResponse { node, database, ..Default::default() }))
    }

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        self.description.lock().unwrap().clone().map(Response::new).map_err(Status::from)
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
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        *self.stored.lock().unwrap() = request.into_inner().map;
        Ok(Response::new(v1::JoinResponse {}))
    }

    async fn create_replica(
        &self,
        request: Request<v1::CreateReplicaRequest>,
    ) -> Result<Response<v1::CreateReplicaResponse>, Status> {
        self.replicas.lock().unwrap().push(request.into_inner());
        Ok(Response::new(v1::CreateReplicaResponse {}))
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"), "the node knows no deadline");
        let request = request.into_inner();
        let mut refusals = self.refusals.lock().unwrap();
        if !refusals.is_empty() {
            return Err(refusals.remove(0).into());
        }
        let stored = self.stored.lock().unwrap();
        let map = stored.as_ref().map(|wire| PartitionMap::from_wire(wire).unwrap());
        let descriptor = map.as_ref().and_then(|map| map.partition(request.partition));
        let mut descriptor = descriptor.map(Partition::to_wire);
        if let Some(descriptor) = &mut descriptor {
            descriptor.generation += 1;
            descriptor.goal.clone_from(&request.goal);
        }
        self.goals.lock().unwrap().push(request);
        Ok(Response::new(v1::ChangeMembersResponse { descriptor }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let mut refusals = self.refusals.lock().unwrap();
        if !refusals.is_empty() {
            return Err(refusals.remove(0).into());
        }
        let mut successors = self.successors.lock().unwrap();
        let named = request.into_inner().new_leader;
        let leader = if successors.is_empty() { named } else { successors.remove(0) };
        Ok(Response::new(v1::TransferLeaderResponse { leader }))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let revision = request.into_inner().revision;
        let floor = Some(v1::HistoryFloor { revision, stamp: revision });
        Ok(Response::new(v1::CompactResponse { floor }))
    }

    async fn update_addresses(
        &self,
        request: Request<v1::UpdateAddressesRequest>,
    ) -> Result<Response<v1::UpdateAddressesResponse>, Status> {
        self.told.lock().unwrap().push(request.into_inner());
        Ok(Response::new(v1::UpdateAddressesResponse::default()))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        let mut refusals = self.refusals.lock().unwrap();
        if !refusals.is_empty() {
            return Err(refusals.remove(0).into());
        }
        self.removed.lock().unwrap().push(request.into_inner().node);
        Ok(Response::new(v1::RemoveNodeResponse::default()))
    }

    async fn recover(
        &self,
        request: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::RecoverResponse>, Status> {
        let request = request.into_inner();
        let stored = self.stored.lock().unwrap();
        let map = stored.as_ref().map(|wire| PartitionMap::from_wire(wire).unwrap());
        let descriptor = map.as_ref().and_then(|map| map.partition(request.partition));
        let descriptor = descriptor.map(Partition::to_wire);
        self.recoveries.lock().unwrap().push(request);
        Ok(Response::new(v1::RecoverResponse { descriptor }))
    }
}

/// Serves a node on a port of its own.
pub async fn serve(id: u64) -> (FakeNode, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = FakeNode {
        id,
        stored: Arc::default(),
        goals: Arc::default(),
        refusals: Arc::default(),
        replicas: Arc::default(),
        told: Arc::default(),
        removed: Arc::default(),
        recoveries: Arc::default(),
        successors: Arc::default(),
        description: Arc::new(Mutex::new(Ok(v1::DescribeResponse::default()))),
    };
    let server = tonic::transport::Server::builder()
        .add_service(AdminServer::new(node.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (node, address)
}
