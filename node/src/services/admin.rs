//! The `Admin` service: creates a database from empty nodes, steers its members.

use super::compaction::compact;
use super::creation::{create, join};
use super::members::{change_members, create_replica, remove_node};
use super::recovery::recover;
use super::status;
use crate::engine::Engine;
use crate::engine::fatal::storage_fault;
use crate::host::{Event, Reply};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Node, PartitionMap, REMOVED};
use doug_proto::v1::admin_server::Admin;
use doug_proto::{VERSION, deadline, quote, v1};
use doug_storage::StorageError;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Serves operators. Changes are made one at a time.
#[derive(Clone, Debug)]
pub struct AdminService {
    engine: Arc<Engine>,
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl AdminService {
    /// Serves a node.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, changing: Arc::default() }
    }

    fn check_to(&self, to: &str) -> Result<(), Fault> {
        let own = self.engine.config.node.to_string();
        if to == own {
            return Ok(());
        }
        Err(Fault::new(
            Code::FailedPrecondition,
            format!(
                "this is node {own}, not {}: the address has changed hands, identify it again",
                quote::text(to)
            ),
        )
        .not_executed())
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn identify(
        &self,
        _request: Request<v1::IdentifyRequest>,
    ) -> Result<Response<v1::IdentifyResponse>, Status> {
        let engine = &self.engine;
        let database = engine.maps.get().map(|map| map.database.to_string());
        Ok(Response::new(v1::IdentifyResponse {
            node: engine.config.node.to_string(),
            database: database.unwrap_or_default(),
            name: engine.config.name.clone(),
            cluster: engine.config.cluster.clone(),
            version: VERSION.to_owned(),
            replicas: engine.partitions.read().len() as u32,
        }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let status = status::local(&self.engine).await;
        let map = self.engine.maps.get().filter(|_| request.get_ref().with_map);
        Ok(Response::new(v1::DescribeResponse {
            node: Some(self.engine.config.entry().to_wire()),
            status: status.nodes.into_iter().next(),
            database: status.database,
            map: map.map(|map| map.to_wire()),
        }))
    }

    async fn create(
        &self,
        request: Request<v1::CreateRequest>,
    ) -> Result<Response<v1::CreateResponse>, Status> {
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let map = request.map.ok_or_else(|| Fault::invalid("the creation has no map"))?;
        let _one_at_a_time = self.changing.lock().await;
        let engine = self.engine.clone();
        let created = tokio::task::spawn_blocking(move || create(&engine, &map)).await;
        let replicas = created.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(v1::CreateResponse { replicas }))
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let map = request.map.ok_or_else(|| Fault::invalid("the call to join has no map"))?;
        let map = PartitionMap::from_wire(&map)?;
        let _one_at_a_time = self.changing.lock().await;
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || join(&engine, map))
            .await
            .map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(v1::JoinResponse {}))
    }

    async fn create_replica(
        &self,
        request: Request<v1::CreateReplicaRequest>,
    ) -> Result<Response<v1::CreateReplicaResponse>, Status> {
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let _one_at_a_time = self.changing.lock().await;
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || create_replica(&engine, &request))
            .await
            .map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(v1::CreateReplicaResponse {}))
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        let timeout = deadline::of(request.metadata())?;
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let descriptor = change_members(&self.engine, request, timeout).await?;
        let descriptor = Some(descriptor.to_wire());
        Ok(Response::new(v1::ChangeMembersResponse { descriptor }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let timeout = deadline::of(request.metadata())?;
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let to = match &request.new_leader[..] {
            "" => None,
            id => Some(node_id(id)?),
        };
        let engine = &self.engine;
        let host = crate::host::host_of(request.partition, engine.hosts.len());
        let deadline = engine.clock.after(timeout);
        let reply = engine.ask(host, timeout, |id| Event::Transfer {
            request: id,
            partition: request.partition,
            to,
            deadline,
        });
        match reply.await.map_err(|fault| engine.with_leader_address(fault))? {
            Reply::Transferred(leader) => {
                Ok(Response::new(v1::TransferLeaderResponse { leader: leader.to_string() }))
            }
            _ => Err(Status::internal("the host answered with something else: a bug")),
        }
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let timeout = deadline::of(request.metadata())?;
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let floor = compact(&self.engine, &request, timeout).await?;
        Ok(Response::new(v1::CompactResponse { floor: Some(floor.to_wire()) }))
    }

    async fn update_addresses(
        &self,
        request: Request<v1::UpdateAddressesRequest>,
    ) -> Result<Response<v1::UpdateAddressesResponse>, Status> {
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let _one_at_a_time = self.changing.lock().await;
        let nodes: Vec<Node> =
            request.nodes.iter().map(Node::from_wire).collect::<Result<_, _>>()?;
        let clusters: Vec<Cluster> = request.clusters.iter().map(Cluster::from_wire).collect();
        check_versions(request.epoch)?;
        check_clusters(&clusters)?;
        let engine = self.engine.clone();
        let set = move || engine.maps.set_entries(request.epoch, nodes, clusters);
        let epoch = blocking(set).await?;
        Ok(Response::new(v1::UpdateAddressesResponse { epoch }))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let node = node_id(&request.node)?;
        let _one_at_a_time = self.changing.lock().await;
        let engine = self.engine.clone();
        let removed = tokio::task::spawn_blocking(move || remove_node(&engine, node)).await;
        let epoch = removed.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(v1::RemoveNodeResponse { epoch }))
    }

    async fn recover(
        &self,
        request: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::RecoverResponse>, Status> {
        let timeout = deadline::of(request.metadata())?;
        let request = request.into_inner();
        self.check_to(&request.to)?;
        let _one_at_a_time = self.changing.lock().await;
        let descriptor = Some(recover(&self.engine, request, timeout).await?.to_wire());
        Ok(Response::new(v1::RecoverResponse { descriptor }))
    }
}

/// No epoch may look like the mark of a node that was removed.
fn check_versions(epoch: u64) -> Result<(), Fault> {
    if epoch < REMOVED {
        return Ok(());
    }
    Err(Fault::invalid(format!("{epoch} is no epoch: give one more than the map's")))
}

/// A cluster of no nodes is one that has departed: nobody declares that.
pub(super) fn check_clusters(clusters: &[Cluster]) -> Result<(), Fault> {
    match clusters.iter().find(|cluster| cluster.name.is_empty() || cluster.nodes == 0) {
        None => Ok(()),
        Some(cluster) => Err(Fault::invalid(format!(
            "cluster {:?} has no name, or is declared with no nodes: give both",
            cluster.name
        ))),
    }
}

fn node_id(text: &str) -> Result<NodeId, Fault> {
    text.parse().map_err(|error| Fault::invalid(format!("{error}")))
}

/// Runs a manifest edit where it may wait for the disk.
async fn blocking<T: Send + 'static>(
    edit: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(edit).await;
    let done = done.map_err(|error| Status::internal(error.to_string()))?;
    done.map_err(|error| storage_fault(error).into())
}
