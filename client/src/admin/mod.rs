//! Typed calls to a node's admin address. Unlike data, these are plain unary
//! calls to exactly the node meant. [`Steering`] makes them to whichever node of
//! a database can carry them out.

mod recovery;
mod steering;
mod survey;

pub use recovery::{Assessment, Loss, Survivor, assess};
pub use steering::{Intent, Steering};
pub use survey::{Survey, Told};

use crate::dial::address_of;
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Cluster, Goal, Node, Partition, PartitionMap};
use doug_proto::v1::{self, admin_client::AdminClient};
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// How long one call may take, connect included, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A map of many partitions exceeds gRPC's own limit.
const MESSAGE_BYTES: usize = 64 << 20;

type Client = AdminClient<InterceptedService<Channel, AccessToken>>;

fn client(channel: Channel, token: AccessToken) -> Client {
    AdminClient::with_interceptor(channel, token)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// One node's admin service. Its errors name the address.
#[derive(Clone)]
pub struct Admin {
    address: String,
    timeout: Duration,
    channel: Channel,
    client: Client,
}

impl Admin {
    /// The admin service at `address` (`host:port`). Connects with the first call.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn new(address: &str) -> Result<Self, Fault> {
        Self::with_timeout(address, TIMEOUT)
    }

    /// The same with another timeout per call.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn with_timeout(address: &str, timeout: Duration) -> Result<Self, Fault> {
        let address = address_of(address)?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Fault::invalid(format!("{address} is not an address: {error}")))?
            .connect_timeout(timeout)
            .timeout(timeout);
        let channel = endpoint.connect_lazy();
        let client = client(channel.clone(), AccessToken::default());
        Ok(Self { address, timeout, channel, client })
    }

    /// The same, showing the token that the nodes ask for.
    pub fn with_token(self, token: AccessToken) -> Self {
        Self { client: client(self.channel.clone(), token), ..self }
    }

    /// What the node is.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it does not answer.
    pub async fn identify(&self) -> Result<v1::IdentifyResponse, Fault> {
        self.read(self.client.clone().identify(v1::IdentifyRequest {}).await)
    }

    /// What the node is, how it is, and what it knows.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it does not answer, `UNIMPLEMENTED` by an older program.
    pub async fn describe(&self, with_map: bool) -> Result<v1::DescribeResponse, Fault> {
        let request = v1::DescribeRequest { with_map };
        self.read(self.client.clone().describe(request).await)
    }

    /// Makes the node `to` a member of the database of `map`, its first map.
    ///
    /// # Errors
    /// The node is another one, or is already a member of a different creation.
    pub async fn create(
        &self,
        to: NodeId,
        map: &PartitionMap,
    ) -> Result<v1::CreateResponse, Fault> {
        let request = v1::CreateRequest { to: to.to_string(), map: Some(map.to_wire()) };
        self.read(self.client.clone().create(request).await)
    }

    /// Makes the empty node `to` a member of the database of `map`, which lists
    /// it, without replicas; on a member it merges the map. Again is a success.
    ///
    /// # Errors
    /// The node is another one, or belongs to another database.
    pub async fn join(&self, to: NodeId, map: &PartitionMap) -> Result<(), Fault> {
        let request = v1::JoinRequest { to: to.to_string(), map: Some(map.to_wire()) };
        self.read(self.client.clone().join(request).await)?;
        Ok(())
    }

    /// Makes an empty replica, which its group has already taken in. Leaders do
    /// this by themselves for the goals of their partitions.
    ///
    /// # Errors
    /// The node is another one, the descriptor does not list the replica on it, or
    /// it was removed from there before.
    pub async fn create_replica(&self, request: v1::CreateReplicaRequest) -> Result<(), Fault> {
        self.read(self.client.clone().create_replica(request).await)?;
        Ok(())
    }

    /// Tells `partition`, which node `to` leads, where its voters are to be; `None`
    /// gives up a goal that is not reached yet. Returns the descriptor once its group
    /// has committed that: the leader, whoever it is by then, carries it out, and
    /// descriptors without a goal and [at rest](Partition::is_at_rest) say that
    /// it is done.
    ///
    /// With a `generation` other than 0 it is refused unless the partition is at
    /// that one.
    ///
    /// # Errors
    /// The node is another one, or does not lead (the fault has a
    /// [hint](Fault::leader_hint)); a goal that cannot be; a partition that is not
    /// at `generation`. Without the promise that it was not executed, the goal may
    /// stand: look at the partition.
    pub async fn change_members(
        &self,
        to: NodeId,
        partition: u64,
        goal: Option<&Goal>,
        generation: u64,
    ) -> Result<Partition, Fault> {
        let request = v1::ChangeMembersRequest {
            to: to.to_string(),
            partition,
            goal: goal.map(Goal::to_wire),
            generation,
        };
        let answer = self.read(self.client.clone().change_members(self.timed(request)).await)?;
        let descriptor = answer.descriptor.ok_or_else(|| {
            Fault::unknown(format!("node at {} (admin): it answered nothing", self.address))
        })?;
        Partition::from_wire(&descriptor)
    }

    /// Hands the leadership of `partition` from node `to` to `new_leader`, or
    /// to the most caught-up other voter.
    ///
    /// # Errors
    /// The node is another one, or does not lead the partition.
    pub async fn transfer_leader(
        &self,
        to: NodeId,
        partition: u64,
        new_leader: Option<NodeId>,
    ) -> Result<v1::TransferLeaderResponse, Fault> {
        let new_leader = new_leader.map(|node| node.to_string()).unwrap_or_default();
        let request = v1::TransferLeaderRequest { to: to.to_string(), partition, new_leader };
        self.read(self.client.clone().transfer_leader(self.timed(request)).await)
    }

    /// Raises the floor of the history of `partition`, which node `to` leads, to `revision`.
    /// Returns the floor there is now: a higher one stays.
    ///
    /// # Errors
    /// The node is another one, or does not lead the partition; a revision that the partition
    /// has not come to. Without the promise that it was not executed, the floor may rise yet.
    pub async fn compact(
        &self,
        to: NodeId,
        partition: u64,
        revision: u64,
    ) -> Result<v1::HistoryFloor, Fault> {
        let request = v1::CompactRequest { to: to.to_string(), partition, revision };
        let answer = self.read(self.client.clone().compact(self.timed(request)).await)?;
        Ok(answer.floor.unwrap_or_default())
    }

    /// Gives nodes new addresses and clusters another declared number of nodes:
    /// replaces the entries that node `to` knows from a smaller `epoch`; it tells the
    /// others.
    ///
    /// # Errors
    /// The node is another one, or does not answer.
    pub async fn update_addresses(
        &self,
        to: NodeId,
        epoch: u64,
        nodes: &[Node],
        clusters: &[Cluster],
    ) -> Result<v1::UpdateAddressesResponse, Fault> {
        let nodes = nodes.iter().map(Node::to_wire).collect();
        let clusters = clusters.iter().map(Cluster::to_wire).collect();
        let request = v1::UpdateAddressesRequest { to: to.to_string(), epoch, nodes, clusters };
        self.read(self.client.clone().update_addresses(request).await)
    }

    /// Takes `node` out of the map for good; node `to` tells the others.
    ///
    /// # Errors
    /// Node `to` is another one, or `node` holds replicas, or is to.
    pub async fn remove_node(&self, to: NodeId, node: NodeId) -> Result<(), Fault> {
        let request = v1::RemoveNodeRequest { to: to.to_string(), node: node.to_string() };
        self.read(self.client.clone().remove_node(request).await)?;
        Ok(())
    }

    /// Has a partition that lost its quorum for good begin anew from the best survivor of `loss`.
    /// Returns the descriptor of the new group once that is committed. What only the lost
    /// replicas held is lost: see docs/recovery.md. `by` says who asks, for the record.
    ///
    /// # Errors
    /// The replica hears a leader, or has moved on since it was looked at; nothing has happened
    /// then. Without the promise that it was not executed, look at the partition.
    pub async fn recover(
        &self,
        database: DatabaseId,
        loss: &Loss,
        by: &str,
    ) -> Result<Partition, Fault> {
        let best = loss.best();
        let request = v1::RecoverRequest {
            to: best.node.to_string(),
            database: database.to_string(),
            partition: loss.descriptor.id,
            replica: best.replica,
            generation: loss.descriptor.generation,
            last_term: best.last_term,
            last_index: best.last_index,
            committed: loss.committed(),
            lost: loss.lost.iter().map(NodeId::to_string).collect(),
            discarded: loss.discarded.clone(),
            by: by.to_owned(),
        };
        let answer = self.read(self.client.clone().recover(self.timed(request)).await)?;
        let descriptor = answer.descriptor.ok_or_else(|| {
            Fault::unknown(format!("node at {} (admin): it answered nothing", self.address))
        })?;
        Partition::from_wire(&descriptor)
    }

    /// With the deadline for the node to see: it says what is known by then,
    /// instead of leaving the caller with nothing.
    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    fn read<T>(&self, result: Result<Response<T>, Status>) -> Result<T, Fault> {
        result.map(Response::into_inner).map_err(|status| {
            let mut fault = Fault::from_status(&status);
            let address = &self.address;
            let why = match status.code() {
                Code::Unimplemented => {
                    "what serves this port is no admin service of this version: \
                                        give the admin port of a node (7402)"
                        .to_owned()
                }
                _ => crate::transport::describe(&status),
            };
            fault.message = format!("node at {address} (admin): {why}");
            fault
        })
    }
}
