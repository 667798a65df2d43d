//! What an operation is, and the checks that need no server.

use crate::settings::Settings;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::token::SessionToken;
use doug_proto::transaction::{self, Touched, is_read_only, touched_by_condition};
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
            Operation::Transact(transact) if is_read_only(transact) => Kind::ReadLeader,
            // Where it begins only a leader can say.
            Operation::Watch(watch) if watch.after.is_none() => Kind::ReadLeader,
            Operation::Watch(_) => Kind::ReadAny,
            Operation::Put(_)
            | Operation::Delete(_)
            | Operation::Batch(_)
            | Operation::Transact(_) => Kind::Write,
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
            limits::check_ttl(put.ttl_milliseconds)?;
            limits::check_value(&put.value)?;
            check_condition(&mut put.condition, &put.key)
        }
        Operation::Delete(delete) => {
            limits::check_key(&delete.key)?;
            check_condition(&mut delete.condition, &delete.key)
        }
        Operation::Batch(batch) => check_batch(batch),
        Operation::Transact(transact) => transaction::check(transact),
        Operation::Scan(scan) => {
            let (limit, most) = (scan.limit as usize, limits::SCAN_ENTRIES as usize);
            if limit > most {
                return Err(Fault::limit("entries in a page", most, limit));
            }
            limits::check_request_bytes(scan.encoded_len())
        }
        Operation::Watch(watch) => limits::check_watch(watch),
        Operation::Register(register) => match &register.target {
            Some(target) if target.partition != 0 => Ok(()),
            _ => Err(Fault::invalid("a session is registered with one partition: name it")),
        },
        Operation::Status(_) => Ok(()),
    }
}

fn check_condition(condition: &mut Option<v1::Condition>, key: &Bytes) -> Result<(), Fault> {
    let Some(condition) = condition else { return Ok(()) };
    if condition.key.is_empty() && condition.range.is_none() {
        condition.key = key.clone();
    }
    transaction::check_condition(condition)
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
    batch.conditions.iter().try_for_each(transaction::check_condition)?;
    limits::check_request_bytes(batch.encoded_len())
}

/// What the operation touches, the first of which routes it; nothing for what a target must
/// route.
pub(crate) fn touched(operation: &Operation) -> impl Iterator<Item = Touched<'_>> {
    let (key, condition) = match operation {
        Operation::Get(get) => (Some(&get.key), None),
        Operation::Put(put) => (Some(&put.key), put.condition.as_ref()),
        Operation::Delete(delete) => (Some(&delete.key), delete.condition.as_ref()),
        _ => (None, None),
    };
    let batch = match operation {
        Operation::Batch(batch) => Some(batch),
        _ => None,
    };
    let transact = match operation {
        Operation::Transact(transact) => Some(transact),
        _ => None,
    };
    let of_transact = transact.into_iter().flat_map(|transact| {
        transaction::touched(&transact.conditions, &transact.then, &transact.otherwise)
    });
    let one = key.map(Touched::Key).into_iter().chain(condition.map(touched_by_condition));
    one.chain(batch.into_iter().flat_map(touched_by_batch)).chain(of_transact)
}

fn touched_by_batch(batch: &v1::BatchRequest) -> impl Iterator<Item = Touched<'_>> {
    let written = batch.operations.iter().filter_map(|operation| {
        Some(Touched::Key(match operation.operation.as_ref()? {
            write_operation::Operation::Put(put) => &put.key,
            write_operation::Operation::Delete(delete) => &delete.key,
        }))
    });
    written.chain(batch.conditions.iter().map(touched_by_condition))
}

/// The name of the keyspace that the operation gives; empty if none.
pub(crate) fn keyspace(operation: &Operation) -> &str {
    match operation {
        Operation::Get(get) => &get.keyspace,
        Operation::Put(put) => &put.keyspace,
        Operation::Delete(delete) => &delete.keyspace,
        Operation::Scan(scan) => &scan.keyspace,
        Operation::Watch(watch) => &watch.keyspace,
        Operation::Batch(batch) => &batch.keyspace,
        Operation::Transact(transact) => &transact.keyspace,
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
        Operation::Watch(watch) => Some(&mut watch.keyspace),
        Operation::Batch(batch) => Some(&mut batch.keyspace),
        Operation::Transact(transact) => Some(&mut transact.keyspace),
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
        Operation::Watch(watch) => Some(&mut watch.target),
        Operation::Batch(batch) => Some(&mut batch.target),
        Operation::Transact(transact) => Some(&mut transact.target),
        Operation::Register(register) => Some(&mut register.target),
        Operation::Status(_) => None,
    }
}

/// The partition id that the caller targets; 0 if none.
pub(crate) fn targeted(operation: &Operation) -> u64 {
    let target = match operation {
        Operation::Scan(scan) => scan.target.as_ref(),
        Operation::Watch(watch) => watch.target.as_ref(),
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
        Operation::Transact(transact) => Some(&mut transact.session),
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
        Operation::Transact(transact) => &mut transact.session_token,
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
        Operation::Transact(transact) => transact.session.as_ref(),
        _ => None,
    };
    session.is_some_and(|session| session.id != 0)
}

/// Whether this client gives the write a session.
pub(crate) fn needs_session(operation: &Operation, settings: &Settings) -> bool {
    settings.sessions && Kind::of(operation) == Kind::Write && !brings_session(operation)
}
