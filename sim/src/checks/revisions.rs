//! "Revisions monotonic": a replica never goes back, and an answer is what the
//! partition was, or what the command did, at the revision it names.

use super::Violation;
use crate::history::{Action, Answer, Operation};
use crate::reference::Reference;
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// By process and replica: a successor on the same node begins anew.
    applied: BTreeMap<((usize, u64), ReplicaKey), u64>,
}

const NAME: &str = "revisions monotonic";

impl Revisions {
    pub(super) fn applied(
        &mut self,
        life: (usize, u64),
        replica: ReplicaKey,
        index: u64,
    ) -> Result<(), Violation> {
        let before = self.applied.entry((life, replica)).or_default();
        if index < *before {
            let what =
                format!("node {} went back from {before} to {index} in replica {replica}", life.0);
            return Err(Violation::new(NAME, what));
        }
        *before = index;
        Ok(())
    }

    pub(super) fn answered(
        &self,
        operation: &Operation,
        answer: &Answer,
        reference: &Reference,
    ) -> Result<(), Violation> {
        let partition = operation.partition;
        let wrong = |what: String| {
            Err(Violation::new(
                NAME,
                format!("partition {partition}, client {}: {what}", operation.client),
            ))
        };
        match answer {
            Answer::Registered(_) => Ok(()),
            Answer::Written { revision, met, existed, current } => {
                let Some(outcome) = reference.outcome(*revision) else {
                    return wrong(format!(
                        "a write was answered at {revision}, which is no command"
                    ));
                };
                let told = (*met, *existed, *current);
                let did = (outcome.conditions_met, outcome.existed, outcome.current_revision);
                if told != did {
                    return wrong(format!(
                        "the write at {revision} was answered {told:?} (met, existed, current), \
                         but did {did:?}"
                    ));
                }
                Ok(())
            }
            Answer::Transacted(told) => {
                let Action::Transact(asked) = &operation.action else { return Ok(()) };
                let did = if operation.action.writes() {
                    reference.outcome(told.revision).cloned()
                } else {
                    (told.revision <= reference.last())
                        .then(|| reference.read(told.revision, asked))
                };
                let Some(mut did) = did else {
                    let at = told.revision;
                    return wrong(format!(
                        "a transaction was answered at {at}, which is no command"
                    ));
                };
                if told.answers_dropped {
                    did.answers.clear();
                    did.answers_dropped = true;
                }
                if **told != did {
                    return wrong(format!("{asked:?} was answered {told:?}, but did {did:?}"));
                }
                Ok(())
            }
            Answer::Got { revision, found } => {
                let Action::Get { key, .. } = &operation.action else { return Ok(()) };
                let expected = reference.at(key, *revision);
                let seen = found.as_ref().map(|(value, at)| (*at, value));
                if *revision > reference.last() || expected != seen {
                    return wrong(format!(
                        "{key:?} was read at {revision} as of {:?}, but is of {:?}",
                        seen.map(|s| s.0),
                        expected.map(|e| e.0)
                    ));
                }
                Ok(())
            }
            Answer::Scanned { .. } => Ok(()),
        }
    }
}
