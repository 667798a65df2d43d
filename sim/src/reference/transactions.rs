//! What a transaction does, worked out a second time: straight over all versions of all keys,
//! where each operation pushes what it changes and the next one sees it. One that cannot be
//! carried out takes back what it pushed.

use bytes::Bytes;
use doug_proto::v1::obstacle::Reason;
use doug_proto::v1::operation_answer::Answer;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, KeyRange, Relation, condition::Test};
use std::collections::BTreeMap;

/// Every version of every key: the revision, and the value or nothing. Several of one revision
/// are those of one command, of which the last counts.
pub(super) type Versions = BTreeMap<Bytes, Vec<(u64, Option<Held>)>>;

/// A value, and when its key expires: milliseconds since 1970, 0 for never.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Bytes,
    pub(super) expiry: u64,
}

/// What a key holds after the command at `revision`.
pub(super) fn at<'v>(
    versions: &'v Versions,
    key: &[u8],
    revision: u64,
) -> Option<(u64, &'v Bytes)> {
    held_at(versions, key, revision).map(|(at, held)| (at, &held.value))
}

/// The same with its expiry.
pub(super) fn held_at<'v>(
    versions: &'v Versions,
    key: &[u8],
    revision: u64,
) -> Option<(u64, &'v Held)> {
    let versions = versions.get(key)?;
    let after = versions.partition_point(|(at, _)| *at <= revision);
    let (at, held) = versions.get(after.checked_sub(1)?)?;
    held.as_ref().map(|held| (*at, held))
}

/// All that is there after the command at `revision`, and nothing older or newer.
pub(super) fn upto(versions: &Versions, revision: u64) -> Versions {
    let kept = versions.keys().filter_map(|key| {
        let (written, held) = held_at(versions, key, revision)?;
        Some((key.clone(), vec![(written, Some(held.clone()))]))
    });
    kept.collect()
}

fn inside<'v>(
    versions: &'v Versions,
    range: &KeyRange,
    revision: u64,
) -> Vec<(&'v Bytes, u64, &'v Bytes)> {
    let inside = |key: &Bytes| *key >= range.start && (range.end.is_empty() || *key < range.end);
    let there = versions.keys().filter(|key| inside(key)).filter_map(|key| {
        let (written, value) = at(versions, key, revision)?;
        Some((key, written, value))
    });
    there.collect()
}

/// Which list the conditions choose, as of `revision`, for the command at `index`.
pub(super) fn choose(
    versions: &Versions,
    revision: u64,
    index: u64,
    conditions: &[v1::Condition],
) -> v1::Outcome {
    let mut outcome = v1::Outcome { revision: index, conditions_met: true, ..Default::default() };
    for (number, condition) in (0..).zip(conditions) {
        let failed = match &condition.range {
            None => {
                let found = at(versions, &condition.key, revision);
                let met = match &condition.test {
                    Some(Test::Exists(exists)) => found.is_some() == *exists,
                    _ => found.is_some_and(|(written, value)| holds(condition, written, value)),
                };
                (!met).then(|| found.map_or(0, |(written, _)| written))
            }
            Some(range) => {
                let there = inside(versions, range, revision);
                match &condition.test {
                    Some(Test::Exists(exists)) => (*exists == there.is_empty())
                        .then(|| there.first().map_or(0, |(_, written, _)| *written)),
                    _ => there
                        .iter()
                        .find(|(_, written, value)| !holds(condition, *written, value))
                        .map(|(_, written, _)| *written),
                }
            }
        };
        if let Some(current) = failed {
            outcome.conditions_met = false;
            outcome.failed_condition = number;
            outcome.current_revision = current;
            return outcome;
        }
    }
    outcome
}

fn holds(condition: &v1::Condition, written: u64, value: &Bytes) -> bool {
    let (less, equal) = match &condition.test {
        Some(Test::Revision(named)) => (written < *named, written == *named),
        Some(Test::Value(named)) => (value < named, value == named),
        _ => return false,
    };
    match condition.relation() {
        Relation::Unspecified | Relation::Equal => equal,
        Relation::NotEqual => !equal,
        Relation::Less => less,
        Relation::Greater => !less && !equal,
    }
}

/// Carries a list out at `index`; its answers go into `outcome`.
pub(super) fn carry_out(
    versions: &mut Versions,
    (index, clock): (u64, u64),
    list: &[v1::TransactOperation],
    outcome: &mut v1::Outcome,
) {
    for (number, operation) in (0..).zip(list) {
        let operation = operation.operation.as_ref().expect("clients send what they know");
        match one(versions, (index, clock), operation) {
            Ok(answer) => outcome.answers.push(v1::OperationAnswer { answer: Some(answer) }),
            Err(reason) => {
                let obstacle =
                    v1::Obstacle { reason: reason.into(), index: number, ..Default::default() };
                outcome.obstacle = Some(obstacle);
                outcome.answers.clear();
                versions.values_mut().for_each(|all| all.retain(|(at, _)| *at != index));
                return;
            }
        }
    }
}

fn one(
    versions: &mut Versions,
    (index, clock): (u64, u64),
    operation: &Operation,
) -> Result<Answer, Reason> {
    let now = u64::MAX;
    let whole = |range: &Option<KeyRange>| range.clone().unwrap_or_default();
    let write = |versions: &mut Versions, key: &Bytes, value: Option<Held>| {
        versions.entry(key.clone()).or_default().push((index, value));
    };
    Ok(match operation {
        Operation::Get(get) => Answer::Get(match held_at(versions, &get.key, now) {
            Some((value_revision, held)) => v1::GetAnswer {
                found: true,
                value: held.value.clone(),
                value_revision,
                expiry_milliseconds: held.expiry,
            },
            None => v1::GetAnswer::default(),
        }),
        Operation::Scan(scan) => {
            let mut there = inside(versions, &whole(&scan.range), now);
            if scan.reverse {
                there.reverse();
            }
            let limit = if scan.limit == 0 { 1_000 } else { scan.limit as usize };
            let more = there.len() > limit;
            let entry = |(key, revision, value): (&Bytes, u64, &Bytes)| v1::ScanEntry {
                key: key.clone(),
                value: if scan.keys_only { Bytes::new() } else { value.clone() },
                revision,
            };
            let entries = there.into_iter().take(limit).map(entry).collect();
            Answer::Scan(v1::ScanAnswer { entries, more })
        }
        Operation::Count(count) => {
            let count = inside(versions, &whole(&count.range), now).len() as u64;
            Answer::Count(v1::CountAnswer { count })
        }
        Operation::Put(put) => {
            let expiry = put.ttl_milliseconds.map_or(0, |ttl| clock + ttl);
            write(versions, &put.key, Some(Held { value: put.value.clone(), expiry }));
            Answer::Put(v1::PutAnswer {})
        }
        Operation::Delete(delete) => {
            let existed = at(versions, &delete.key, now).is_some();
            write(versions, &delete.key, None);
            Answer::Delete(v1::DeleteAnswer { existed })
        }
        Operation::DeleteRange(delete) => {
            let there = inside(versions, &whole(&delete.range), now);
            let keys: Vec<Bytes> = there.into_iter().map(|(key, ..)| key.clone()).collect();
            keys.iter().for_each(|key| write(versions, key, None));
            Answer::DeleteRange(v1::DeleteRangeAnswer { deleted: keys.len() as u64 })
        }
        Operation::Increment(increment) => {
            let found = held_at(versions, &increment.key, now);
            let expiry = found.map_or(0, |(_, held)| held.expiry);
            let before = match found {
                Some((_, held)) => {
                    let text =
                        std::str::from_utf8(&held.value).ok().filter(|t| !t.starts_with('+'));
                    text.and_then(|t| t.parse::<i64>().ok()).ok_or(Reason::NotANumber)?
                }
                None => 0,
            };
            let value = before.checked_add(increment.by).ok_or(Reason::Overflow)?;
            let held = Held { value: value.to_string().into(), expiry };
            write(versions, &increment.key, Some(held));
            Answer::Increment(v1::IncrementAnswer { value })
        }
    })
}

/// Whether the only operation deleted something.
pub(super) fn deleted_one(answers: &[v1::OperationAnswer]) -> bool {
    matches!(
        answers,
        [v1::OperationAnswer { answer: Some(Answer::Delete(v1::DeleteAnswer { existed: true })) }]
    )
}
