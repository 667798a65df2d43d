//! "Clocks never fall, stamps rise, and one faulty clock moves nothing" (docs/time.md): in every
//! committed log.

use super::Violation;
use crate::reference::Reference;
use doug_raft::{Batch, BatchKind, Clock, Configuration, Membership};
use std::collections::BTreeSet;

const NAME: &str = "clocks and stamps";

/// Notes a partition whose group had a single voter once: its clock decides then, good or faulty,
/// and
/// what it decided never falls again.
pub(super) fn note_voters(alone: &mut BTreeSet<u64>, batch: &Batch) {
    let command = batch.commands().next().filter(|_| batch.kind == BatchKind::Configuration);
    let Some(Ok(membership)) = command.map(|command| Membership::decode(&command)) else { return };
    let Configuration { voters, outgoing, .. } = &membership.configuration;
    if voters.len() == 1 || outgoing.len() == 1 {
        alone.insert(batch.partition.0);
    }
}

/// A batch is about to be committed. `bound` is the greatest clock that good clocks let it have,
/// unless one clock alone has decided.
pub(super) fn check(
    reference: &Reference,
    batch: &Batch,
    bound: Option<Clock>,
) -> Result<(), Violation> {
    let time = batch.time;
    let wrong = |what: String| Err(Violation::new(NAME, format!("{batch:?} {what}")));
    if let Some(bound) = bound.filter(|bound| time.clock > *bound) {
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
