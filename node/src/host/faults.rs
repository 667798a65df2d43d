//! The errors a host answers with, in words.

use super::replica::Replica;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_raft::{ReplicaId, TransferError};
use tonic::Code;

/// The address is filled in by the node, which knows the map.
pub(super) fn not_leader(replica: &Replica) -> Fault {
    let own = replica.node_of(ReplicaId(replica.key.replica));
    // A leader that hands over, or has just stepped down, still knows itself.
    let leader = replica.leader_node().filter(|node| Some(*node) != own);
    let leader = leader.map(|node| node.to_string()).unwrap_or_default();
    Fault::not_leader(replica.key.partition, leader, String::new())
}

/// `RESOURCE_EXHAUSTED` and not executed: disk or compactions are behind.
pub(super) fn backlog_full(partition: u64) -> Fault {
    Fault::exhausted(format!(
        "this node has too much waiting for its disk to take up writes of partition {partition}: \
         try again later"
    ))
}

pub(super) fn majority_awaited(partition: u64) -> Fault {
    Fault::exhausted(format!(
        "as much as this node's log can bear waits for a majority: followers are slow or \
         unreachable. No write of partition {partition} is taken until some of it is committed: \
         try again later"
    ))
}

/// `UNAVAILABLE`, for it passes: whoever asked had good reason to come here, and the
/// replica left between the look at what the node holds and the turn of its host.
pub(super) fn not_here(node: NodeId, partition: u64) -> Fault {
    Fault::unavailable(format!(
        "node {node} holds no replica of partition {partition}: fetch the partition map anew"
    ))
}

pub(super) fn not_proposed(partition: u64) -> Fault {
    Fault::unavailable(format!(
        "partition {partition} did not commit earlier writes in time to take this one up; \
         it was not applied and may be tried again"
    ))
}

pub(super) fn outcome_unknown(partition: u64) -> Fault {
    Fault::deadline_unknown(format!(
        "partition {partition} did not commit the write before its deadline; \
         it may still be applied, so read before writing again"
    ))
}

/// The outcome of a write that was proposed here, and is applied only elsewhere.
pub fn undecided(partition: u64) -> Fault {
    Fault::unknown(format!(
        "this node cannot tell what became of the write: its replica of partition {partition} \
         left, \
         or was overtaken by a snapshot, before it had applied it; read before writing again"
    ))
}

pub(super) fn overwritten(partition: u64) -> Fault {
    Fault::unavailable(format!(
        "another leader of partition {partition} took the write's place in the log; \
         it was not applied and may be tried again"
    ))
}

pub(super) fn read_expired(replica: &Replica) -> Fault {
    let partition = replica.key.partition;
    Fault::new(
        Code::DeadlineExceeded,
        format!("partition {partition} could not prove the asked freshness before the deadline"),
    )
    .not_executed()
}

pub(super) fn transfer_expired(partition: u64) -> Fault {
    Fault::new(
        Code::DeadlineExceeded,
        format!(
            "the leadership of partition {partition} was not taken over in time; it may still be"
        ),
    )
}

/// Another hand-over ends within the longest election timeout, so this one may succeed then.
pub(super) fn transfer_refused(error: &TransferError) -> Fault {
    let code = if matches!(error, TransferError::InProgress(_)) {
        Code::Unavailable
    } else {
        Code::FailedPrecondition
    };
    Fault::new(code, error.to_string()).not_executed()
}

pub(super) fn removed(partition: u64) -> Fault {
    Fault::unavailable(format!(
        "the replica of partition {partition} has just left this node: fetch the partition map anew"
    ))
}
