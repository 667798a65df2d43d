//! From what is on disk to replicas that run.

use crate::apply::{Machine, ReplicaData};
use crate::host::RestoredReplica;
use doug_raft::{Batch, ReplicaId};
use doug_storage::StorageError;
use doug_storage::log::{HardState, LogReader};
use doug_storage::store::Recovered;

/// Makes a replica of what was found; its log above the tables is applied again
/// as far as it is known committed.
///
/// Batches are kept while `memory` lasts, which is taken from; the others are evicted, and read
/// from the log again when they are applied or sent. A log may be many times as large as the memory
/// that the node may use.
///
/// # Errors
/// A state block, session or batch that is unreadable: the node must not start, since
/// what it acknowledged cannot be told. A damaged table: the replica must be fenced.
pub fn restore(
    found: Recovered,
    log: &LogReader,
    memory: &mut u64,
    seed: u64,
) -> Result<(ReplicaData, RestoredReplica), StorageError> {
    let Recovered { key, applied, state, hard_state, commit, batches, ambiguous_tail, tree } =
        found;
    let unreadable =
        |what: String| StorageError::Refused(format!("replica {key} cannot be started: {what}"));
    let tree = tree?;
    let machine = Machine::restore(&state, &tree.view()).map_err(|error| match error {
        StorageError::Refused(what) => unreadable(what),
        other => other,
    })?;
    let mut restored_batches = Vec::with_capacity(batches.len());
    for logged in batches {
        for encoded in log.read(key, logged.base, logged.last())? {
            let batch = Batch::decode(encoded).map_err(|error| unreadable(error.to_string()))?;
            restored_batches.push(within(batch, memory));
        }
    }
    let hard_state = hard_state.unwrap_or_default();
    // A snapshot may be of a later term than the log has heard of: in that term
    // this replica has voted for nobody, for a vote would have been durable.
    let hard_state = if hard_state.term < applied.term {
        HardState { term: applied.term, vote: None }
    } else {
        hard_state
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
        batches: restored_batches,
        seed,
    };
    Ok((ReplicaData::new(key, tree, machine, applied), restored))
}

/// The batch with its bytes if there is memory for them, else without. Memberships are needed at
/// once.
fn within(mut batch: Batch, memory: &mut u64) -> Batch {
    match memory.checked_sub(batch.size()) {
        Some(left) => *memory = left,
        None if batch.kind.is_membership() => {}
        None => batch.evict(),
    }
    batch
}
