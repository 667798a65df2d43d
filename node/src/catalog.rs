//! The catalog: the keyspace `system`, which is partition 1 of every database. Clients
//! read it; what stands in it is written by its leader, through the log like any write.

use crate::apply::ReplicaData;
use crate::work::encode_command;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::map::Keyspace;
use doug_proto::v1::{self, condition::Test, transact_operation::Operation};
use doug_storage::tree::ReadError;

/// The catalog's partition.
pub const PARTITION: u64 = Keyspace::SYSTEM_PARTITION;

/// The key of the creation document: the database's first map, as every founding node
/// has stored it (`dougdb.v1.PartitionMap`).
pub const CREATION: &[u8] = b"creation";

/// Why the catalog may not be given other members yet: until its replicas hold the creation
/// document, only founding nodes have it, in stores of their own. A catalog that moved before would
/// be led by nodes that cannot write it, for ever. So the document comes before every change of
/// members in the log, and whoever is taken in gets it with the rest.
///
/// # Errors
/// The replica cannot read.
pub fn must_stay(catalog: &ReplicaData) -> Result<Option<Fault>, ReadError> {
    let lacks = catalog.reader().view().get(CREATION, None)?.is_none();
    Ok(lacks.then(|| {
        Fault::unavailable(
            "the catalog does not hold the database's creation document yet, which only its \
             founding nodes can write: ask again in a second",
        )
    }))
}

/// The command by which the catalog's leader writes the creation document, unless
/// `catalog`, its replica, has applied one already.
///
/// It may be proposed any number of times, by one leader after the other: it is
/// conditional, and all founding nodes have stored the same document.
///
/// # Errors
/// The replica cannot read.
pub fn creation_write(catalog: &ReplicaData, creation: &Bytes) -> Result<Option<Bytes>, ReadError> {
    if catalog.reader().view().get(CREATION, None)?.is_some() {
        return Ok(None);
    }
    let key = Bytes::from_static(CREATION);
    let test = Some(Test::Exists(false));
    let absent = v1::Condition { key: key.clone(), test, ..Default::default() };
    let put =
        Operation::Put(v1::PutOperation { key, value: creation.clone(), ..Default::default() });
    let command = v1::command::Command::Write(v1::WriteCommand {
        conditions: vec![absent],
        then: vec![v1::TransactOperation { operation: Some(put) }],
        ..Default::default()
    });
    Ok(Some(encode_command(&v1::Command { command: Some(command) })))
}
