//! What clients choose to ask, and how it is encoded.

use crate::context::Context;
use crate::events::Ask;
use crate::history::{Action, Answer, Condition, Freshness};
use crate::random::Random;
use crate::time::{millis, seconds};
use crate::transactions::{self, Group};
use bytes::{BufMut, Bytes, BytesMut};
use doug_node::work::encode_command;
use doug_proto::v1::{self, transact_operation};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a client has seen.
#[derive(Debug)]
pub struct Memory {
    client: u64,
    values: u64,
    /// Last revision it was told, by partition: its session token.
    tokens: BTreeMap<u64, u64>,
    /// Values it has seen, by key.
    seen: BTreeMap<Bytes, Option<(u64, Bytes)>>,
    /// A value that it has read in a transaction.
    row: Option<Bytes>,
}

impl Memory {
    /// Nothing yet. `client` makes its values unique.
    pub fn new(client: u64) -> Self {
        Self { client, values: 0, tokens: BTreeMap::new(), seen: BTreeMap::new(), row: None }
    }

    fn fresh_value(&mut self, random: &mut Random, padding: u64) -> Bytes {
        self.values += 1;
        let padding = random.below(padding + 1) as usize;
        let mut value = BytesMut::with_capacity(8 + padding);
        value.put_u64((self.client << 40) + self.values);
        // Bytes that do not compress to nothing, so that tables fill.
        (0..padding.div_ceil(8)).for_each(|_| value.put_u64(random.next()));
        value.truncate(8 + padding);
        value.freeze()
    }

    /// Remembers an answer.
    pub fn learn(&mut self, partition: u64, action: &Action, answer: &Answer) {
        let revision = match answer {
            Answer::Written { revision, .. }
            | Answer::Got { revision, .. }
            | Answer::Scanned { revision, .. }
            | Answer::Registered(revision) => *revision,
            Answer::Transacted(outcome) => outcome.revision,
        };
        let token = self.tokens.entry(partition).or_default();
        *token = revision.max(*token);
        match (action, answer) {
            (Action::Put { keys, value, .. }, Answer::Written { revision, met: true, .. }) => {
                for key in keys {
                    self.seen.insert(key.clone(), Some((*revision, value.clone())));
                }
            }
            (Action::Transact(_), Answer::Transacted(outcome)) => self.learn_read(outcome),
            (Action::Delete { key }, _) => {
                self.seen.insert(key.clone(), None);
            }
            (Action::Get { key, .. }, Answer::Got { found, .. }) => {
                let found = found.as_ref().map(|(value, at)| (*at, value.clone()));
                self.seen.insert(key.clone(), found);
            }
            _ => {}
        }
    }
}

impl Memory {
    /// Of what a transaction read, the last value is remembered, whatever its row.
    fn learn_read(&mut self, outcome: &v1::Outcome) {
        use v1::operation_answer::Answer;
        for answer in outcome.answers.iter().filter_map(|one| one.answer.as_ref()) {
            if let Answer::Get(get) = answer
                && get.value.len() >= 8
            {
                self.row = Some(get.value.clone());
            }
        }
    }
}

/// The key of a number.
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("key-{number:04}"))
}

/// A key of the partition, if one of a few random ones lies there.
fn neighbour(random: &mut Random, cx: &Context, partition: u64, not: &Bytes) -> Option<Bytes> {
    (0..4)
        .map(|_| key(random.below(cx.plan.workload.keys)))
        .find(|other| other != not && cx.database.map.partition_of(other).id == partition)
}

/// The next operation, and its partition.
pub fn choose(memory: &mut Memory, random: &mut Random, cx: &Context) -> (u64, Action) {
    let workload = &cx.plan.workload;
    let key = key(random.below(workload.keys));
    let partition = cx.database.map.partition_of(&key).id;
    if !random.chance(workload.writes) {
        if random.chance(80) {
            return transaction(memory, random, cx, true);
        }
        let freshness = freshness(memory, random, partition);
        if random.chance(60) {
            return (partition, Action::Scan { freshness, reverse: random.chance(500) });
        }
        return (partition, Action::Get { key, freshness });
    }
    if random.chance(120) {
        return transaction(memory, random, cx, false);
    }
    if random.chance(120) {
        return (partition, Action::Delete { key });
    }
    let value = memory.fresh_value(random, workload.padding);
    let condition = match random.below(10) {
        0 => Condition::Absent,
        1 | 2 => match memory.seen.get(&key) {
            Some(Some((revision, value))) if random.chance(500) => {
                Condition::Revision(*revision, value.clone())
            }
            Some(Some((_, value))) => Condition::Value(value.clone()),
            Some(None) | None => Condition::Absent,
        },
        _ => Condition::None,
    };
    let mut keys = vec![key];
    if condition == Condition::None && random.chance(100) {
        keys.extend(neighbour(random, cx, partition, &keys[0]));
    }
    (partition, Action::Put { keys, value, condition })
}

fn transaction(
    memory: &mut Memory,
    random: &mut Random,
    cx: &Context,
    reads_only: bool,
) -> (u64, Action) {
    let workload = &cx.plan.workload;
    let group = Group(random.below(workload.keys.div_ceil(4).min(8)));
    let partition = cx.database.map.partition_of(&group.counter()).id;
    let seen = memory.row.clone();
    // From a stream of their own, for both are drawn from at once.
    let mut values = Random::new(random.next());
    let mut value = || memory.fresh_value(&mut values, workload.padding);
    let request = transactions::choose(random, group, reads_only, &mut value, seen);
    (partition, Action::Transact(Box::new(request)))
}

fn freshness(memory: &Memory, random: &mut Random, partition: u64) -> Freshness {
    match random.below(8) {
        0 => Freshness::Eventual,
        1 | 2 => Freshness::Session(memory.tokens.get(&partition).copied().unwrap_or(0)),
        3 => {
            Freshness::Bounded(*random.pick(&[Duration::ZERO, millis(10), millis(100), seconds(1)]))
        }
        _ => Freshness::Linearizable,
    }
}

/// A last write to a partition, or a last look at all of it.
pub fn final_operation(
    memory: &mut Memory,
    random: &mut Random,
    cx: &Context,
    partition: u64,
    write: bool,
) -> (u64, Action) {
    let keys = (0..).map(|number| Bytes::from(format!("last-{number}")));
    let mut keys = keys.filter(|key| cx.database.map.partition_of(key).id == partition);
    match keys.next().filter(|_| write) {
        Some(key) => {
            let value = memory.fresh_value(random, 8);
            (partition, Action::Put { keys: vec![key], value, condition: Condition::None })
        }
        None => {
            let freshness = Freshness::Linearizable;
            (partition, Action::Scan { freshness, reverse: false })
        }
    }
}

/// The request for an action; `claim` is a write's session, sequence and the
/// lowest sequence unanswered.
pub fn encode(action: &Action, claim: Option<(u64, u64, u64)>) -> Ask {
    let session = claim.map(|(id, sequence, lowest_unanswered)| v1::Session {
        id,
        sequence,
        lowest_unanswered,
    });
    match action {
        Action::Register => {
            let command = v1::command::Command::Register(v1::RegisterCommand {});
            Ask::Write(encode_command(&v1::Command { command: Some(command) }))
        }
        Action::Put { keys, value, condition } => {
            let put = |key: &Bytes| {
                let put = v1::PutOperation {
                    key: key.clone(),
                    value: value.clone(),
                    ..Default::default()
                };
                transact_operation::Operation::Put(put)
            };
            let operations = keys.iter().map(put).collect();
            write(session, encode_condition(&keys[0], condition), operations)
        }
        Action::Delete { key } => {
            let delete = v1::DeleteOperation { key: key.clone() };
            write(session, None, vec![transact_operation::Operation::Delete(delete)])
        }
        Action::Transact(request) if !action.writes() => Ask::Transact(request.clone()),
        Action::Transact(request) => {
            let v1::TransactRequest { conditions, then, otherwise, .. } = (**request).clone();
            let write = v1::WriteCommand { session, conditions, then, otherwise, answers: true };
            let command = v1::command::Command::Write(write);
            Ask::Write(encode_command(&v1::Command { command: Some(command) }))
        }
        Action::Past { .. } => unreachable!("only the library asks for the past"),
        Action::Get { key, freshness } => Ask::Get(key.clone(), *freshness),
        Action::Scan { freshness, reverse } => {
            Ask::Scan { freshness: *freshness, reverse: *reverse }
        }
    }
}

fn encode_condition(key: &Bytes, condition: &Condition) -> Option<v1::Condition> {
    use v1::condition::Test;
    let test = match condition {
        Condition::None => return None,
        Condition::Absent => Test::Exists(false),
        Condition::Revision(revision, _) => Test::Revision(*revision),
        Condition::Value(value) => Test::Value(value.clone()),
    };
    Some(v1::Condition { key: key.clone(), test: Some(test), ..Default::default() })
}

fn write(
    session: Option<v1::Session>,
    condition: Option<v1::Condition>,
    operations: Vec<transact_operation::Operation>,
) -> Ask {
    let operations = operations.into_iter();
    let command = v1::WriteCommand {
        session,
        conditions: condition.into_iter().collect(),
        then: operations.map(|o| v1::TransactOperation { operation: Some(o) }).collect(),
        ..Default::default()
    };
    let command = v1::command::Command::Write(command);
    Ask::Write(encode_command(&v1::Command { command: Some(command) }))
}
