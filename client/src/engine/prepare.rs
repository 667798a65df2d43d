//! What an operation is, and the checks that need no server.

use crate::settings::Settings;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::token::SessionToken;
use doug_proto::v1::{self, Consistency, stream_operation::Operation, write_operation};
use prost::Message;

/// What an operation may do, which decides how it may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing; the leader must answer.
    ReadLeader,
    /// Changes nothing; any replica may answer.
    ReadAny,
    /// Changes data.
    Write,
    /// Makes a session: once too often is harmless.
    Register,
}

impl Kind {
    /// What the operation is.
    pub(crate) fn of(operation: &Operation) -> Kind {
        match operation {
            Operation::Get(get) => read_kind(get.read.as_ref()),
            Operation::Scan(scan) => read_kind(scan.read.as_ref()),
            Operation::Put(_) | Operation::Delete(_) | Operation::Batch(_) => Kind::Write,
            Operation::Register(_) => Kind::Register,
            Operation::Status(_) => Kind::ReadAny,
        }
    }
}

fn read_kind(read: Option<&v1::ReadOptions>) -> Kind {
    match read.map_or(Consistency::Unspecified, v1::ReadOptions::consistency) {
        Consistency::Unspecified | Consistency::Linearizable => Kind::ReadLeader,
        Consistency::Session | Consistency::Bounded | Consistency::Eventual => Kind::ReadAny,
    }
}

/// Checks the limits, and fills in the key of a condition that left it empty.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what is wrong and the limit.
pub(crate) fn check(operation: &mut Operation) -> Result<(), Fault> {
    match operation {
        Operation::Get(get) => limits::check_key(&get.key),
        Operation::Put(put) => {
            limits::check_key(&put.key)?;
            limits::check_value(&put.value)?;
            check_condition(&mut put.condition, &put.key)
        }
        Operation::Delete(delete) => {
            limits::check_key(&delete.key)?;
            check_condition(&mut delete.condition, &delete.key)
        }
        Operation::Batch(batch) => check_batch(batch),
        Operation::Scan(scan) => {
            let (limit, most) = (scan.limit as usize, limits::SCAN_ENTRIES as usize);
            if limit > most {
                return Err(Fault::limit("entries in a page", most, limit));
            }
            limits::check_request_bytes(scan.encoded_len())
        }
        Operation::Register(register) => match &register.target {
            Some(target) if target.partition != 0 => Ok(()),
            _ => Err(Fault::invalid("a session is registered with one partition: name it")),
        },
        Operation::Status(_) => Ok(()),
    }
}

fn check_condition(condition: &mut Option<v1::Condition>, key: &Bytes) -> Result<(), Fault> {
    let Some(condition) = condition else { return Ok(()) };
    if condition.key.is_empty() {
        condition.key = key.clone();
    }
    limits::check_condition(condition)
}

fn check_batch(batch: &v1::BatchRequest) -> Result<(), Fault> {
    let count = batch.operations.len() + batch.conditions.len();
    if count == 0 {
        return Err(Fault::invalid("the batch is empty: give it at least one operation"));
    }
    if count > limits::BATCH_OPERATIONS {
        let most = limits::BATCH_OPERATIONS;
        return Err(Fault::limit("operations and conditions of a batch", most, count));
    }
    for operation in &batch.operations {
        limits::check_operation(operation.operation.as_ref())?;
    }
    batch.conditions.iter().try_for_each(limits::check_condition)?;
    limits::check_request_bytes(batch.encoded_len())
}

/// The key that routes the operation; none for what a target must route.
pub(crate) fn routing_key(operation: &Operation) -> Option<&Bytes> {
    match operation {
        Operation::Get(get) => Some(&get.key),
        Operation::Put(put) => Some(&put.key),
        Operation::Delete(delete) => Some(&delete.key),
        Operation::Batch(batch) => batch_keys(batch).next(),
        Operation::Scan(_) | Operation::Register(_) | Operation::Status(_) => None,
    }
}

/// All keys besides the routing key that must lie in its partition.
pub(crate) fn further_keys(operation: &Operation) -> Vec<&Bytes> {
    match operation {
        Operation::Put(put) => put.condition.iter().map(|c| &c.key).collect(),
        Operation::Delete(delete) => delete.condition.iter().map(|c| &c.key).collect(),
        Operation::Batch(batch) => batch_keys(batch).skip(1).collect(),
        _ => Vec::new(),
    }
}

fn batch_keys(batch: &v1::BatchRequest) -> impl Iterator<Item = &Bytes> {
    let written = batch.operations.iter().filter_map(|operation| {
        Some(match operation.operation.as_ref()? {
            write_operation::Operation::Put(put) => &put.key,
            write_operation::Operation::Delete(delete) => &delete.key,
        })
    });
    written.chain(batch.conditions.iter().map(|condition| &condition.key))
}

/// The name of the keyspace that the operation gives; empty if none.
pub(crate) fn keyspace(operation: &Operation) -> &str {
    match operation {
        Operation::Get(get) => &get.keyspace,
        Operation::Put(put) => &put.keyspace,
        Operation::Delete(delete) => &delete.keyspace,
        Operation::Scan(scan) => &scan.keyspace,
        Operation::Batch(batch) => &batch.keyspace,
        Operation::Register(_) | Operation::Status(_) => "",
    }
}

/// Where the operation keeps the name of its keyspace.
fn keyspace_mut(operation: &mut Operation) -> Option<&mut String> {
    match operation {
        Operation::Get(get) => Some(&mut get.keyspace),
        Operation::Put(put) => Some(&mut put.keyspace),
        Operation::Delete(delete) => Some(&mut delete.keyspace),
        Operation::Scan(scan) => Some(&mut scan.keyspace),
        Operation::Batch(batch) => Some(&mut batch.keyspace),
        Operation::Register(_) | Operation::Status(_) => None,
    }
}

/// Names the keyspace where neither a name nor a target says it yet.
pub(crate) fn place_in(operation: &mut Operation, keyspace: &str) {
    let said = target(operation).and_then(|target| target.as_ref());
    if said.is_some_and(|target| target.partition != 0) {
        return;
    }
    if let Some(name) = keyspace_mut(operation).filter(|name| name.is_empty()) {
        name.push_str(keyspace);
    }
}

/// Where the operation keeps its target.
pub(crate) fn target(operation: &mut Operation) -> Option<&mut Option<v1::Target>> {
    match operation {
        Operation::Get(get) => Some(&mut get.target),
        Operation::Put(put) => Some(&mut put.target),
        Operation::Delete(delete) => Some(&mut delete.target),
        Operation::Scan(scan) => Some(&mut scan.target),
        Operation::Batch(batch) => Some(&mut batch.target),
        Operation::Register(register) => Some(&mut register.target),
        Operation::Status(_) => None,
    }
}

/// The partition id that the caller targets; 0 if none.
pub(crate) fn targeted(operation: &Operation) -> u64 {
    let target = match operation {
        Operation::Scan(scan) => scan.target.as_ref(),
        Operation::Register(register) => register.target.as_ref(),
        _ => None,
    };
    target.map_or(0, |target| target.partition)
}

/// Where a write keeps its session.
pub(crate) fn session(operation: &mut Operation) -> Option<&mut Option<v1::Session>> {
    match operation {
        Operation::Put(put) => Some(&mut put.session),
        Operation::Delete(delete) => Some(&mut delete.session),
        Operation::Batch(batch) => Some(&mut batch.session),
        _ => None,
    }
}

/// Gives a write that brings no session token one with the stamp of `seen`, if anything was seen
/// yet.
pub(crate) fn follow(operation: &mut Operation, seen: &SessionToken) {
    let token = match operation {
        Operation::Put(put) => &mut put.session_token,
        Operation::Delete(delete) => &mut delete.session_token,
        Operation::Batch(batch) => &mut batch.session_token,
        _ => return,
    };
    if seen.stamp > 0 && token.is_empty() {
        *token = seen.stamp_alone().to_bytes();
    }
}

/// Whether the write brings a session of its own.
pub(crate) fn brings_session(operation: &Operation) -> bool {
    let session = match operation {
        Operation::Put(put) => put.session.as_ref(),
        Operation::Delete(delete) => delete.session.as_ref(),
        Operation::Batch(batch) => batch.session.as_ref(),
        _ => None,
    };
    session.is_some_and(|session| session.id != 0)
}

/// Whether this client gives the write a session.
pub(crate) fn needs_session(operation: &Operation, settings: &Settings) -> bool {
    settings.sessions && Kind::of(operation) == Kind::Write && !brings_session(operation)
}
