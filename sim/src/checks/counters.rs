//! "Increments apply once": a counter is the sum of all increments that were acknowledged, and of
//! none, some or all of those whose outcome is unknown. From what clients were told alone.

use super::Violation;
use crate::history::{Action, Answer, Operation};
use crate::reference::Reference;
use crate::transactions::{carried_out, is_mortal};
use bytes::Bytes;
use doug_proto::v1::TransactOperation;
use doug_proto::v1::transact_operation::Operation as Step;
use std::collections::BTreeMap;

/// What a counter may be.
#[derive(Debug, Default)]
struct Bounds {
    least: i64,
    most: i64,
}

pub(super) fn judge(
    history: &[Operation],
    references: &BTreeMap<u64, Reference>,
) -> Result<(), Violation> {
    let mut counters: BTreeMap<(u64, &Bytes), Bounds> = BTreeMap::new();
    for operation in history {
        let Action::Transact(request) = &operation.action else { continue };
        match &operation.answered {
            Some((_, Answer::Transacted(outcome))) => {
                for (key, by) in increments(carried_out(request, outcome)) {
                    let bounds = counters.entry((operation.partition, key)).or_default();
                    (bounds.least, bounds.most) = (bounds.least + by, bounds.most + by);
                }
            }
            _ => {
                for (key, by) in increments(&request.then).chain(increments(&request.otherwise)) {
                    counters.entry((operation.partition, key)).or_default().most += by;
                }
            }
        }
    }
    for ((partition, key), Bounds { least, most }) in counters {
        let found = references.get(&partition).and_then(|reference| reference.at(key, u64::MAX));
        let text = found.map_or(&b"0"[..], |(_, value)| value);
        // One that is only incremented beside what always fails does not exist.
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        if value.is_some_and(|value| (least..=most).contains(&value)) || key.ends_with(b"text") {
            continue;
        }
        let what = format!(
            "partition {partition}: {key:?} is {value:?}, and by what clients were told it is \
             {least} to {most}"
        );
        return Err(Violation::new("increments apply once", what));
    }
    Ok(())
}

fn increments(list: &[TransactOperation]) -> impl Iterator<Item = (&Bytes, i64)> {
    list.iter().filter_map(|one| match &one.operation {
        // One that may expire begins anew.
        Some(Step::Increment(increment)) if !is_mortal(&increment.key) => {
            Some((&increment.key, increment.by))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimTime;
    use doug_node::work::encode_command;
    use doug_proto::v1;

    fn increment() -> TransactOperation {
        let step = Step::Increment(v1::IncrementOperation { key: "n".into(), by: 5 });
        TransactOperation { operation: Some(step) }
    }

    fn told(is_known: bool) -> Operation {
        let request = v1::TransactRequest { then: vec![increment()], ..Default::default() };
        let outcome = v1::Outcome { conditions_met: true, ..Default::default() };
        Operation {
            client: 0,
            partition: 1,
            action: Action::Transact(Box::new(request)),
            asked: SimTime::ZERO,
            answered: is_known
                .then(|| (SimTime::from_micros(1), Answer::Transacted(Box::new(outcome)))),
            staleness: None,
            server: 0,
            tries: 1,
        }
    }

    fn incremented(times: u64) -> BTreeMap<u64, Reference> {
        let write = v1::WriteCommand { then: vec![increment()], ..Default::default() };
        let command = v1::Command { command: Some(v1::command::Command::Write(write)) };
        let mut reference = Reference::default();
        (1..=times).for_each(|at| reference.commit_commands(at, &[encode_command(&command)]));
        BTreeMap::from([(1, reference)])
    }

    #[test]
    fn acknowledged_increments_count_once_and_unknown_ones_at_most_once() {
        assert_eq!(judge(&[told(true)], &incremented(1)), Ok(()));
        assert!(judge(&[told(true)], &incremented(0)).is_err());
        assert!(judge(&[told(true)], &incremented(2)).is_err());
        for (times, is_fine) in [(0, true), (1, true), (2, false)] {
            assert_eq!(judge(&[told(false)], &incremented(times)).is_ok(), is_fine);
        }
    }
}
