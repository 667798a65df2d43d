//! Transactions that clients choose: over the keys of a group, which its name before the slash
//! puts into one partition. Rows hold values that are unique in the run, like any register;
//! counters are only ever incremented, so that their sums can be judged.

use crate::random::Random;
use bytes::Bytes;
use doug_proto::transaction::is_read_only;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, KeyRange, Relation, TransactOperation, condition::Test};

/// The longest time to live of a key, in milliseconds: less than a recovery may take, at whose end
/// all of them are to be gone.
const LONGEST_TTL: u64 = 8_000;

/// Rows of a group.
const ROWS: u64 = 4;

/// A group of keys.
#[derive(Clone, Copy, Debug)]
pub struct Group(pub u64);

impl Group {
    fn key(self, name: &str) -> Bytes {
        Bytes::from(format!("group-{}/{name}", self.0))
    }

    /// What `then` increments.
    pub fn counter(self) -> Bytes {
        self.key("count")
    }

    fn other_counter(self) -> Bytes {
        self.key("other")
    }

    fn row(self, number: u64) -> Bytes {
        self.key(&format!("row-{number}"))
    }

    /// Rows from one up to, and not including, another.
    fn rows(self, from: u64, to: u64) -> Option<KeyRange> {
        Some(KeyRange { start: self.row(from), end: self.row(to) })
    }
}

fn operation(operation: Operation) -> TransactOperation {
    TransactOperation { operation: Some(operation) }
}

fn increment(key: Bytes, by: u64) -> TransactOperation {
    operation(Operation::Increment(v1::IncrementOperation { key, by: by as i64 }))
}

fn read(random: &mut Random, group: Group) -> TransactOperation {
    let from = random.below(ROWS);
    let range = group.rows(from, from + random.between(1, ROWS));
    operation(match random.below(4) {
        0 => Operation::Count(v1::CountOperation { range }),
        1 => Operation::Scan(v1::ScanOperation {
            range,
            reverse: random.chance(500),
            limit: random.below(3) as u32,
            keys_only: false,
        }),
        2 if random.chance(500) => {
            let key = group.key(&format!("mortal-{}", random.below(3)));
            Operation::Get(v1::GetOperation { key })
        }
        2 => Operation::Get(v1::GetOperation { key: group.counter() }),
        _ => Operation::Get(v1::GetOperation { key: group.row(random.below(ROWS)) }),
    })
}

/// Puts a key that expires, or increments it, and reads it: it is no register, for it may be gone
/// at any time from its expiry on. What each answer must be follows from the batches' clocks.
fn mortal(random: &mut Random, group: Group) -> [TransactOperation; 2] {
    let key = group.key(&format!("mortal-{}", random.below(3)));
    let change = if random.chance(300) {
        increment(key.clone(), 1)
    } else {
        let ttl_milliseconds = random.chance(900).then(|| random.between(1, LONGEST_TTL));
        let value = Bytes::from_static(b"1");
        operation(Operation::Put(v1::PutOperation { key: key.clone(), value, ttl_milliseconds }))
    };
    [change, operation(Operation::Get(v1::GetOperation { key }))]
}

fn write(random: &mut Random, group: Group, value: &mut dyn FnMut() -> Bytes) -> TransactOperation {
    let row = random.below(ROWS);
    operation(match random.below(8) {
        0 => Operation::Delete(v1::DeleteOperation { key: group.row(row) }),
        1 => Operation::DeleteRange(v1::DeleteRangeOperation { range: group.rows(row, row + 2) }),
        _ => {
            let (key, value) = (group.row(row), value());
            Operation::Put(v1::PutOperation { key, value, ..Default::default() })
        }
    })
}

fn condition(random: &mut Random, group: Group, seen: Option<Bytes>) -> v1::Condition {
    let row = random.below(ROWS);
    let mut condition = v1::Condition { key: group.row(row), ..Default::default() };
    let relations = [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater];
    let relation: i32 = (*random.pick(&relations)).into();
    match (random.below(6), seen) {
        (0, _) => condition.test = Some(Test::Exists(random.chance(500))),
        (1, Some(value)) => {
            (condition.test, condition.relation) = (Some(Test::Value(value)), relation);
        }
        (2, _) => {
            let digit = random.below(10).to_string();
            condition.key = group.counter();
            (condition.test, condition.relation) = (Some(Test::Value(digit.into())), relation);
        }
        (3, _) => {
            condition.test = Some(Test::Exists(random.chance(500)));
            (condition.key, condition.range) = (Bytes::new(), group.rows(row, row + 2));
        }
        (4, _) => {
            let revision = Test::Revision(random.below(2_000));
            (condition.test, condition.relation) = (Some(revision), relation);
            (condition.key, condition.range) = (Bytes::new(), group.rows(0, ROWS));
        }
        _ => {
            let revision = Test::Revision(random.below(2_000));
            (condition.test, condition.relation) = (Some(revision), relation);
        }
    }
    condition
}

/// A transaction of a group. `value` makes values that are unique in the run; `seen` is one that
/// its client has read in the group.
pub fn choose(
    random: &mut Random,
    group: Group,
    reads_only: bool,
    value: &mut dyn FnMut() -> Bytes,
    seen: Option<Bytes>,
) -> v1::TransactRequest {
    let mut request = v1::TransactRequest::default();
    if random.chance(800) {
        request.conditions.push(condition(random, group, seen.clone()));
    }
    if random.chance(200) {
        request.conditions.push(condition(random, group, seen));
    }
    let counters = [group.counter(), group.other_counter()];
    for (list, counter) in [&mut request.then, &mut request.otherwise].into_iter().zip(counters) {
        list.push(read(random, group));
        if reads_only {
            continue;
        }
        list.push(increment(counter, random.between(1, 9)));
        if random.chance(200) {
            list.extend(mortal(random, group));
        }
        for _ in 0..random.below(3) {
            list.push(write(random, group, value));
            list.push(read(random, group));
        }
        // Nothing of it may be done.
        if random.chance(30) {
            let text = group.key("text");
            let put = v1::PutOperation {
                key: text.clone(),
                value: Bytes::from_static(b"one"),
                ..Default::default()
            };
            list.extend([operation(Operation::Put(put)), increment(text, 1)]);
        }
    }
    assert_eq!(is_read_only(&request), reads_only);
    request
}

/// Whether a key is one that may be put with an expiry.
pub fn is_mortal(key: &[u8]) -> bool {
    key.windows(8).any(|part| part == b"/mortal-")
}

/// The operations of the list that was carried out, if any was.
pub fn carried_out<'r>(
    request: &'r v1::TransactRequest,
    outcome: &v1::Outcome,
) -> &'r [TransactOperation] {
    match (&outcome.obstacle, outcome.conditions_met) {
        (Some(_), _) => &[],
        (None, true) => &request.then,
        (None, false) => &request.otherwise,
    }
}
