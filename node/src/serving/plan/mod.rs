//! From a client's operation to what its partition's host is asked: checked,
//! routed, encoded. Pure.

use super::answers::{Asked, not_held, wrong_partition};
use super::page::snapshot_revision;
use super::watch::Watching;
use crate::flow::Class;
use crate::host::ReadKind;
use crate::work::encode_command;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::limits;
use doug_proto::map::{Keyspace, KeyspaceId, Partition, PartitionMap};
use doug_proto::together;
use doug_proto::token::{ScanToken, SessionToken};
use doug_proto::transaction::{self, Touched, touched};
use doug_proto::v1::{self, at::At, stream_operation::Operation, transact_operation};
use doug_raft::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// A watch is served where the data was this fresh when it was asked for.
const STALLED: Duration = Duration::from_secs(5);

/// What a node knows of itself when it takes an operation up.
pub trait Site {
    /// Its map.
    ///
    /// # Errors
    /// `UNAVAILABLE` on a node that belongs to no database yet.
    fn map(&self) -> Result<Arc<PartitionMap>, Fault>;

    /// Whether it holds a replica of this partition.
    fn holds(&self, partition: u64) -> bool;

    /// The greatest time that its replica of a partition has closed.
    fn closed(&self, partition: u64) -> Stamp;

    /// Whether it has room for what a write brings.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` on a volume that is nearly full.
    fn admit(&self, partition: u64, command: &v1::WriteCommand) -> Result<(), Fault>;

    /// Whether the partition takes a new client session now.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where sessions fill their share of the memory.
    fn admit_session(&self, partition: u64) -> Result<(), Fault>;
}

/// An operation made ready.
#[derive(Debug)]
pub struct Plan {
    /// The partition it concerns.
    pub partition: u64,
    /// The keyspace of that.
    pub keyspace: KeyspaceId,
    /// What its answer needs of it.
    pub asked: Asked,
    /// What is to be done.
    pub work: Work,
}

/// What an operation asks of a host.
#[derive(Debug)]
pub enum Work {
    /// To propose this command, in a batch stamped later than what its client has seen.
    Write {
        /// Encoded.
        command: Bytes,
        /// The greatest stamp of its session token.
        seen: Stamp,
    },
    /// To say when a read may be served.
    Read(ReadKind),
    /// Nothing: whatever is applied will do.
    ReadNow,
}

impl Work {
    /// What it waits for.
    pub fn class(&self) -> Class {
        match self {
            Work::Write { .. } => Class::Write,
            Work::Read(
                ReadKind::Linearizable | ReadKind::Bounded { .. } | ReadKind::Closed { .. },
            ) => Class::Read,
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
        Operation::Get(_) | Operation::Scan(_) | Operation::Watch(_) => plan_read(site, operation),
        Operation::Transact(transact) if transaction::is_read_only(&transact) => {
            plan_reading(site, transact)
        }
        _ => plan_write(site, operation),
    }
}

fn plan_write(site: &impl Site, operation: Operation) -> Result<Plan, Fault> {
    let map = site.map()?;
    let seen = Stamp(SessionToken::of_database(session_token(&operation), map.database)?.stamp);
    let (asked, keyspace, target, command) = match operation {
        Operation::Put(put) => {
            limits::check_key(&put.key)?;
            limits::check_ttl(put.ttl_milliseconds)?;
            limits::check_value(&put.value)?;
            let conditions = one_condition(put.condition, &put.key)?;
            let operation = v1::PutOperation {
                key: put.key,
                value: put.value,
                ttl_milliseconds: put.ttl_milliseconds,
            };
            let operation = transact_operation::Operation::Put(operation);
            let command = write_of_one(put.session, conditions, operation);
            (Asked::Put, put.keyspace, put.target, command)
        }
        Operation::Delete(delete) => {
            limits::check_key(&delete.key)?;
            let conditions = one_condition(delete.condition, &delete.key)?;
            let operation = v1::DeleteOperation { key: delete.key };
            let operation = transact_operation::Operation::Delete(operation);
            let command = write_of_one(delete.session, conditions, operation);
            (Asked::Delete, delete.keyspace, delete.target, command)
        }
        Operation::Batch(batch) => {
            check_batch(&batch)?;
            let command = v1::WriteCommand {
                session: batch.session,
                conditions: batch.conditions,
                then: batch.operations.into_iter().map(transaction::of_batch).collect(),
                ..Default::default()
            };
            (Asked::Batch, batch.keyspace, batch.target, command)
        }
        Operation::Transact(transact) => {
            transaction::check(&transact)?;
            let command = v1::WriteCommand {
                session: transact.session,
                conditions: transact.conditions,
                then: transact.then,
                otherwise: transact.otherwise,
                answers: true,
            };
            (Asked::Transact, transact.keyspace, transact.target, command)
        }
        Operation::Register(register) => return plan_register(site, &map, register.target),
        Operation::Get(_) | Operation::Scan(_) | Operation::Watch(_) | Operation::Status(_) => {
            unreachable!("reads are planned elsewhere, and a status not at all")
        }
    };
    let touched = touched(&command.conditions, &command.then, &command.otherwise);
    let partition = route(site, &map, &keyspace, target.as_ref(), touched)?;
    let (partition, keyspace) = written_by_clients(partition)?;
    site.admit(partition, &command)?;
    let command = v1::command::Command::Write(command);
    let command = encode_command(&v1::Command { command: Some(command) });
    Ok(Plan { partition, keyspace, asked, work: Work::Write { command, seen } })
}

fn session_token(write: &Operation) -> &[u8] {
    match write {
        Operation::Put(put) => &put.session_token,
        Operation::Delete(delete) => &delete.session_token,
        Operation::Batch(batch) => &batch.session_token,
        Operation::Transact(transact) => &transact.session_token,
        _ => &[],
    }
}

fn plan_register(
    site: &impl Site,
    map: &PartitionMap,
    target: Option<v1::Target>,
) -> Result<Plan, Fault> {
    let target = target.filter(|target| target.partition != 0).ok_or_else(|| {
        Fault::invalid("a session is registered with one partition: set target.partition")
    })?;
    let partition = route(site, map, "", Some(&target), std::iter::empty())?;
    let (partition, keyspace) = written_by_clients(partition)?;
    site.admit_session(partition)?;
    let command = v1::command::Command::Register(v1::RegisterCommand {});
    let command = encode_command(&v1::Command { command: Some(command) });
    let work = Work::Write { command, seen: Stamp(0) };
    Ok(Plan { partition, keyspace, asked: Asked::Register, work })
}

/// The partition's id and keyspace, unless it is the catalog, which only the database itself
/// writes: what stands there is what every node goes by.
fn written_by_clients(partition: &Partition) -> Result<(u64, KeyspaceId), Fault> {
    if partition.keyspace != KeyspaceId::SYSTEM {
        return Ok((partition.id, partition.keyspace));
    }
    Err(Fault::new(
        Code::PermissionDenied,
        format!(
            "keyspace {:?} is the catalog, which only the database itself writes: clients can \
             read and scan it",
            Keyspace::SYSTEM
        ),
    )
    .not_executed())
}

fn write_of_one(
    session: Option<v1::Session>,
    conditions: Vec<v1::Condition>,
    operation: transact_operation::Operation,
) -> v1::WriteCommand {
    let then = vec![v1::TransactOperation { operation: Some(operation) }];
    v1::WriteCommand { session, conditions, then, ..Default::default() }
}

/// The condition of a write of one key is about that key.
fn one_condition(
    condition: Option<v1::Condition>,
    key: &Bytes,
) -> Result<Vec<v1::Condition>, Fault> {
    let Some(mut condition) = condition else { return Ok(Vec::new()) };
    if condition.key.is_empty() && condition.range.is_none() {
        condition.key = key.clone();
    }
    transaction::check_condition(&condition)?;
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
    batch.conditions.iter().try_for_each(transaction::check_condition)?;
    batch.operations.iter().try_for_each(|op| limits::check_operation(op.operation.as_ref()))
}

/// The partition of all these keys in the keyspace that the request names; it must be
/// the one the sender meant, if it named one, and this node must hold a replica of it.
fn route<'a, 'm>(
    site: &impl Site,
    map: &'m PartitionMap,
    keyspace: &str,
    target: Option<&v1::Target>,
    touched: impl Iterator<Item = Touched<'a>>,
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
    let keyspace = keyspace_of(map, keyspace, partition)?;
    let mut first = None;
    for touched in touched {
        let found = together::partition_of(map, keyspace, touched)?;
        match (partition, first) {
            (Some(partition), None) if partition.id != found.id => {
                return Err(wrong_partition(found, map.epoch));
            }
            (Some(partition), Some(first)) if partition.id != found.id => {
                return Err(together::apart(keyspace, (first, partition.id), (touched, found.id)));
            }
            _ => {}
        }
        partition = Some(found);
        first = first.or(Some(touched));
    }
    let partition = partition.ok_or_else(|| Fault::invalid("the request names no key"))?;
    if !site.holds(partition.id) {
        return Err(not_held(partition, map.epoch));
    }
    Ok(partition)
}

/// The keyspace that a request names, or that of the partition it is for.
fn keyspace_of<'m>(
    map: &'m PartitionMap,
    name: &str,
    partition: Option<&Partition>,
) -> Result<&'m Keyspace, Fault> {
    let Some(partition) = partition else { return map.keyspace_named(name) };
    let keyspace = map.keyspace_of(partition);
    if keyspace.deleted {
        let message = format!("keyspace {:?} was deleted", keyspace.name);
        return Err(Fault::new(Code::NotFound, message).not_executed());
    }
    if name.is_empty() || name == keyspace.name {
        return Ok(keyspace);
    }
    Err(Fault::invalid(format!(
        "partition {} is of keyspace {:?}, not of {name:?}: name the keyspace or the partition",
        partition.id, keyspace.name
    )))
}

fn plan_read(site: &impl Site, operation: Operation) -> Result<Plan, Fault> {
    let map = site.map()?;
    match operation {
        Operation::Get(get) => {
            limits::check_key(&get.key)?;
            let touched = [Touched::Key(&get.key)].into_iter();
            let found = route(site, &map, &get.keyspace, get.target.as_ref(), touched)?;
            let (partition, keyspace) = (found.id, found.keyspace);
            check_versions(get.versions)?;
            let work = match closed_by(site, partition, get.at.as_ref())? {
                Some(work) => work,
                None => read_work(get.read.as_ref(), map.database, partition)?,
            };
            Ok(Plan { partition, keyspace, asked: Asked::Get(get), work })
        }
        Operation::Scan(scan) => {
            let partition = one_partition(site, &map, scan.target.as_ref(), &scan.keyspace)?;
            let (id, keyspace) = (partition.id, partition.keyspace);
            // Later pages see the snapshot of the first, whoever serves them.
            let work = if scan.page_token.is_empty() {
                match closed_by(site, id, scan.at.as_ref())? {
                    Some(work) => work,
                    None => read_work(scan.read.as_ref(), map.database, id)?,
                }
            } else {
                let token = ScanToken::from_bytes(&scan.page_token, map.database, keyspace)?;
                let index = snapshot_revision(&token, id)?;
                Work::Read(ReadKind::Applied { index })
            };
            Ok(Plan { partition: id, keyspace, asked: Asked::Scan(Box::new(scan)), work })
        }
        Operation::Watch(watch) => {
            limits::check_watch(&watch)?;
            let partition = one_partition(site, &map, watch.target.as_ref(), &watch.keyspace)?;
            let (id, keyspace) = (partition.id, partition.keyspace);
            let work = match (&watch.after, closed_by(site, id, watch.after.as_ref())?) {
                (_, Some(work)) => work,
                // What was acknowledged before is not told.
                (None, None) => Work::Read(ReadKind::Linearizable),
                // A replica that is cut off would tell nothing for ever.
                (Some(_), None) => Work::Read(ReadKind::Bounded { max_lag: STALLED }),
            };
            let asked = Asked::Watch(Box::new(Watching::new(watch)));
            Ok(Plan { partition: id, keyspace, asked, work })
        }
        _ => unreachable!("the caller sends writes elsewhere"),
    }
}

/// A transaction that changes nothing is a linearizable read.
fn plan_reading(site: &impl Site, transact: v1::TransactRequest) -> Result<Plan, Fault> {
    transaction::check(&transact)?;
    let map = site.map()?;
    let touched = touched(&transact.conditions, &transact.then, &transact.otherwise);
    let found = route(site, &map, &transact.keyspace, transact.target.as_ref(), touched)?;
    let (partition, keyspace) = (found.id, found.keyspace);
    let asked = Asked::TransactReading(Box::new(transact));
    Ok(Plan { partition, keyspace, asked, work: Work::Read(ReadKind::Linearizable) })
}

/// The partition that a scan or a watch is for.
fn one_partition<'m>(
    site: &impl Site,
    map: &'m PartitionMap,
    target: Option<&v1::Target>,
    keyspace: &str,
) -> Result<&'m Partition, Fault> {
    if target.is_some_and(|target| target.partition != 0) {
        return route(site, map, keyspace, target, std::iter::empty());
    }
    let keyspace = map.keyspace_named(keyspace)?;
    let [only] = map.partitions_in(keyspace.id) else {
        return Err(Fault::invalid(
            "a node scans and watches one partition: set target.partition; a facade merges the \
             scans of all",
        ));
    };
    let target = v1::Target { partition: only.id, ..target.cloned().unwrap_or_default() };
    route(site, map, "", Some(&target), std::iter::empty())
}

fn check_versions(versions: u32) -> Result<(), Fault> {
    if versions > limits::KEY_VERSIONS {
        let most = limits::KEY_VERSIONS as usize;
        return Err(Fault::limit("versions of a key", most, versions as usize));
    }
    Ok(())
}

/// What a read at a time waits for: nothing where its replica here has closed it.
fn closed_by(site: &impl Site, partition: u64, at: Option<&v1::At>) -> Result<Option<Work>, Fault> {
    match at.map(|at| &at.at) {
        None | Some(Some(At::Revision(_))) => Ok(None),
        Some(Some(At::Stamp(stamp))) if site.closed(partition).0 >= *stamp => {
            Ok(Some(Work::ReadNow))
        }
        Some(Some(At::Stamp(stamp))) => {
            Ok(Some(Work::Read(ReadKind::Closed { stamp: Stamp(*stamp) })))
        }
        Some(None) => Err(Fault::invalid("`at` names no moment: set a revision or a stamp")),
    }
}

fn read_work(
    read: Option<&v1::ReadOptions>,
    database: DatabaseId,
    partition: u64,
) -> Result<Work, Fault> {
    let Some(read) = read else { return Ok(Work::Read(ReadKind::Linearizable)) };
    match read.consistency() {
        v1::Consistency::Unspecified | v1::Consistency::Linearizable => {
            Ok(Work::Read(ReadKind::Linearizable))
        }
        v1::Consistency::Session => {
            let token = SessionToken::of_database(&read.session_token, database)?;
            let index = token.revision(partition);
            Ok(Work::Read(ReadKind::Applied { index }))
        }
        v1::Consistency::Bounded => {
            let max_lag = Duration::from_millis(read.max_lag_milliseconds);
            Ok(Work::Read(ReadKind::Bounded { max_lag }))
        }
        v1::Consistency::Eventual => Ok(Work::ReadNow),
    }
}

#[cfg(test)]
mod tests;
