//! "Nobody sleeps without a leader": when all of a partition sleep, one of them leads, and all are where it is.

use super::Violation;
use doug_raft::{Raft, Role};

/// Compares the replicas of a partition at one moment.
pub(super) fn check(partition: u64, replicas: &[&Raft]) -> Result<(), Violation> {
    let Some(first) = replicas.first() else { return Ok(()) };
    let whole = replicas.len() == first.configuration().all_voters().len();
    if !whole || !replicas.iter().all(|raft| raft.is_asleep()) {
        return Ok(());
    }
    let place = |raft: &Raft| (raft.term(), raft.commit(), raft.last_index());
    let leader = replicas.iter().find(|raft| raft.role() == Role::Leader);
    let sound = leader.is_some_and(|leader| {
        replicas
            .iter()
            .all(|raft| place(raft) == place(leader) && raft.leader() == Some(leader.id()))
    });
    match sound {
        true => Ok(()),
        false => {
            let states: Vec<_> =
                replicas.iter().map(|raft| (raft.id(), raft.role(), place(raft))).collect();
            let what = format!("partition {partition}: all sleep, as {states:?}");
            Err(Violation::new("nobody sleeps without a leader", what))
        }
    }
}
