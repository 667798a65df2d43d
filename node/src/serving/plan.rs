//! From a client's operation to what its partition's host is asked: checked,
//! routed, encoded. Pure.

use super::answers::{Asked, not_held, wrong_partition};
use super::page::snapshot_revision;
use crate::flow::Class;
use crate::host::{ReadKind, encode_command};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::token::{ScanToken, SessionToken};
use doug_proto::v1::{self, stream_operation::Operation, write_operation};
use std::sync::Arc;
use tonic::Code;

/// What a node knows of itself when it takes an operation up.
pub trait Site {
    /// Its map.
    ///
    /// # Errors
    /// `UNAVAILABLE` on a node that belongs to no database yet.
    fn map(&self) -> Result<Arc<PartitionMap>, Fault>;

    /// Whether it holds a replica of this partition.
    fn holds(&self, partition: u64) -> bool;

    /// Whether it has room for what a write brings.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` on a volume that is nearly full.
    fn admit(&self, partition: u64, command: &v1::WriteCommand) -> Result<(), Fault>;
}

/// An operation made ready.
#[derive(Debug)]
pub struct Plan {
    /// The partition it concerns.
    pub partition: u64,
    /// What its answer needs of it.
    pub asked: Asked,
    /// What is to be done.
    pub work: Work,
}

/// What an operation asks of a host.
#[derive(Debug)]
pub enum Work {
    /// To propose this command.
    Write(Bytes),
    /// To say when a read may be served.
    Read(ReadKind),
    /// Nothing: whatever is applied will do.
    ReadNow,
}

impl Work {
    /// What it waits for.
    pub fn class(&self) -> Class {
        match self {
            Work::Write(_) => Class::Write,
            Work::Read(ReadKind::Linearizable | ReadKind::Bounded { .. }) => Class::Read,
            Work::Read(ReadKind::Applied { .. }) | Work::ReadNow => Class::StaleRead,
        }
    }
}

/// Makes an operation ready.
///
/// # Errors
/// What is wrong with it, or where it belongs instead.
///
/// # Panics
/// For `Status`, which concerns no partition.
pub fn plan(site: &impl Site, operation: Operation) -> Result<Plan, Fault> {
    match operation {
        Operation::Get(_) | Operation::Scan(_) => plan_read(site, operation),
        _ => plan_write(site, operation),
    }
}

fn plan_write(site: &impl Site, operation: Operation) -> Result<Plan, Fault> {
    let map = site.map()?;
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
        Operation::Register(register) => return plan_register(site, &map, register.target),
        Operation::Get(_) | Operation::Scan(_) | Operation::Status(_) => {
            unreachable!("reads are planned elsewhere, and a status not at all")
        }
    };
    let partition = route(site, &map, target.as_ref(), keys(&command))?.id;
    site.admit(partition, &command)?;
    let command = v1::command::Command::Write(command);
    let command = encode_command(&v1::Command { command: Some(command) });
    Ok(Plan { partition, asked, work: Work::Write(command) })
}

fn plan_register(
    site: &impl Site,
    map: &PartitionMap,
    target: Option<v1::Target>,
) -> Result<Plan, Fault> {
    let target = target.filter(|target| target.partition != 0).ok_or_else(|| {
        Fault::invalid("a session is registered with one partition: set target.partition")
    })?;
    let partition = route(site, map, Some(&target), std::iter::empty())?.id;
    let command = v1::command::Command::Register(v1::RegisterCommand {});
    let command = encode_command(&v1::Command { command: Some(command) });
    Ok(Plan { partition, asked: Asked::Register, work: Work::Write(command) })
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
    site: &impl Site,
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
                return Err(wrong_partition(of_key, map.epoch));
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
    if !site.holds(partition.id) {
        return Err(not_held(partition, map.epoch));
    }
    Ok(partition)
}

fn plan_read(site: &impl Site, operation: Operation) -> Result<Plan, Fault> {
    let map = site.map()?;
    match operation {
        Operation::Get(get) => {
            limits::check_key(&get.key)?;
            let partition = route(site, &map, get.target.as_ref(), [&get.key].into_iter())?.id;
            let work = read_work(get.read.as_ref(), partition)?;
            Ok(Plan { partition, asked: Asked::Get(get), work })
        }
        Operation::Scan(scan) => {
            let partition = scanned(site, &map, scan.target.as_ref())?;
            // Later pages see the snapshot of the first, whoever serves them.
            let work = if scan.page_token.is_empty() {
                read_work(scan.read.as_ref(), partition)?
            } else {
                let token = ScanToken::from_bytes(&scan.page_token)?;
                let index = snapshot_revision(&token, partition)?;
                Work::Read(ReadKind::Applied { index })
            };
            Ok(Plan { partition, asked: Asked::Scan(scan), work })
        }
        _ => unreachable!("the caller sends writes elsewhere"),
    }
}

fn scanned(
    site: &impl Site,
    map: &PartitionMap,
    target: Option<&v1::Target>,
) -> Result<u64, Fault> {
    let named = target.is_some_and(|target| target.partition != 0);
    match &map.partitions[..] {
        [only] if !named => Ok(only.id),
        _ if !named => Err(Fault::invalid(
            "a node scans one partition: set target.partition, or ask a facade, which merges all",
        )),
        _ => Ok(route(site, map, target, std::iter::empty())?.id),
    }
}

fn read_work(read: Option<&v1::ReadOptions>, partition: u64) -> Result<Work, Fault> {
    let Some(read) = read else { return Ok(Work::Read(ReadKind::Linearizable)) };
    match read.consistency() {
        v1::Consistency::Unspecified | v1::Consistency::Linearizable => {
            Ok(Work::Read(ReadKind::Linearizable))
        }
        v1::Consistency::Session => {
            let index = SessionToken::from_bytes(&read.session_token)?.revision(partition);
            Ok(Work::Read(ReadKind::Applied { index }))
        }
        v1::Consistency::Bounded => {
            let max_lag = read.max_lag_milliseconds.saturating_mul(1_000);
            Ok(Work::Read(ReadKind::Bounded { max_lag }))
        }
        v1::Consistency::Eventual => Ok(Work::ReadNow),
    }
}
