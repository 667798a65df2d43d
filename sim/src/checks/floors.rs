//! "History is kept": the floor rises by commands alone, not too early, and no replica collects
//! above it; from the floor on every revision reads as it was.

use super::Violation;
use crate::reference::Reference;
use doug_raft::Batch;
use doug_storage::tree::{ReadError, ScanRange, View};

const NAME: &str = "history is kept";

fn broken<T>(what: String) -> Result<T, Violation> {
    Err(Violation::new(NAME, what))
}

/// A batch was committed that may raise the floor.
///
/// # Errors
/// The floor passes what is younger than the keyspace declares, and within its bytes; or its
/// stamp is not that of its revision.
pub(super) fn check(reference: &Reference, batch: &Batch) -> Result<(), Violation> {
    for index in batch.base..=batch.last() {
        let Some(floor) = reference.floor_raised_at(index) else { continue };
        let partition = batch.partition;
        let Some(of) = reference.batch_at(floor.revision) else {
            return broken(format!("partition {partition}: the floor {floor:?} is of no batch"));
        };
        if of.time.stamp.0 != floor.stamp {
            return broken(format!(
                "partition {partition}: the command at {index} says floor {} and stamp {}, but \
                 the stamp there is {}",
                floor.revision, floor.stamp, of.time.stamp.0
            ));
        }
        let history = reference.history();
        let age = batch.time.clock.0 - of.time.clock.0;
        let later = reference.batches().iter().rev().take_while(|later| later.base > of.base);
        let written: u64 = later.map(Batch::size).sum();
        if age < history.retain_milliseconds && written < history.max_bytes {
            return broken(format!(
                "partition {partition}: the command at {index} raises the floor to {}, which is \
                 {age} ms old with {written} bytes after it, and the keyspace declares {history:?}",
                floor.revision
            ));
        }
    }
    Ok(())
}

/// What a replica has collected is below the floor that was committed last.
///
/// # Errors
/// It is not: somebody has moved the floor without a command.
pub(super) fn not_passed(node: &str, reference: &Reference, view: &View) -> Result<(), Violation> {
    let (collected, floor) = (view.gc_floor(), reference.floor().revision);
    if collected <= floor {
        return Ok(());
    }
    broken(format!("{node} collects up to {collected}, and the floor is {floor}"))
}

/// At two revisions that a replica can read, the oldest and one between, it holds what was there.
///
/// # Errors
/// It does not.
pub(super) fn compare(node: &str, reference: &Reference, view: &View) -> Result<(), Violation> {
    let (floor, newest) = (view.gc_floor(), view.revision());
    let between = floor + (newest - floor) * (newest % 7) / 7;
    for revision in [floor, between] {
        let Some(found) = all(view, revision) else { return Ok(()) };
        let expected = reference.all(revision);
        let expected: Vec<_> =
            expected.map(|(key, value, at)| (key.clone(), value.clone(), at)).collect();
        if found == expected {
            continue;
        }
        let differs = found.iter().zip(&expected).find(|(one, other)| one != other);
        return broken(format!(
            "{node} holds {} keys at revision {revision} where {} were; its floor is {floor}, and \
             it has applied {newest}; (found, expected) first: {:?}",
            found.len(),
            expected.len(),
            differs.map(|(one, other)| ((&one.0, one.2), (&other.0, other.2)))
        ));
    }
    Ok(())
}

/// All keys at a revision with values and revisions; nothing while tables cannot be opened.
fn all(view: &View, at: u64) -> Option<Vec<(bytes::Bytes, bytes::Bytes, u64)>> {
    let scan = match view.scan(ScanRange::all(), Some(at)) {
        Ok(scan) => scan,
        Err(ReadError::Storage(_)) => return None,
        Err(error) => panic!("revision {at} is within reach: {error}"),
    };
    let entries = scan.map(|entry| entry.map(|entry| (entry.key, entry.value, entry.revision)));
    entries.collect::<Result<_, _>>().ok()
}
