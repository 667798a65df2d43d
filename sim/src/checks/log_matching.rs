//! "Logs match": where two logs hold an entry of one index and term, they are
//! the same up to there (paper, §5.3).

use super::Violation;
use doug_raft::Raft;

/// Batches compared below the last common one.
const DEPTH: usize = 100;

pub(super) fn compare(first: &Raft, second: &Raft) -> Result<(), Violation> {
    let mut index = first.last_index().min(second.last_index());
    let least = first.first_index().max(second.first_index());
    while index >= least && first.term_at(index) != second.term_at(index) {
        index -= 1;
    }
    // What both know committed is compared when it is applied.
    let committed = first.commit().min(second.commit());
    for depth in 0..DEPTH {
        if index < least || (depth > 0 && index < committed) {
            break;
        }
        let bounds = (first.batch_bounds(index), second.batch_bounds(index));
        match bounds {
            (Some(one), Some(other)) if one == other => index = one.1 - 1,
            (one, other) => {
                let what = format!(
                    "partition {}: replicas {} and {} agree above {index} but hold {one:?} and \
                     {other:?} there (term, first, last)",
                    first.partition(),
                    first.id(),
                    second.id()
                );
                return Err(Violation::new("logs match", what));
            }
        }
    }
    Ok(())
}
