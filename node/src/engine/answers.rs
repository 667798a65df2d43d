//! Building answers.

use super::requests::{Asked, Request};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use doug_proto::token::SessionToken;
use doug_proto::v1::{self, error_detail::Detail, stream_answer::Answer};

/// Who answers, from which replica.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The node.
    pub node: NodeId,
    /// The descriptor of the partition.
    pub descriptor: &'a Partition,
    /// Whether its replica led.
    pub leader: bool,
    /// Bound on the staleness, in milliseconds, if known.
    pub staleness: Option<u64>,
}

impl Served<'_> {
    /// The header of an answer of this revision.
    pub fn header(&self, revision: u64) -> v1::ResponseHeader {
        let Partition { id, generation, .. } = *self.descriptor;
        v1::ResponseHeader {
            partition: id,
            generation,
            revision,
            session_token: SessionToken::of(id, generation, revision).to_bytes(),
            served_by: self.node.to_string(),
            leader: self.leader,
            staleness_milliseconds: self.staleness,
        }
    }
}

/// Answers a write whose outcome is known.
pub fn answer_write(request: Request, served: Served, epoch: u64, outcome: &v1::Outcome) {
    let Some(sink) = request.sink else { return };
    let partition = request.partition;
    if outcome.wrong_partition {
        return sink.fail(&wrong_partition(served.descriptor, epoch));
    }
    if outcome.session_expired {
        return sink.fail(&session_expired(partition));
    }
    let header = Some(served.header(outcome.revision));
    let condition_met = outcome.conditions_met;
    let current_revision = outcome.current_revision;
    sink.answer(match request.asked {
        Asked::Put => Answer::Put(v1::PutResponse { header, condition_met, current_revision }),
        Asked::Delete => Answer::Delete(v1::DeleteResponse {
            header,
            condition_met,
            existed: outcome.existed,
            current_revision,
        }),
        Asked::Batch => Answer::Batch(v1::BatchResponse {
            header,
            conditions_met: condition_met,
            failed_condition: outcome.failed_condition,
            current_revision,
        }),
        Asked::Register => {
            Answer::Register(v1::RegisterResponse { header, session_id: outcome.revision })
        }
        Asked::Get(_) | Asked::Scan(_) | Asked::Control(_) => {
            unreachable!("only writes are proposed, so only writes have outcomes")
        }
    });
}

/// The key is outside the partition: nothing was applied.
pub fn wrong_partition(descriptor: &Partition, epoch: u64) -> Fault {
    Fault::new(
        tonic::Code::FailedPrecondition,
        format!(
            "the key does not lie in partition {}: fetch the partition map anew",
            descriptor.id
        ),
    )
    .not_executed()
    .with(Detail::WrongPartition(v1::WrongPartition {
        descriptor: Some(descriptor.to_wire()),
        epoch,
    }))
}

/// This call applied nothing, but an earlier try of the same write may have:
/// so it does not carry `NotExecuted`.
fn session_expired(partition: u64) -> Fault {
    Fault::new(
        tonic::Code::FailedPrecondition,
        format!(
            "partition {partition} does not know the session of this write any more, or its \
             sequence lies below the session's window; register a new session, and read before \
             writing again if this write was sent before"
        ),
    )
    .with(Detail::SessionExpired(v1::SessionExpired { partition, session_id: 0 }))
}
