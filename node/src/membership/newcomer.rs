//! Making an empty replica that its group has taken in as a learner.

use super::is_left_out;
use crate::apply::Machine;
use crate::host::WantedReplica;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::PartitionMap;
use doug_storage::store::NewReplica;
use doug_storage::{Applied, ReplicaKey};
use tonic::Code;

/// What `Admin.CreateReplica` comes to on this node.
#[derive(Debug)]
pub enum Newcomer {
    /// The replica was made before.
    Known,
    /// It is to be stored, and then to run.
    New(Box<(NewReplica, Machine)>),
}

/// Whether a replica may be made on this node, whose program supports the feature
/// level `supports`, whatever it holds.
///
/// # Errors
/// A descriptor that does not list the replica on this node, an id that is gone, or
/// a partition level that this program does not support.
pub fn check_newcomer(
    own: NodeId,
    supports: u32,
    map: &PartitionMap,
    wanted: &WantedReplica,
) -> Result<(), Fault> {
    let WantedReplica { member, descriptor, feature_level } = wanted;
    let partition = descriptor.id;
    let key = ReplicaKey { partition, replica: member.replica };
    if descriptor.member(key.replica).is_none_or(|member| member.node != own) {
        return Err(Fault::invalid(format!(
            "the descriptor of partition {partition} does not list replica {} on this node, {own}",
            key.replica
        )));
    }
    if *feature_level > supports {
        return Err(refused(format!(
            "partition {partition} is at feature level {feature_level}, and this program supports \
             {supports}: upgrade this node first"
        )));
    }
    if map.partition(partition).is_some_and(|known| is_left_out(known, key.replica)) {
        return Err(refused(format!(
            "replica {key} was left out by its group, and is gone for ever"
        )));
    }
    Ok(())
}

/// What to store for a replica that [`check_newcomer`] has let pass; `held` are the
/// replicas of this node. Its members come with the log, from whoever leads by then.
///
/// # Errors
/// Another replica of the partition that is still here, or a keyspace this node has
/// not heard of.
pub fn newcomer(
    map: &PartitionMap,
    wanted: &WantedReplica,
    held: impl IntoIterator<Item = ReplicaKey>,
) -> Result<Newcomer, Fault> {
    let key = ReplicaKey { partition: wanted.descriptor.id, replica: wanted.member.replica };
    match held.into_iter().find(|held| held.partition == key.partition) {
        Some(held) if held == key => return Ok(Newcomer::Known),
        Some(held) => {
            return Err(Fault::unavailable(format!(
                "this node still holds replica {held} and has not removed it yet: try again in a \
                 moment"
            )));
        }
        None => {}
    }
    let descriptor = wanted.descriptor.before_joining();
    let Some(keyspace) = map.keyspace(descriptor.keyspace) else {
        return Err(Fault::unavailable(format!(
            "this node has not heard of keyspace {} yet: try again in a moment",
            descriptor.keyspace
        )));
    };
    let machine = Machine::new(map.database, keyspace.routing.clone(), descriptor);
    let new = NewReplica { key, applied: Applied::default(), state: machine.encode() };
    Ok(Newcomer::New(Box::new((new, machine))))
}

fn refused(message: String) -> Fault {
    Fault::new(Code::FailedPrecondition, message).not_executed()
}
