//! What a client sends, through the checks at the front door.

use doug_node::work::encode_command;
use doug_proto::ids::DatabaseId;
use doug_proto::limits;
use doug_proto::map::KeyspaceId;
use doug_proto::token::{ScanToken, SessionToken};
use doug_proto::transaction::{self, Touched};
use doug_proto::v1::{self, stream_operation::Operation};
use prost::Message;

/// A `StreamRequest`.
pub fn client_request(data: &[u8]) {
    let Ok(request) = v1::StreamRequest::decode(data) else { return };
    for operation in request.operations.into_iter().filter_map(|one| one.operation) {
        let bytes = operation.encoded_len();
        if doug_facade::check_operation(&operation, bytes).is_ok() {
            accepted(operation);
        }
    }
}

fn accepted(operation: Operation) {
    match operation {
        Operation::Get(get) => {
            assert_key(&get.key);
            read_token(get.read.as_ref());
        }
        Operation::Put(put) => {
            assert_key(&put.key);
            assert!(put.value.len() <= limits::VALUE_BYTES);
        }
        Operation::Delete(delete) => assert_key(&delete.key),
        Operation::Scan(scan) => {
            read_token(scan.read.as_ref());
            let (database, keyspace) = (DatabaseId::from_bits(0xdb), KeyspaceId::DEFAULT);
            let _ = ScanToken::from_bytes(&scan.page_token, database, keyspace);
        }
        Operation::Batch(batch) => {
            let write = v1::WriteCommand {
                session: batch.session,
                conditions: batch.conditions,
                then: batch.operations.into_iter().map(transaction::of_batch).collect(),
                ..Default::default()
            };
            logged(write);
        }
        Operation::Transact(transact) => {
            let touched =
                transaction::touched(&transact.conditions, &transact.then, &transact.otherwise);
            for one in touched {
                if let Touched::Key(key) = one {
                    assert_key(key);
                }
            }
            logged(v1::WriteCommand {
                session: transact.session,
                conditions: transact.conditions,
                then: transact.then,
                otherwise: transact.otherwise,
                answers: true,
            });
        }
        Operation::Watch(watch) => {
            assert!(watch.start.len() <= limits::KEY_BYTES && watch.end.len() <= limits::KEY_BYTES);
        }
        Operation::Register(_) | Operation::Status(_) => {}
    }
}

fn logged(write: v1::WriteCommand) {
    let command = v1::Command { command: Some(v1::command::Command::Write(write)) };
    let read = v1::Command::decode(encode_command(&command)).expect("just encoded");
    assert_eq!(read, command, "logged and read it is another");
}

fn assert_key(key: &[u8]) {
    assert!((1..=limits::KEY_BYTES).contains(&key.len()), "a key of {} bytes", key.len());
}

fn read_token(read: Option<&v1::ReadOptions>) {
    if let Some(read) = read {
        let _ = SessionToken::of_database(&read.session_token, DatabaseId::from_bits(0xdb));
    }
}
