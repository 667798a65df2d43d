//! From what is on disk to replicas that run.

use crate::apply::{Machine, Partition};
use crate::host::RestoredReplica;
use doug_raft::{Batch, ReplicaId};
use doug_storage::StorageError;
use doug_storage::log::HardState;
use doug_storage::store::Recovered;

/// Makes a replica of what was found; its log above the tables is applied again
/// as far as it is known committed.
///
/// # Errors
/// A state block, session or batch that is unreadable: the node must not start, since
/// what it acknowledged cannot be told. A damaged table: the replica must be fenced.
pub fn restore(found: Recovered, seed: u64) -> Result<(Partition, RestoredReplica), StorageError> {
    let Recovered { key, applied, state, hard_state, commit, batches, ambiguous_tail, tree } =
        found;
    let unreadable =
        |what: String| StorageError::Refused(format!("replica {key} cannot be started: {what}"));
    let tree = tree?;
    let machine = Machine::restore(&state, &tree.view()).map_err(|error| match error {
        StorageError::Refused(what) => unreadable(what),
        other => other,
    })?;
    let batches: Result<Vec<Batch>, _> =
        batches.into_iter().map(|batch| Batch::decode(batch.data)).collect();
    let hard_state = hard_state.unwrap_or_default();
    // A snapshot may be of a later term than the log has heard of: in that term
    // this replica has voted for nobody, for a vote would have been durable.
    let hard_state = match hard_state.term < applied.term {
        true => HardState { term: applied.term, vote: None },
        false => hard_state,
    };
    let restored = RestoredReplica {
        replica: key,
        descriptor: machine.descriptor().clone(),
        term: hard_state.term,
        vote: hard_state.vote.map(ReplicaId),
        applied: (applied.index, applied.term),
        applied_time: machine.time(),
        commit,
        feature_level: machine.feature_level(),
        ambiguous_tail,
        batches: batches.map_err(|error| unreadable(error.to_string()))?,
        seed,
    };
    Ok((Partition::new(key, tree, machine, applied), restored))
}
