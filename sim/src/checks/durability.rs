//! "No acknowledged write lost": every write that was answered stands in the
//! committed log at its revision, whatever the disks forgot.

use super::Violation;
use crate::history::{Action, Answer, Operation};
use crate::reference::Reference;
use std::collections::BTreeMap;

pub(super) fn acknowledged_is_committed(
    history: &[Operation],
    references: &BTreeMap<u64, Reference>,
) -> Result<(), Violation> {
    for operation in history {
        let revision = match &operation.answered {
            Some((_, Answer::Written { revision, met: true, .. })) => revision,
            Some((_, Answer::Transacted(outcome))) => &outcome.revision,
            _ => continue,
        };
        let reference = references.get(&operation.partition);
        let stands = match &operation.action {
            Action::Put { keys, value, .. } => keys.iter().all(|key| {
                reference.and_then(|r| r.at(key, *revision)) == Some((*revision, value))
            }),
            Action::Delete { key } => reference.is_some_and(|r| r.at(key, *revision).is_none()),
            // What it did was compared with the command when it was answered.
            Action::Transact(_) => reference.is_some_and(|r| r.last() >= *revision),
            Action::Register | Action::Get { .. } | Action::Past { .. } | Action::Scan { .. } => {
                true
            }
        };
        if !stands {
            let what = format!(
                "partition {}: the write of client {} acknowledged at revision {revision} is gone",
                operation.partition, operation.client
            );
            return Err(Violation::new("no acknowledged write lost", what));
        }
    }
    Ok(())
}
