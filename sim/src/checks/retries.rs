//! "Retried writes once": a value, unique in the run, is written at one revision only.

use super::Violation;
use crate::history::{Action, Answer, value_number};
use crate::reference::Reference;
use doug_proto::v1::{Outcome, operation_answer::Answer as Read};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Retries {
    seen: BTreeMap<(u64, u64), u64>,
}

const NAME: &str = "retried writes once";

impl Retries {
    pub(super) fn answered(
        &mut self,
        partition: u64,
        action: &Action,
        answer: &Answer,
    ) -> Result<(), Violation> {
        match (action, answer) {
            (Action::Put { value, .. }, Answer::Written { revision, met: true, .. }) => {
                self.saw(partition, value, *revision)
            }
            (_, Answer::Transacted(outcome)) => self.read(partition, outcome),
            (_, Answer::Got { found: Some((value, at)), .. }) => self.saw(partition, value, *at),
            (_, Answer::Scanned { entries, .. }) => {
                let mut entries = entries.iter();
                entries.try_for_each(|(_, value, at)| self.saw(partition, value, *at))
            }
            _ => Ok(()),
        }
    }

    /// What a transaction has read.
    fn read(&mut self, partition: u64, outcome: &Outcome) -> Result<(), Violation> {
        for answer in outcome.answers.iter().filter_map(|one| one.answer.as_ref()) {
            match answer {
                Read::Get(get) => self.saw(partition, &get.value, get.value_revision)?,
                Read::Scan(scan) => {
                    let mut entries = scan.entries.iter();
                    entries.try_for_each(|e| self.saw(partition, &e.value, e.revision))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn saw(&mut self, partition: u64, value: &[u8], revision: u64) -> Result<(), Violation> {
        let number = value_number(value);
        // A counter, which changes with every increment.
        if number == 0 {
            return Ok(());
        }
        let known = *self.seen.entry((partition, number)).or_insert(revision);
        twice(partition, number, known, revision)
    }
}

fn twice(partition: u64, number: u64, first: u64, second: u64) -> Result<(), Violation> {
    if first == second {
        return Ok(());
    }
    let what =
        format!("partition {partition}: write {number} was applied at {first} and at {second}");
    Err(Violation::new(NAME, what))
}

/// The committed log itself applies no value twice.
pub(super) fn once(partition: u64, reference: &Reference) -> Result<(), Violation> {
    let mut written: BTreeMap<u64, u64> = BTreeMap::new();
    for (value, at) in reference.values() {
        let number = value_number(value);
        if number == 0 {
            continue;
        }
        twice(partition, number, *written.entry(number).or_insert(at), at)?;
    }
    Ok(())
}
