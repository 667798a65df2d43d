//! Answers to clients. Pure but for the reading of tables.

use super::moment::Moment;
use super::page;
use super::scan_pins::ScanPins;
use super::watch::Watching;
use crate::apply::{ReplicaData, execute};
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::limits;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::token::{Place, SessionToken};
use doug_proto::v1::{self, error_detail::Detail, stream_answer::Answer};
use doug_raft::{Clock, Stamp, Time};
use doug_storage::ReplicaKey;
use doug_storage::tree::ReadError;
use std::time::Duration;

/// What a client's operation asked, as far as its answer needs it.
#[derive(Clone, Debug)]
pub enum Asked {
    /// One key written.
    Put,
    /// One key deleted.
    Delete,
    /// Several writes.
    Batch,
    /// A transaction that may change something.
    Transact,
    /// A transaction that changes nothing.
    TransactReading(Box<v1::TransactRequest>),
    /// A new session.
    Register,
    /// One key read.
    Get(v1::GetRequest),
    /// A page of keys read.
    Scan(Box<v1::ScanRequest>),
    /// What changes, told by [`tell`](super::tell).
    Watch(Box<Watching>),
}

/// Why a read has no answer.
#[derive(Debug)]
pub enum ReadFailure {
    /// As the client is told.
    Refused(Fault),
    /// The replica could not read: what that means is for its node to say.
    Unreadable(ReadError),
}

impl From<Fault> for ReadFailure {
    fn from(fault: Fault) -> Self {
        ReadFailure::Refused(fault)
    }
}

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        ReadFailure::Unreadable(error)
    }
}

/// Who answers, from which replica.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The database.
    pub database: DatabaseId,
    /// The node.
    pub node: NodeId,
    /// The descriptor of the partition.
    pub descriptor: &'a Partition,
    /// Whether its replica led.
    pub leader: bool,
    /// Bound on the staleness, if a read round or a lease has proven one: see
    /// [`ReadyRead`](crate::host::ReadyRead). That a replica leads proves nothing: it may have been
    /// deposed without having heard of it.
    pub staleness: Option<Duration>,
}

impl Served<'_> {
    /// The header of an answer of this revision, which saw nothing later than `stamp`.
    pub fn header(&self, revision: u64, stamp: Stamp) -> v1::ResponseHeader {
        let Partition { id, generation, .. } = *self.descriptor;
        let place = Place::new(self.descriptor, revision);
        v1::ResponseHeader {
            partition: id,
            generation,
            revision,
            session_token: SessionToken::of(self.database, place, stamp.0).to_bytes(),
            served_by: self.node.to_string(),
            leader: self.leader,
            staleness_milliseconds: self.staleness.map(whole_milliseconds),
            stamp: stamp.0,
        }
    }
}

/// Rounded up, for it is a bound.
fn whole_milliseconds(bound: Duration) -> u64 {
    (bound.as_micros() as u64).div_ceil(1_000)
}

/// A read was made ready for one replica; nothing that proved counts for another that its node has
/// made in its place since, which may hold less.
///
/// # Errors
/// The replica has left this node.
pub fn serves(held: ReplicaKey, ready: ReplicaKey) -> Result<(), Fault> {
    if held == ready { Ok(()) } else { Err(just_left()) }
}

/// The answer to a write whose outcome is known.
///
/// # Errors
/// It was applied by no means, or its session was not known.
///
/// # Panics
/// If a read was asked.
pub fn answer_write(
    asked: &Asked,
    served: Served,
    epoch: u64,
    (outcome, stamp): (&v1::Outcome, Stamp),
) -> Result<Answer, Fault> {
    if outcome.wrong_partition {
        return Err(wrong_partition(served.descriptor, epoch));
    }
    if outcome.session_expired {
        return Err(session_expired(served.descriptor.id));
    }
    let header = Some(served.header(outcome.revision, stamp));
    let condition_met = outcome.conditions_met;
    let current_revision = outcome.current_revision;
    Ok(match asked {
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
        Asked::Transact => Answer::Transact(transacted(outcome, header)),
        Asked::Register => {
            Answer::Register(v1::RegisterResponse { header, session_id: outcome.revision })
        }
        Asked::Get(_) | Asked::Scan(_) | Asked::Watch(_) | Asked::TransactReading(_) => {
            unreachable!("only writes are proposed, so only writes have outcomes")
        }
    })
}

/// The answer to a read that may be served now.
///
/// # Errors
/// A scan that cannot go on, or a replica that cannot read.
///
/// # Panics
/// If a write or a watch was asked.
pub fn answer_read(
    replica: &ReplicaData,
    asked: &Asked,
    served: Served,
    scan_pins: &ScanPins,
    now: Time,
) -> Result<Answer, ReadFailure> {
    match asked {
        Asked::Get(get) => Ok(Answer::Get(read_one(replica, get, served)?)),
        Asked::Scan(scan) => Ok(Answer::Scan(page::page(replica, scan, served, scan_pins, now)?)),
        Asked::TransactReading(transact) => {
            let view = replica.reader().view();
            let (outcome, _nothing) =
                execute(&view, (view.revision(), Clock(0)), (&**transact).into())?;
            let header = served.header(view.revision(), replica.stamp());
            Ok(Answer::Transact(transacted(&outcome, Some(header))))
        }
        _ => unreachable!("watches are told elsewhere, and writes are applied"),
    }
}

fn transacted(outcome: &v1::Outcome, header: Option<v1::ResponseHeader>) -> v1::TransactResponse {
    v1::TransactResponse {
        header,
        conditions_met: outcome.conditions_met,
        failed_condition: outcome.failed_condition,
        current_revision: outcome.current_revision,
        answers: outcome.answers.clone(),
        answers_dropped: outcome.answers_dropped,
        obstacle: outcome.obstacle,
    }
}

fn read_one(
    replica: &ReplicaData,
    get: &v1::GetRequest,
    served: Served,
) -> Result<v1::GetResponse, ReadFailure> {
    let moment = Moment::of(replica, get.at.as_ref())?;
    let found = moment.view.get(&get.key, Some(moment.revision));
    let found = found.map_err(|error| moment.failed(error))?;
    let header = Some(served.header(moment.revision, replica.stamp()));
    let versions = versions(&moment, get)?;
    Ok(match found {
        Some(found) => v1::GetResponse {
            header,
            found: true,
            value: found.value,
            value_revision: found.revision,
            versions,
            expiry_milliseconds: found.expiry.map_or(0, |expiry| expiry.0),
        },
        None => v1::GetResponse { header, versions, ..Default::default() },
    })
}

/// The versions of a key that were asked for, the newest first.
fn versions(moment: &Moment, get: &v1::GetRequest) -> Result<Vec<v1::KeyVersion>, ReadFailure> {
    let (mut versions, mut bytes) = (Vec::new(), 0);
    if get.versions == 0 {
        return Ok(versions);
    }
    let found = moment.view.versions(&get.key, moment.revision);
    for version in found.map_err(|error| moment.failed(error))? {
        let (revision, value) = version?;
        let (deleted, value) = (value.is_none(), value.unwrap_or_default());
        bytes += value.len();
        versions.push(v1::KeyVersion { revision, deleted, value });
        // What it held at the floor is the oldest that can be told.
        let enough = versions.len() >= get.versions as usize || bytes >= limits::SCAN_PAGE_BYTES;
        if enough || revision <= moment.floor {
            break;
        }
    }
    Ok(versions)
}

/// A replica that has just started must not serve an older state than it did before.
pub fn replaying() -> Fault {
    Fault::unavailable(
        "this replica has just started and is finding its former state again: another one can read",
    )
}

/// A replica that has just joined its group has nothing to read yet.
pub fn just_joined() -> Fault {
    Fault::unavailable("this replica has just joined its group and holds nothing yet: ask another")
}

/// A replica that was removed while a read waited for it.
pub fn just_left() -> Fault {
    Fault::unavailable("the replica has just left this node")
}

/// A snapshot that was let go.
pub fn gone(error: &ReadError) -> Fault {
    Fault::new(
        tonic::Code::FailedPrecondition,
        format!("{error}: the scan was left alone too long, so start it anew"),
    )
    .not_executed()
}

/// Fills in where the leader that a not-leader error names listens.
pub fn with_leader_address(mut fault: Fault, map: Option<&PartitionMap>) -> Fault {
    for detail in &mut fault.details {
        let Detail::NotLeader(not_leader) = detail else { continue };
        let Ok(id) = not_leader.leader_node.parse() else { continue };
        let Some(node) = map.and_then(|map| map.node(id)) else { continue };
        not_leader.leader_address = node.doug_address();
        fault.message = format!(
            "this node does not lead partition {}; node {id} ({}) at {} does",
            not_leader.partition, node.name, not_leader.leader_address
        );
    }
    fault
}

/// The key is outside the partition: nothing was applied.
pub fn wrong_partition(descriptor: &Partition, epoch: u64) -> Fault {
    let why = format!("the key does not lie in partition {}", descriptor.id);
    misrouted(&why, descriptor, epoch)
}

/// The node holds no replica of the key's partition.
pub fn not_held(descriptor: &Partition, epoch: u64) -> Fault {
    let why = format!("this node holds no replica of partition {}", descriptor.id);
    misrouted(&why, descriptor, epoch)
}

fn misrouted(why: &str, descriptor: &Partition, epoch: u64) -> Fault {
    let message = format!("{why}: fetch the partition map anew");
    let descriptor = Some(descriptor.to_wire());
    Fault::new(tonic::Code::FailedPrecondition, message)
        .not_executed()
        .with(Detail::WrongPartition(v1::WrongPartition { descriptor, epoch }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_made_ready_for_one_replica_is_not_served_by_its_successor() {
        let was_asked = ReplicaKey { partition: 1, replica: 3 };
        let successor = ReplicaKey { replica: 7, ..was_asked };
        assert_eq!(serves(was_asked, was_asked), Ok(()));
        let refused = serves(successor, was_asked).expect_err("it may lack what the other held");
        assert!(refused.is_not_executed() && refused.code == tonic::Code::Unavailable);
    }
}
