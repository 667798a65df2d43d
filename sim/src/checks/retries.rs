//! "Retried writes once": a value, unique in the run, is written at one revision only.

use super::Violation;
use crate::history::{Action, Answer, value_number};
use crate::reference::Reference;
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
            (_, Answer::Got { found: Some((value, at)), .. }) => self.saw(partition, value, *at),
            (_, Answer::Scanned { entries, .. }) => {
                let mut entries = entries.iter();
                entries.try_for_each(|(_, value, at)| self.saw(partition, value, *at))
            }
            _ => Ok(()),
        }
    }

    fn saw(&mut self, partition: u64, value: &[u8], revision: u64) -> Result<(), Violation> {
        let number = value_number(value);
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
        twice(partition, number, *written.entry(number).or_insert(at), at)?;
    }
    Ok(())
}
