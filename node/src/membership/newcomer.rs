//! Whether an empty replica may be made that its group has taken in as a learner.

use super::is_left_out;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Member, Partition, PartitionMap};
use doug_storage::ReplicaKey;
use tonic::Code;

/// A replica to be made on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedReplica {
    /// Its node, and its id.
    pub member: Member,
    /// The committed descriptor that lists it.
    pub descriptor: Partition,
    /// The partition's feature level.
    pub feature_level: u32,
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

fn refused(message: String) -> Fault {
    Fault::new(Code::FailedPrecondition, message).not_executed()
}
