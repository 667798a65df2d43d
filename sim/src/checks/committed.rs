//! "Committed never lost": what one node applied, every node applies at the same
//! place, and every later leader holds.

use super::Violation;
use crate::reference::{Reference, Relation};
use doug_raft::{Batch, Raft};

const NAME: &str = "committed never lost";

pub(super) fn commit(
    reference: &mut Reference,
    node: &str,
    batch: &Batch,
) -> Result<(), Violation> {
    let (partition, base, last, term) = (batch.partition, batch.base, batch.last(), batch.term);
    let what = match reference.commit(batch) {
        Relation::Fits => return Ok(()),
        Relation::Contradicts => {
            let known = reference.batch_at(base).map_or(0, |known| known.term);
            format!(
                "partition {partition}: {node} applies a batch of term {term} at {base} to {last}, \
                 where one of term {known} was committed before"
            )
        }
        Relation::LeavesGap => format!(
            "partition {partition}: {node} applies {base} to {last}, but nobody ever committed \
             what lies between {} and that",
            reference.last()
        ),
    };
    Err(Violation::new(NAME, what))
}

/// Leader completeness (paper, §5.4): a new leader's log holds everything that was
/// committed in earlier terms. Whatever is committed is so by an entry of its
/// leader's own term, so no commit is of a later term than the last batch; and a
/// leader of an older term than that, elected by votes that were long under way,
/// owes nothing.
pub(super) fn held_by_leader(reference: &Reference, raft: &Raft) -> Result<(), Violation> {
    let (partition, leader, term) = (raft.partition(), raft.id(), raft.term());
    if reference.batches().last().is_some_and(|last| term < last.term) {
        return Ok(());
    }
    let lacks = |index: u64| {
        let what = format!(
            "partition {partition}: replica {leader} leads term {term} without the entry {index}, \
             which was committed"
        );
        Err(Violation::new(NAME, what))
    };
    if raft.last_index() < reference.last() {
        return lacks(raft.last_index() + 1);
    }
    for batch in reference.batches().iter().rev().take(200) {
        if batch.last() < raft.first_index() {
            break;
        }
        if raft.term_at(batch.last()) != Some(batch.term) {
            return lacks(batch.last());
        }
    }
    Ok(())
}
