//! Calls between the nodes' admin services: a leader has replicas made on other
//! nodes, and a damaged replica asks its group for a successor.

use super::outgoing::endpoint;
use crate::engine::Engine;
use crate::membership::WantedReplica;
use crate::membership::without;
use doug_proto::access::AccessToken;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, admin_client::AdminClient};
use doug_storage::ReplicaKey;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

type Admin = AdminClient<InterceptedService<Channel, AccessToken>>;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between two tries to be replaced.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Has the replicas made that leaders on this node want, until it stops. A leader
/// asks again until its learner answers, so nothing is repeated here.
pub async fn create_replicas(mut wanted: mpsc::Receiver<WantedReplica>, engine: Arc<Engine>) {
    let under_way: Arc<Mutex<BTreeSet<ReplicaKey>>> = Arc::default();
    while let Some(wanted) = wanted.recv().await {
        let partition = wanted.descriptor.id;
        let key = ReplicaKey { partition, replica: wanted.member.replica };
        if !under_way.lock().insert(key) {
            continue;
        }
        let (engine, under_way) = (engine.clone(), under_way.clone());
        tokio::spawn(async move {
            let node = wanted.member.node;
            match create(&engine, wanted).await {
                Ok(()) => tracing::info!(replica = %key, %node, "a new replica was made"),
                Err(why) => tracing::info!(replica = %key, %node, why, "no new replica yet"),
            }
            under_way.lock().remove(&key);
        });
    }
}

async fn create(engine: &Engine, wanted: WantedReplica) -> Result<(), String> {
    let map = engine.maps.get().ok_or("there is no map")?;
    let node = wanted.member.node;
    let request = v1::CreateReplicaRequest {
        to: node.to_string(),
        database: map.database.to_string(),
        descriptor: Some(wanted.descriptor.to_wire()),
        replica: wanted.member.replica,
        feature_level: wanted.feature_level,
    };
    let mut admin = admin(engine, node)?;
    admin.create_replica(timed(request)).await.map_err(|status| status.message().to_owned())?;
    Ok(())
}

/// Asks for successors of the damaged replicas on this node, for ever.
pub async fn replace_damaged(engine: Arc<Engine>) {
    let mut pause = FIRST_PAUSE;
    while !engine.is_stopping() {
        let damaged: Vec<ReplicaKey> = engine.fenced.lock().keys().copied().collect();
        if damaged.is_empty() {
            pause = FIRST_PAUSE;
        }
        for replica in damaged {
            if let Err(why) = replace(&engine, replica).await {
                tracing::warn!(%replica, why, "a damaged replica is not replaced yet; trying on");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn replace(engine: &Engine, replica: ReplicaKey) -> Result<(), String> {
    let map = engine.maps.get().ok_or("there is no map")?;
    let descriptor = map.partition(replica.partition).ok_or("the map does not list it")?;
    let Some(goal) = without(descriptor, replica.replica) else { return Ok(()) };
    let own = engine.config.node;
    let mut others: Vec<NodeId> = descriptor.members().map(|member| member.node).collect();
    others.retain(|node| *node != own);
    let mut why = "nobody else holds it".to_owned();
    for node in others {
        let request = v1::ChangeMembersRequest {
            to: node.to_string(),
            partition: replica.partition,
            goal: Some(goal.to_wire()),
            generation: descriptor.generation,
        };
        let mut admin = match admin(engine, node) {
            Ok(admin) => admin,
            Err(error) => {
                why = error;
                continue;
            }
        };
        match admin.change_members(timed(request)).await {
            Ok(_) => {
                tracing::info!(%replica, "the group replaces a damaged replica");
                return Ok(());
            }
            Err(status) => status.message().clone_into(&mut why),
        }
    }
    Err(why)
}

/// A client of another node's Admin port. It shows the token, if there is one.
fn admin(engine: &Engine, node: NodeId) -> Result<Admin, String> {
    let entry = engine.maps.node(node).ok_or("the map does not list the node")?;
    let channel = endpoint(&entry.admin_address())?.connect_lazy();
    Ok(AdminClient::with_interceptor(channel, engine.config.access.clone()))
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}
