//! What a partition's descriptor means to its core.

use doug_proto::map::{Member, Partition};
use doug_raft::{Configuration, Membership, ReplicaId};

/// What stands in the log for a descriptor. A replica that has yet to hear of its
/// group's members knows none.
pub(super) fn membership(descriptor: &Partition) -> Membership {
    if descriptor.generation == 0 {
        return Membership::default();
    }
    let ids = |members: &[Member]| members.iter().map(|m| ReplicaId(m.replica)).collect();
    let configuration = Configuration {
        voters: ids(&descriptor.voters),
        outgoing: ids(&descriptor.outgoing),
        learners: ids(&descriptor.learners),
    };
    Membership { configuration, context: descriptor.encode() }
}

/// The voter that leads when all are well: the first of the descriptor, which
/// creation rotates from partition to partition.
pub(super) fn preferred(descriptor: &Partition) -> Option<ReplicaId> {
    descriptor.voters.first().map(|member| ReplicaId(member.replica))
}
