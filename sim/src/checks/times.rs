//! "Clocks never fall, stamps rise, and one mad clock moves nothing" (docs/time.md): in every committed log.

use super::Violation;
use crate::reference::Reference;
use doug_raft::{Batch, Clock};

const NAME: &str = "clocks and stamps";

/// A batch is about to be committed. `bound` is the greatest clock that good clocks let it have.
pub(super) fn check(reference: &Reference, batch: &Batch, bound: Clock) -> Result<(), Violation> {
    let time = batch.time;
    let wrong = |what: String| Err(Violation::new(NAME, format!("{batch:?} {what}")));
    if time.clock > bound {
        return wrong(format!("has clock {}, but no good clock is beyond {bound}", time.clock));
    }
    let before = batch.base.checked_sub(1).and_then(|end| reference.batch_at(end));
    match before.map(|before| before.time) {
        Some(before) if time.clock < before.clock => {
            wrong(format!("has clock {}, after one of {}", time.clock, before.clock))
        }
        Some(before) if time.stamp <= before.stamp => {
            wrong(format!("has stamp {}, after one of {}", time.stamp, before.stamp))
        }
        _ => Ok(()),
    }
}
