//! "The past is read as it was": what clients are told of a revision or a stamp is what was there;
//! and what is refused as compacted lies below a floor that was committed.

use super::Violation;
use crate::history::{Answer, Operation};
use crate::reference::Reference;
use bytes::Bytes;
use doug_client::At;
use doug_proto::v1::HistoryFloor;

const NAME: &str = "the past is read as it was";

/// What was asked.
pub(super) struct Asked<'a> {
    pub(super) key: Option<&'a Bytes>,
    pub(super) at: At,
    pub(super) reverse: bool,
}

pub(super) fn answered(
    operation: &Operation,
    asked: &Asked<'_>,
    answer: &Answer,
    reference: &Reference,
) -> Result<(), Violation> {
    let wrong = |what: String| {
        let (partition, client) = (operation.partition, operation.client);
        Err(Violation::new(NAME, format!("partition {partition}, client {client}: {what}")))
    };
    let Some(revision) = revision_at(reference, asked.at) else {
        return wrong(format!("{:?} was read before it was closed", asked.at));
    };
    match (asked.key, answer) {
        (Some(key), Answer::Got { found, .. }) => {
            let expected = reference.at(key, revision);
            let seen = found.as_ref().map(|(value, at)| (*at, value));
            if expected == seen {
                return Ok(());
            }
            wrong(format!(
                "{key:?} was read at {:?}, which is revision {revision}, as of {:?}, but was of {:?}",
                asked.at,
                seen.map(|seen| seen.0),
                expected.map(|expected| expected.0)
            ))
        }
        (None, Answer::Scanned { entries, .. }) => {
            let mut expected: Vec<_> = reference.all(revision).collect();
            if asked.reverse {
                expected.reverse();
            }
            let seen = entries.iter().map(|(key, value, at)| (key, value, *at));
            if seen.eq(expected.iter().copied()) {
                return Ok(());
            }
            wrong(format!(
                "a scan at {:?}, which is revision {revision}, shows {} keys that are not the {} of \
                 that moment",
                asked.at,
                entries.len(),
                expected.len()
            ))
        }
        _ => wrong(format!("a read of the past was answered with {answer:?}")),
    }
}

/// The revision that a moment means; none while something may still be committed below it.
pub(super) fn revision_at(reference: &Reference, at: At) -> Option<u64> {
    match at {
        At::Revision(revision) => (revision <= reference.last()).then_some(revision),
        At::Stamp(stamp) => {
            let batches = reference.batches();
            let after = batches.partition_point(|batch| batch.time.stamp.0 <= stamp);
            let before = after.checked_sub(1).map(|last| &batches[last]);
            // No batch is stamped 0.
            let is_closed = stamp == 0
                || after < batches.len()
                || before.is_some_and(|last| last.time.stamp.0 == stamp);
            is_closed.then(|| before.map_or(0, |last| last.last()))
        }
    }
}

pub(super) fn refused(
    operation: &Operation,
    floor: HistoryFloor,
    reference: &Reference,
    may_give_up_history: bool,
) -> Result<(), Violation> {
    let crate::history::Action::Past { at, .. } = operation.action else {
        let what = format!("{:?} was refused as compacted", operation.action);
        return Err(Violation::new(NAME, what));
    };
    if is_below(at, floor, reference) || may_give_up_history {
        return Ok(());
    }
    let what = format!("{at:?} was refused: the floor is {floor:?}, which was never committed");
    Err(Violation::new(NAME, what))
}

/// Whether a moment lies before a floor that was committed.
pub(super) fn is_below(at: At, floor: HistoryFloor, reference: &Reference) -> bool {
    let is_below = match at {
        At::Revision(revision) => revision < floor.revision,
        At::Stamp(_) if floor.stamp == 0 => {
            revision_at(reference, at).is_some_and(|revision| revision < floor.revision)
        }
        At::Stamp(stamp) => stamp < floor.stamp,
    };
    is_below && reference.was_floor(floor)
}
