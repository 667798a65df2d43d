//! "Scans consistent": a scan shows every key of the partition, in order, all at
//! one revision.

use super::Violation;
use crate::history::{Action, Operation};
use crate::reference::Reference;
use bytes::Bytes;

pub(super) fn compare(
    operation: &Operation,
    reference: &Reference,
    revision: u64,
    entries: &[(Bytes, Bytes, u64)],
) -> Result<(), Violation> {
    let Action::Scan { reverse, .. } = operation.action else { return Ok(()) };
    let mut expected: Vec<_> = reference.all(revision).collect();
    if reverse {
        expected.reverse();
    }
    let seen = entries.iter().map(|(key, value, at)| (key, value, *at));
    if revision <= reference.last() && seen.eq(expected.iter().copied()) {
        return Ok(());
    }
    let what = format!(
        "partition {}: a scan at {revision} shows {} keys that are not the {} of that revision",
        operation.partition,
        entries.len(),
        expected.len()
    );
    Err(Violation::new("scans consistent", what))
}
