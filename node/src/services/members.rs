//! Replicas made, and goals given to partitions.

use super::creation::another_database;
use crate::apply::ReplicaData;
use crate::catalog;
use crate::engine::Engine;
use crate::engine::fatal::storage_fault;
use crate::engine::random::random_bits;
use crate::engine::removal::leave_if_damaged;
use crate::host::{Event, Reply, host_of};
use crate::levels::FEATURE_LEVEL;
use crate::membership::WantedReplica;
use crate::membership::{check_newcomer, refusal};
use crate::replicas::{Newcomer, newcomer};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition as Descriptor};
use doug_proto::v1;
use doug_storage::tree::ReadError;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// Makes an empty replica that its group has taken in as a learner.
///
/// # Errors
/// A call that is not for this database, an id that is gone, a partition level
/// this program does not support, or another replica of the partition that is
/// still here.
pub fn create_replica(engine: &Engine, request: &v1::CreateReplicaRequest) -> Result<(), Fault> {
    let map = engine.maps.required()?;
    if request.database != map.database.to_string() {
        return Err(another_database(map.database));
    }
    let wire = request.descriptor.as_ref();
    let descriptor =
        Descriptor::from_wire(wire.ok_or_else(|| Fault::invalid("the call has no descriptor"))?)?;
    let member = Member { node: engine.config.node, replica: request.replica };
    let wanted = WantedReplica { member, descriptor, feature_level: request.feature_level };
    check_newcomer(engine.config.node, FEATURE_LEVEL, &map, &wanted)?;
    // It may say that an earlier replica on this node is gone.
    engine.maps.publish(&wanted.descriptor).map_err(storage_fault)?;
    let (new, machine) = match newcomer(&map, &wanted, engine.store.replicas().into_keys())? {
        Newcomer::Known => return Ok(()),
        Newcomer::New(new) => *new,
    };
    let (key, applied) = (new.key, new.applied);
    let tree = engine.store.create_replica(&new).map_err(storage_fault)?;
    let descriptor = Box::new(machine.descriptor().clone());
    let partition = ReplicaData::new(key, tree, machine, applied);
    engine.partitions.write().insert(key.partition, Arc::new(partition));
    let event = Event::Create { replica: key, descriptor, seed: random_bits() };
    engine.host(key.partition).send(event);
    tracing::info!(replica = %key, "made a replica that joins its group");
    Ok(())
}

fn refused(message: String) -> Fault {
    Fault::new(Code::FailedPrecondition, message).not_executed()
}

/// Takes a node out of the map for good. Returns the map's epoch.
///
/// # Errors
/// A node that the map does not list, that holds replicas or is to, or this one.
pub fn remove_node(engine: &Engine, node: NodeId) -> Result<u64, Fault> {
    let map = engine.maps.required()?;
    if node == engine.config.node {
        return Err(Fault::invalid(format!(
            "this is node {node} itself: another node must be asked to remove it"
        )));
    }
    if map.node(node).is_none() {
        return Err(Fault::invalid(format!("the map does not list node {node}")));
    }
    let needed: Vec<String> = map.partitions_of(node).map(|p| p.id.to_string()).collect();
    if !needed.is_empty() {
        return Err(refused(format!(
            "node {node} holds replicas, or is to hold some, of these partitions: {}; replace it \
             in them first",
            needed.join(", ")
        )));
    }
    engine.maps.remove_node(node).map_err(storage_fault)
}

/// Gives a partition another goal; returns the descriptor once that is committed.
///
/// # Errors
/// A goal that cannot be, a node that does not lead, or a partition that is not
/// where the caller believes.
pub async fn change_members(
    engine: &Engine,
    request: v1::ChangeMembersRequest,
    timeout: Duration,
) -> Result<Descriptor, Fault> {
    let map = engine.maps.required()?;
    let partition = request.partition;
    if map.partition(partition).is_none() {
        return Err(Fault::invalid(format!("the database has no partition {partition}")));
    }
    let goal = Goal::from_wire(&request.goal.unwrap_or_default())?;
    if let Some(fault) = refusal(partition, &goal, &map) {
        return Err(fault);
    }
    check_catalog(engine, partition).await?;
    let deadline = engine.clock.after(timeout);
    let host = host_of(partition, engine.hosts.len());
    let reply = engine.ask(host, timeout, |request_id| Event::ChangeMembers {
        request: request_id,
        partition,
        goal,
        generation: request.generation,
        deadline,
    });
    match reply.await.map_err(|fault| engine.with_leader_address(fault))? {
        Reply::Goal(descriptor) => Ok(*descriptor),
        _ => Err(Fault::unknown("the host answered with something else: a bug")),
    }
}

/// The catalog keeps its members until its replica here holds the creation document.
async fn check_catalog(engine: &Engine, partition: u64) -> Result<(), Fault> {
    let held = engine.partition(partition).filter(|_| partition == catalog::PARTITION);
    // Whoever holds no replica leads none, and its host says so.
    let Some(replica) = held else { return Ok(()) };
    let key = replica.key();
    let looked = tokio::task::spawn_blocking(move || catalog::must_stay(&replica)).await;
    let unreadable =
        |why: String| Fault::unavailable(format!("the catalog does not read here: {why}"));
    match looked.map_err(|error| unreadable(error.to_string()))? {
        Ok(fault) => fault.map_or(Ok(()), Err),
        // Damage costs the replica, whoever meets it: its successor can be asked again.
        Err(ReadError::Storage(error)) => {
            let why = error.to_string();
            leave_if_damaged(engine, key, error).map_err(|error| unreadable(error.to_string()))?;
            Err(unreadable(why))
        }
        Err(error) => Err(unreadable(error.to_string())),
    }
}
