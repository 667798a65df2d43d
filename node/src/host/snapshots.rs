//! Taking a snapshot in: the replica stands still while its data is replaced.

use super::Host;
use super::effects::Reply;
use super::faults::{not_here, not_leader, undecided};
use super::members::membership;
use super::replica::Replica;
use crate::work::{InstalledSnapshot, RequestId};
use doug_proto::error::Fault;
use doug_raft::Time;
use doug_storage::ReplicaKey;
use doug_storage::log::Record;

/// A snapshot that a replica is about to take in. From its arrival until it is
/// installed the replica hears no message and campaigns for nothing: a record
/// still being written could turn the log into one that the snapshot contradicts.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingSnapshot {
    /// Tells it from others, so that the end of one is not taken for another's.
    id: u64,
    /// Who waits for the word to install it; `None` once that was given.
    waiting: Option<RequestId>,
}

impl IncomingSnapshot {
    /// Who still waits for the word to install it.
    pub(super) fn waiting(self) -> Option<RequestId> {
        self.waiting
    }
}

impl Host {
    /// The snapshot's tables are complete on this node.
    pub(super) fn snapshot_received(&mut self, request: RequestId, key: ReplicaKey, id: u64) {
        let node = self.config.node;
        let replica = self.replicas.get_mut(&key.partition).filter(|replica| replica.key == key);
        let fault = match replica {
            None => not_here(node, key.partition),
            // A leader holds everything committed: the sender has lost its leadership.
            Some(replica) if replica.leads() => not_leader(replica),
            Some(replica) if replica.snapshot.is_some() => {
                Fault::unavailable("another snapshot is being installed here: send it again")
            }
            Some(replica) => {
                replica.snapshot = Some(IncomingSnapshot { id, waiting: Some(request) });
                self.dirty.insert(key.partition);
                return;
            }
        };
        self.effects.replies.push((request, Err(fault)));
    }

    /// The snapshot is installed, or given up.
    pub(super) fn snapshot_installed(
        &mut self,
        now: Time,
        key: ReplicaKey,
        id: u64,
        installed: Option<Box<InstalledSnapshot>>,
    ) {
        let replica = self.replicas.get_mut(&key.partition).filter(|replica| replica.key == key);
        let Some(replica) = replica else { return };
        if replica.snapshot.take_if(|incoming| incoming.id == id).is_none() {
            return;
        }
        self.dirty.insert(key.partition);
        // The log may have reached the snapshot's very index meanwhile; then it goes
        // on, and must not be forgotten up to there.
        let installed = installed.filter(|installed| installed.index > replica.applied);
        let Some(installed) = installed else { return };
        let InstalledSnapshot { index, term, time, descriptor, feature_level } = *installed;
        let unknown = replica.pending.forget(index);
        replica.raft.restore(now, (index, term), time, membership(&descriptor));
        replica.feature_level = replica.feature_level.max(feature_level);
        replica.applied = replica.applied.max(index);
        replica.applying.applied(index);
        replica.retention.reset(index);
        for request in unknown {
            self.effects.replies.push((request, Err(undecided(key.partition))));
        }
        let reset = Record::Reset { replica: key, index, term };
        self.effects.records.push((self.persisting.number(), reset));
        self.effects.floors.push((key, index));
    }
}

/// Gives the word to install, once everything the replica has asked to be
/// written is durable.
pub(super) fn let_in(replica: &mut Replica) -> Option<(RequestId, Result<Reply, Fault>)> {
    if !replica.raft.is_settled() {
        return None;
    }
    let request = replica.snapshot.as_mut()?.waiting.take()?;
    Some((request, Ok(Reply::Install)))
}
