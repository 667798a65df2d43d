//! Making an empty replica that its group has taken in as a learner.

use crate::apply::Machine;
use crate::membership::WantedReplica;
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use doug_storage::store::NewReplica;
use doug_storage::{Applied, ReplicaKey};

/// What `Admin.CreateReplica` comes to on this node.
#[derive(Debug)]
pub enum Newcomer {
    /// The replica was made before.
    Known,
    /// It is to be stored, and then to run.
    New(Box<(NewReplica, Machine)>),
}

/// What to store for a replica that [`check_newcomer`](crate::membership::check_newcomer) has let
/// pass; `held` are the replicas of this node. Its members come with the log, from whoever leads by
/// then.
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
