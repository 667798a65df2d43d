//! "Linearizable per key": cuts the history into keys and judges each.

use super::{Judged, Violation};
use crate::history::{Action, Answer, Condition, Freshness, Operation, value_number};
use crate::transactions::carried_out;
use bytes::Bytes;
use doug_linearizability::{Act, Operation as Step, Verdict};
use doug_proto::v1::operation_answer::Answer as Did;
use doug_proto::v1::transact_operation::Operation as Do;
use doug_proto::v1::{TransactOperation, TransactRequest};
use std::collections::{BTreeMap, BTreeSet};

/// Configurations visited for one key before the search is given up.
const BUDGET: usize = 400_000;

type Keys = BTreeMap<Bytes, Vec<Step>>;

pub(super) fn judge(history: &[Operation]) -> Result<Judged, Violation> {
    let mut keys = Keys::new();
    let mut homes: BTreeMap<u64, BTreeSet<Bytes>> = BTreeMap::new();
    for operation in history {
        let home = homes.entry(operation.partition).or_default();
        home.extend(written(&operation.action).iter().cloned());
        if let Action::Transact(request) = &operation.action {
            home.extend(rows_put(request).cloned());
        }
    }
    for operation in history {
        add(operation, homes.get(&operation.partition), &mut keys);
    }
    let mut judged = Judged::default();
    for (key, steps) in keys {
        match doug_linearizability::check(&steps, BUDGET) {
            Verdict::Linearizable => judged.keys += 1,
            Verdict::TooHard => judged.too_hard += 1,
            Verdict::NotLinearizable { ordered } => {
                let what = format!(
                    "no order explains the {} operations on {key:?}; the longest explains \
                     {ordered}",
                    steps.len()
                );
                return Err(Violation::new("linearizable per key", what));
            }
        }
    }
    Ok(judged)
}

fn written(action: &Action) -> &[Bytes] {
    match action {
        Action::Put { keys, .. } => keys,
        Action::Delete { key } => std::slice::from_ref(key),
        Action::Register
        | Action::Transact(_)
        | Action::Get { .. }
        | Action::Past { .. }
        | Action::Scan { .. } => &[],
    }
}

fn add(operation: &Operation, home: Option<&BTreeSet<Bytes>>, keys: &mut Keys) {
    let call = operation.asked.as_micros();
    let answer = operation.answered.as_ref().map(|(at, _)| at.as_micros());
    let mut push = |key: &Bytes, act: Act| {
        keys.entry(key.clone()).or_default().push(Step { call, answer, act });
    };
    match (&operation.action, operation.answered.as_ref().map(|(_, answer)| answer)) {
        (Action::Put { keys, value, condition }, told) => {
            let met = match told {
                Some(Answer::Written { met, .. }) => Some(*met),
                _ => None,
            };
            put(keys, value_number(value), condition, met, &mut push);
        }
        (Action::Transact(request), Some(Answer::Transacted(outcome))) => {
            let list = carried_out(request, outcome);
            let answers = outcome.answers.iter().map(|one| one.answer.as_ref());
            // Those that were dropped are none that is known.
            let answers = answers.chain(std::iter::repeat(None));
            for (step, answer) in list.iter().zip(answers) {
                transacted(step, answer, home, &mut push);
            }
        }
        // Either of the lists may have been carried out.
        (Action::Transact(request), _) => {
            for step in request.then.iter().chain(&request.otherwise) {
                transacted(step, None, home, &mut push);
            }
        }
        (Action::Delete { key }, Some(Answer::Written { existed, .. })) => {
            push(key, Act::DeleteSeen { existed: *existed });
        }
        (Action::Delete { key }, _) => push(key, Act::Write(None)),
        (
            Action::Get { key, freshness: Freshness::Linearizable },
            Some(Answer::Got { found, .. }),
        ) => push(key, Act::Read(found.as_ref().map(|(value, _)| value_number(value)))),
        (
            Action::Scan { freshness: Freshness::Linearizable, .. },
            Some(Answer::Scanned { entries, .. }),
        ) => {
            let seen: BTreeMap<_, _> =
                entries.iter().map(|(key, value, _)| (key, value_number(value))).collect();
            for key in home.into_iter().flatten() {
                push(key, Act::Read(seen.get(key).copied()));
            }
        }
        _ => {}
    }
}

/// Keys of unique values that a transaction may put.
fn rows_put(request: &TransactRequest) -> impl Iterator<Item = &Bytes> {
    request.then.iter().chain(&request.otherwise).filter_map(|one| match &one.operation {
        Some(Do::Put(put)) if value_number(&put.value) > 0 => Some(&put.key),
        _ => None,
    })
}

/// What one operation of a transaction did. Those of one transaction happen at one time: which
/// came first of two on one key is judged by its revision.
fn transacted(
    step: &TransactOperation,
    answer: Option<&Did>,
    home: Option<&BTreeSet<Bytes>>,
    push: &mut impl FnMut(&Bytes, Act),
) {
    let is_row = |key: &Bytes| home.is_some_and(|home| home.contains(key));
    match (&step.operation, answer) {
        (Some(Do::Put(put)), _) if is_row(&put.key) => {
            push(&put.key, Act::Write(Some(value_number(&put.value))));
        }
        (Some(Do::Delete(delete)), _) => push(&delete.key, Act::Write(None)),
        (Some(Do::DeleteRange(delete)), _) => {
            let range = delete.range.clone().unwrap_or_default();
            let inside = |key: &&Bytes| **key >= range.start && **key < range.end;
            for key in home.into_iter().flatten().filter(inside) {
                push(key, Act::Write(None));
            }
        }
        (Some(Do::Get(get)), Some(Did::Get(got))) if is_row(&get.key) => {
            push(&get.key, Act::Read(got.found.then(|| value_number(&got.value))));
        }
        _ => {}
    }
}

/// Of a write of several keys, the first alone carries the condition; the others
/// are judged only where its outcome is known.
fn put(
    keys: &[Bytes],
    value: u64,
    condition: &Condition,
    met: Option<bool>,
    push: &mut impl FnMut(&Bytes, Act),
) {
    let expected = match condition {
        Condition::None => {
            keys.iter().for_each(|key| push(key, Act::Write(Some(value))));
            return;
        }
        Condition::Absent => None,
        Condition::Revision(_, expected) | Condition::Value(expected) => {
            Some(value_number(expected))
        }
    };
    if let Some(key) = keys.first() {
        push(key, Act::WriteIf { expected, value, met });
    }
}
