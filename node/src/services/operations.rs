//! One operation of a client: checked, routed, handed to its partition's host.

use crate::engine::read_pool::ReadTask;
use crate::engine::requests::{Asked, Permit, Request, Sink};
use crate::engine::scan::snapshot_revision;
use crate::engine::shared::Shared;
use crate::host::{Event, ReadKind, encode_command};
use crate::services::status;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::token::{ScanToken, SessionToken};
use doug_proto::v1::{self, stream_operation::Operation, write_operation};
use doug_raft::Time;
use std::sync::Arc;
use tonic::Code;

/// Takes an operation up; its answer goes to `sink`, now or later.
pub fn submit(shared: &Arc<Shared>, operation: Operation, deadline: Time, sink: Sink) {
    let permit = match admit(shared, operation.encoded_len()) {
        Ok(permit) => permit,
        Err(fault) => return sink.fail(&fault),
    };
    shared.metrics.operation(&operation);
    match operation {
        Operation::Status(_) => {
            let shared = shared.clone();
            tokio::spawn(async move {
                let status = status::local(&shared).await;
                sink.answer(v1::stream_answer::Answer::Status(status));
                drop(permit);
            });
        }
        read @ (Operation::Get(_) | Operation::Scan(_)) => match plan_read(shared, read) {
            Ok(plan) => start_read(shared, plan, deadline, sink, permit),
            Err(fault) => sink.fail(&fault),
        },
        write => match plan_write(shared, write) {
            Ok(plan) => {
                let Plan { partition, asked, command } = plan;
                shared.submit(partition, asked, Some(sink), permit, |request| Event::Write {
                    request,
                    partition,
                    command,
                    deadline,
                });
            }
            Err(fault) => sink.fail(&fault),
        },
    }
}

fn admit(shared: &Shared, bytes: usize) -> Result<Permit, Fault> {
    doug_proto::error::check_request_bytes(bytes)?;
    if shared.is_stopping() {
        return Err(Fault::unavailable("this node is stopping: ask another"));
    }
    shared.requests.admit(bytes)
}

struct Plan {
    partition: u64,
    asked: Asked,
    command: Bytes,
}

fn plan_write(shared: &Shared, operation: Operation) -> Result<Plan, Fault> {
    let map = shared.maps.required()?;
    let (asked, target, command) = match operation {
        Operation::Put(put) => {
            limits::check_key(&put.key)?;
            limits::check_value(&put.value)?;
            let conditions = one_condition(put.condition, &put.key)?;
            let operation = v1::PutOperation { key: put.key, value: put.value };
            let operations = vec![write_operation::Operation::Put(operation)];
            (Asked::Put, put.target, write_command(put.session, conditions, operations))
        }
        Operation::Delete(delete) => {
            limits::check_key(&delete.key)?;
            let conditions = one_condition(delete.condition, &delete.key)?;
            let operation = v1::DeleteOperation { key: delete.key };
            let operations = vec![write_operation::Operation::Delete(operation)];
            (Asked::Delete, delete.target, write_command(delete.session, conditions, operations))
        }
        Operation::Batch(batch) => {
            check_batch(&batch)?;
            let command = v1::WriteCommand {
                session: batch.session,
                conditions: batch.conditions,
                operations: batch.operations,
            };
            (Asked::Batch, batch.target, command)
        }
        Operation::Register(register) => return plan_register(shared, &map, register.target),
        Operation::Get(_) | Operation::Scan(_) | Operation::Status(_) => {
            unreachable!("the caller sends reads elsewhere")
        }
    };
    let partition = route(shared, &map, target.as_ref(), keys(&command))?.id;
    admit_to_volume(shared, partition, &command)?;
    let command = v1::command::Command::Write(command);
    let command = encode_command(&v1::Command { command: Some(command) });
    Ok(Plan { partition, asked, command })
}

/// Only a leader refuses for want of room: of a follower's the leader is not known to
/// be short as well, and a client sent to the leader must hear who that is.
fn admit_to_volume(
    shared: &Shared,
    partition: u64,
    command: &v1::WriteCommand,
) -> Result<(), Fault> {
    let only_deletes = command
        .operations
        .iter()
        .all(|op| matches!(op.operation, Some(write_operation::Operation::Delete(_))));
    match shared.partition(partition).is_some_and(|partition| partition.leads()) {
        true => shared.volume.admit(only_deletes),
        false => Ok(()),
    }
}

fn plan_register(
    shared: &Shared,
    map: &PartitionMap,
    target: Option<v1::Target>,
) -> Result<Plan, Fault> {
    let target = target.filter(|target| target.partition != 0).ok_or_else(|| {
        Fault::invalid("a session is registered with one partition: set target.partition")
    })?;
    let partition = route(shared, map, Some(&target), std::iter::empty())?.id;
    let command = v1::command::Command::Register(v1::RegisterCommand {});
    let command = encode_command(&v1::Command { command: Some(command) });
    Ok(Plan { partition, asked: Asked::Register, command })
}

fn write_command(
    session: Option<v1::Session>,
    conditions: Vec<v1::Condition>,
    operations: Vec<write_operation::Operation>,
) -> v1::WriteCommand {
    let operations = operations.into_iter();
    v1::WriteCommand {
        session,
        conditions,
        operations: operations.map(|o| v1::WriteOperation { operation: Some(o) }).collect(),
    }
}

/// The condition of a write of one key is about that key.
fn one_condition(
    condition: Option<v1::Condition>,
    key: &Bytes,
) -> Result<Vec<v1::Condition>, Fault> {
    let Some(mut condition) = condition else { return Ok(Vec::new()) };
    if condition.key.is_empty() {
        condition.key = key.clone();
    }
    limits::check_condition(&condition)?;
    Ok(vec![condition])
}

fn check_batch(batch: &v1::BatchRequest) -> Result<(), Fault> {
    let count = batch.operations.len() + batch.conditions.len();
    if count > limits::BATCH_OPERATIONS {
        return Err(Fault::limit("operations and conditions", limits::BATCH_OPERATIONS, count));
    }
    if count == 0 {
        return Err(Fault::invalid("the batch is empty: give it an operation or a condition"));
    }
    batch.conditions.iter().try_for_each(limits::check_condition)?;
    batch.operations.iter().try_for_each(|op| limits::check_operation(op.operation.as_ref()))
}

fn keys(command: &v1::WriteCommand) -> impl Iterator<Item = &Bytes> {
    let written = command.operations.iter().filter_map(|op| match &op.operation {
        Some(write_operation::Operation::Put(put)) => Some(&put.key),
        Some(write_operation::Operation::Delete(delete)) => Some(&delete.key),
        None => None,
    });
    command.conditions.iter().map(|condition| &condition.key).chain(written)
}

/// The partition of all these keys; it must be the one the sender meant, if it
/// named one, and this node must hold a replica of it.
fn route<'a, 'm>(
    shared: &Shared,
    map: &'m PartitionMap,
    target: Option<&v1::Target>,
    keys: impl Iterator<Item = &'a Bytes>,
) -> Result<&'m Partition, Fault> {
    let target = target.cloned().unwrap_or_default();
    if !target.database.is_empty() && target.database != map.database.to_string() {
        return Err(Fault::new(
            Code::FailedPrecondition,
            format!("this node belongs to database {}, not to {}", map.database, target.database),
        )
        .not_executed());
    }
    let mut partition = None;
    if target.partition != 0 {
        let named = map.partition(target.partition).ok_or_else(|| {
            Fault::invalid(format!("the database has no partition {}", target.partition))
        })?;
        partition = Some(named);
    }
    for key in keys {
        let of_key = map.partition_of(key);
        match partition {
            Some(partition) if partition.id != of_key.id && target.partition != 0 => {
                return Err(wrong(of_key, map));
            }
            Some(partition) if partition.id != of_key.id => {
                return Err(Fault::invalid(format!(
                    "the keys of a batch must lie in one partition; these lie in {} and {}",
                    partition.id, of_key.id
                )));
            }
            _ => partition = Some(of_key),
        }
    }
    let partition = partition.ok_or_else(|| Fault::invalid("the request names no key"))?;
    if shared.partition(partition.id).is_none() {
        return Err(wrong(partition, map));
    }
    Ok(partition)
}

fn wrong(partition: &Partition, map: &PartitionMap) -> Fault {
    crate::engine::answers::wrong_partition(partition, map.epoch)
}

struct ReadPlan {
    partition: u64,
    asked: Asked,
    /// `None`: whatever is applied will do.
    kind: Option<ReadKind>,
}

fn plan_read(shared: &Shared, operation: Operation) -> Result<ReadPlan, Fault> {
    let map = shared.maps.required()?;
    match operation {
        Operation::Get(get) => {
            limits::check_key(&get.key)?;
            let partition = route(shared, &map, get.target.as_ref(), [&get.key].into_iter())?.id;
            let kind = read_kind(get.read.as_ref(), partition)?;
            Ok(ReadPlan { partition, asked: Asked::Get(get), kind })
        }
        Operation::Scan(scan) => {
            let partition = scanned(shared, &map, scan.target.as_ref())?;
            // Later pages see the snapshot of the first, whoever serves them.
            let kind = if scan.page_token.is_empty() {
                read_kind(scan.read.as_ref(), partition)?
            } else {
                let token = ScanToken::from_bytes(&scan.page_token)?;
                let index = snapshot_revision(&token, partition)?;
                Some(ReadKind::Applied { index })
            };
            Ok(ReadPlan { partition, asked: Asked::Scan(scan), kind })
        }
        _ => unreachable!("the caller sends writes elsewhere"),
    }
}

fn scanned(shared: &Shared, map: &PartitionMap, target: Option<&v1::Target>) -> Result<u64, Fault> {
    let named = target.is_some_and(|target| target.partition != 0);
    match &map.partitions[..] {
        [only] if !named => Ok(only.id),
        _ if !named => Err(Fault::invalid(
            "a node scans one partition: set target.partition, or ask a facade, which merges all",
        )),
        _ => Ok(route(shared, map, target, std::iter::empty())?.id),
    }
}

fn read_kind(read: Option<&v1::ReadOptions>, partition: u64) -> Result<Option<ReadKind>, Fault> {
    let Some(read) = read else { return Ok(Some(ReadKind::Linearizable)) };
    match read.consistency() {
        v1::Consistency::Unspecified | v1::Consistency::Linearizable => {
            Ok(Some(ReadKind::Linearizable))
        }
        v1::Consistency::Session => {
            let index = SessionToken::from_bytes(&read.session_token)?.revision(partition);
            Ok(Some(ReadKind::Applied { index }))
        }
        v1::Consistency::Bounded => {
            let max_lag = read.max_lag_milliseconds.saturating_mul(1_000);
            Ok(Some(ReadKind::Bounded { max_lag }))
        }
        v1::Consistency::Eventual => Ok(None),
    }
}

fn start_read(shared: &Shared, plan: ReadPlan, deadline: Time, sink: Sink, permit: Permit) {
    let ReadPlan { partition, asked, kind } = plan;
    match kind {
        Some(kind) => shared.submit(partition, asked, Some(sink), permit, |request| Event::Read {
            request,
            partition,
            kind,
            deadline,
        }),
        None => {
            let request = Request { partition, asked, sink: Some(sink), _permit: permit };
            drop(shared.reads.send(ReadTask::Now(request)));
        }
    }
}
