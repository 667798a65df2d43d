//! Messages, documents and commands as programs write them.

use super::{Seed, seed};
use bytes::Bytes;
use doug_client::create::{NodeIdentity, Spec, plan};
use doug_node::apply::Machine;
use doug_node::host::wire::{self, Route};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{KeyspaceId, PartitionMap};
use doug_proto::token::{Place, ScanToken, SessionToken};
use doug_proto::transaction;
use doug_proto::v1::transact_operation::Operation as Step;
use doug_proto::v1::{
    self, Relation, condition::Test, stream_operation::Operation, write_operation,
};
use doug_raft::{
    Batch, BatchKind, BatchTime, Clock, Configuration, LivenessEpoch, Membership,
    Message as RaftMessage, PartitionId, ReplicaId, Stamp, Verdict,
};
use prost::Message;

const SPECIFICATION: &str = "\
partitioning:
  hash: {partitions: 4, prefixDelimiter: /}
clusters:
- name: a
  nodes:
  - {address: a0}
  - {address: a1, name: second, ports: {doug: 7500, admin: 7502}}
  - {address: 10.0.0.3}
";
const RANGE: &str = "\
partitioning:
  range: {splitKeys: [{text: g}, {base64: /w==}]}
clusters:
- {name: solo, nodes: [{address: localhost}]}
";

pub fn seeds() -> Vec<Seed> {
    let map = map(SPECIFICATION);
    let place = Place { partition: 2, generation: 2, revision: 300, keyspace: 1 };
    let token = SessionToken::of(map.database, place, 7 << 16);
    let key = Bytes::from_static(b"key");
    let page = ScanToken::new(map.database, KeyspaceId::DEFAULT).after(key, vec![place], vec![3]);
    vec![
        seed("creation_spec", "hash", SPECIFICATION),
        seed("creation_spec", "range", RANGE),
        seed("map_wire", "hash", map.to_wire().encode_to_vec()),
        seed("map_wire", "range", self::map(RANGE).to_wire().encode_to_vec()),
        seed("map_document", "hash", map.to_json()),
        seed("map_document", "range", self::map(RANGE).to_json()),
        seed("tokens", "session", token.to_bytes()),
        seed("tokens", "page", page.to_bytes()),
        seed("state_block", "new-partition", machine(&map).encode()),
        seed("state_block", "session", session_state()),
        seed("batch", "noop", batch(BatchKind::Noop).encoded),
        seed("batch", "commands", batch(BatchKind::Commands).encoded),
        seed("batch", "configuration", batch(BatchKind::Configuration).encoded),
        seed("batch", "recovery", batch(BatchKind::Recovery).encoded),
        seed("membership", "joint-with-learner", joint().encode()),
        seed("commands", "session-and-conditions", commands()),
        seed("commands", "transactions", transactions()),
        seed("peer_turn", "every-kind-of-message", peer_turn()),
        seed("client_request", "every-kind-of-operation", client_request()),
        seed("client_request", "every-step-of-a-transaction", transact_request()),
    ]
}

fn map(specification: &str) -> PartitionMap {
    let spec: Spec = serde_yaml_ng::from_str(specification).expect("a specification");
    let mut ids = 1..;
    let mut identity =
        || NodeIdentity { node: NodeId::from_bits(ids.next().expect("a next")), database: None };
    let clusters = spec.clusters.iter();
    let identities: Vec<Vec<_>> =
        clusters.map(|cluster| cluster.nodes.iter().map(|_| identity()).collect()).collect();
    plan(&spec, &identities, DatabaseId::from_bits(0xdb)).expect("a plan")
}

fn machine(map: &PartitionMap) -> Machine {
    let routing = map.keyspaces[1].routing.clone();
    Machine::new(map.database, routing, map.partitions[1].clone())
}

fn session_state() -> Vec<u8> {
    let outcome = v1::Outcome { revision: 9, conditions_met: true, ..Default::default() };
    let state = v1::SessionState {
        id: 5,
        last_used: 9,
        lowest_unanswered: 1,
        outcomes: vec![v1::SessionOutcome { sequence: 1, outcome: Some(outcome) }],
    };
    state.encode_to_vec()
}

fn batch(kind: BatchKind) -> Batch {
    let commands = match kind {
        BatchKind::Noop => vec![],
        BatchKind::Commands => vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
        BatchKind::Configuration | BatchKind::Recovery => vec![Bytes::from_static(b"members")],
    };
    let time = BatchTime { clock: Clock(5), stamp: Stamp((5 << 16) + 2) };
    Batch::encode(PartitionId(3), kind, 7, 41, time, &commands)
}

fn joint() -> Membership {
    let configuration = Configuration {
        voters: [1, 2, 4].map(ReplicaId).into(),
        outgoing: [1, 2, 3].map(ReplicaId).into(),
        learners: [5].map(ReplicaId).into(),
    };
    Membership { configuration, context: Bytes::from_static(b"descriptor") }
}

fn put(key: &'static [u8]) -> v1::WriteOperation {
    let put = v1::PutOperation {
        key: key.into(),
        value: Bytes::from_static(b"value"),
        ..Default::default()
    };
    v1::WriteOperation { operation: Some(write_operation::Operation::Put(put)) }
}

fn delete(key: &'static [u8]) -> v1::WriteOperation {
    let delete = v1::DeleteOperation { key: key.into() };
    v1::WriteOperation { operation: Some(write_operation::Operation::Delete(delete)) }
}

fn condition(key: &'static [u8], test: Test) -> v1::Condition {
    v1::Condition { key: key.into(), test: Some(test), ..Default::default() }
}

fn session(sequence: u64) -> Option<v1::Session> {
    Some(v1::Session { id: 1, sequence, lowest_unanswered: 1 })
}

fn commands() -> Vec<u8> {
    let write = |session, conditions, operations: Vec<v1::WriteOperation>| {
        let then = operations.into_iter().map(transaction::of_batch).collect();
        let write = v1::WriteCommand { session, conditions, then, ..Default::default() };
        v1::command::Command::Write(write)
    };
    let absent = condition(b"Key", Test::Exists(false));
    let commands = [
        v1::command::Command::Register(v1::RegisterCommand {}),
        write(session(1), vec![absent], vec![put(b"Key")]),
        write(session(1), vec![], vec![put(b"Key")]),
        write(session(u64::MAX), vec![], vec![put(b"Key")]),
        write(None, vec![condition(b"Key", Test::Revision(2))], vec![delete(b"Key")]),
        write(None, vec![condition(b"B", Test::Value(Bytes::new()))], vec![put(b"z")]),
    ];
    with_lengths(&commands)
}

/// As the target reads them: the length of each in front of it.
fn with_lengths(commands: &[v1::command::Command]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        let command = v1::Command { command: Some(command.clone()) }.encode_to_vec();
        bytes.extend_from_slice(&(command.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&command);
    }
    bytes
}

/// Of one session: the second increments beyond 64 bits, the last is sent again.
fn transactions() -> Vec<u8> {
    let transact = |sequence, then, otherwise| {
        v1::command::Command::Write(v1::WriteCommand {
            session: session(sequence),
            conditions: conditions(),
            then,
            otherwise,
            answers: true,
        })
    };
    with_lengths(&[
        v1::command::Command::Register(v1::RegisterCommand {}),
        transact(1, steps(), steps()),
        transact(2, vec![increment(i64::MAX)], vec![increment(i64::MAX), increment(1)]),
        transact(3, vec![increment(-1)], steps()),
        transact(3, vec![increment(-1)], steps()),
    ])
}

fn transact_request() -> Vec<u8> {
    let transact = Operation::Transact(v1::TransactRequest {
        conditions: conditions(),
        then: steps(),
        otherwise: vec![increment(1)],
        session: session(1),
        ..Default::default()
    });
    let operation = v1::StreamOperation { id: 1, operation: Some(transact), ..Default::default() };
    v1::StreamRequest { operations: vec![operation] }.encode_to_vec()
}

fn conditions() -> Vec<v1::Condition> {
    let related =
        |relation: Relation, condition| v1::Condition { relation: relation.into(), ..condition };
    let every = v1::Condition { range: upper_case(), ..condition(b"", Test::Revision(1 << 40)) };
    vec![
        condition(b"Key", Test::Exists(false)),
        related(Relation::NotEqual, condition(b"Key", Test::Value(Bytes::from_static(b"one")))),
        related(Relation::Less, every),
    ]
}

fn upper_case() -> Option<v1::KeyRange> {
    Some(v1::KeyRange { start: Bytes::from_static(b"A"), end: Bytes::from_static(b"Z") })
}

/// One of each kind.
fn steps() -> Vec<v1::TransactOperation> {
    let key = || Bytes::from_static(b"Key");
    let (scan, range) = (v1::ScanOperation::default(), upper_case());
    let mut steps = vec![increment(7)];
    let others = [
        Step::Put(v1::PutOperation {
            key: key(),
            value: Bytes::from_static(b"value"),
            ..Default::default()
        }),
        Step::Get(v1::GetOperation { key: key() }),
        Step::Scan(v1::ScanOperation { range: range.clone(), limit: 1, reverse: true, ..scan }),
        Step::Count(v1::CountOperation { range: range.clone() }),
        Step::Delete(v1::DeleteOperation { key: key() }),
        Step::DeleteRange(v1::DeleteRangeOperation { range }),
    ];
    steps.extend(others.map(|step| v1::TransactOperation { operation: Some(step) }));
    steps
}

fn increment(by: i64) -> v1::TransactOperation {
    let step = Step::Increment(v1::IncrementOperation { key: Bytes::from_static(b"Number"), by });
    v1::TransactOperation { operation: Some(step) }
}

fn peer_turn() -> Vec<u8> {
    let rejected = Verdict::Rejected { prev_index: 9, conflict_term: 2, first_index: 5 };
    let batches = vec![batch(BatchKind::Commands)];
    let messages = [
        RaftMessage::PreVote { term: 8, last_index: 42, last_term: 7 },
        RaftMessage::PreVoteResponse { term: 7, asked: 8, granted: true, ambiguous: true },
        RaftMessage::Vote { term: 8, last_index: 42, last_term: 7, transfer: true },
        RaftMessage::VoteResponse { term: 8, granted: true, ambiguous: true },
        RaftMessage::Append { term: 7, prev_index: 40, prev_term: 6, commit: 39, batches },
        RaftMessage::AppendResponse { term: 7, verdict: Verdict::Accepted { matched: 42 } },
        RaftMessage::AppendResponse { term: 7, verdict: rejected },
        RaftMessage::Heartbeat { term: 7, commit: 40, round: 3 },
        RaftMessage::HeartbeatResponse { term: 7, round: 3, verified: 42, matched: 41 },
        RaftMessage::TimeoutNow { term: 7 },
        RaftMessage::ReadIndexRequest { term: 7, request: 11 },
        RaftMessage::ReadIndexResponse { term: 7, request: 11, index: Some(4) },
        RaftMessage::LogEndRequest { term: 7, request: 12, last_index: 40 },
        RaftMessage::LogEndResponse { term: 7, request: 12, last_index: 42 },
        RaftMessage::Quiesce {
            term: 7,
            commit: 42,
            round: 4,
            liveness: LivenessEpoch { incarnation: 99, epoch: 2 },
        },
        RaftMessage::QuiesceResponse { term: 7, round: 4, agreed: true },
    ];
    let mut turn = v1::PeerTurn::default();
    for message in messages {
        wire::pack(
            &mut turn,
            Route { partition: 3, from: ReplicaId(1), to: ReplicaId(2) },
            message,
        );
    }
    turn.node_heartbeats.push(v1::NodeHeartbeat { incarnation: 99, epoch: 2, host: 1, hosts: 2 });
    turn.encode_to_vec()
}

fn client_request() -> Vec<u8> {
    let key = || Bytes::from_static(b"key");
    let database = DatabaseId::from_bits(0xdb);
    let place = Place { partition: 2, generation: 1, revision: 9, keyspace: 1 };
    let token = SessionToken::of(database, place, 7 << 16).to_bytes();
    let read = v1::ReadOptions { consistency: 2, session_token: token, max_lag_milliseconds: 5 };
    let page = ScanToken::new(database, KeyspaceId::DEFAULT).after(key(), vec![place], vec![]);
    let page_token = page.to_bytes();
    let target = Some(v1::Target { partition: 2, ..Default::default() });
    let exists = Some(condition(b"", Test::Exists(true)));
    let operations = [
        Operation::Get(v1::GetRequest {
            key: key(),
            read: Some(read),
            keyspace: "default".into(),
            ..Default::default()
        }),
        Operation::Put(v1::PutRequest {
            key: key(),
            value: key(),
            condition: exists.clone(),
            session: session(1),
            ..Default::default()
        }),
        Operation::Delete(v1::DeleteRequest {
            key: key(),
            condition: exists,
            ..Default::default()
        }),
        Operation::Scan(v1::ScanRequest { limit: 10, page_token, ..Default::default() }),
        Operation::Batch(v1::BatchRequest {
            conditions: vec![condition(b"a", Test::Revision(4))],
            operations: vec![put(b"a"), delete(b"b")],
            ..Default::default()
        }),
        Operation::Register(v1::RegisterRequest { target }),
        Operation::Status(v1::StatusRequest { local_only: true, after_partition: 7 }),
    ];
    let one = |(id, operation)| v1::StreamOperation {
        id,
        timeout_milliseconds: 500,
        operation: Some(operation),
    };
    let operations = (1..).zip(operations).map(one).collect();
    v1::StreamRequest { operations }.encode_to_vec()
}
