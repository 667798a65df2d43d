//! What the node's threads report: which records are durable, what is applied, and what is in
//! tables, so that the log need not keep it any longer.

use super::Host;
use crate::work::Sequence;
use bytes::Bytes;
use doug_raft::{Index, Time};
use doug_storage::ReplicaKey;

impl Host {
    pub(super) fn persisted(&mut self, now: Time, upto: Sequence, passed: &[Sequence]) {
        for (partition, ticket) in self.persisting.durable(upto, passed) {
            if let Some(replica) = self.replicas.get_mut(&partition) {
                replica.raft.persisted(now, ticket);
                self.dirty.insert(partition);
            }
        }
    }

    pub(super) fn applied(&mut self, key: ReplicaKey, index: Index, feature_level: u32) {
        self.end_leaving(|leaving| leaving.replica == key && leaving.until <= index);
        self.with(key, |replica| {
            replica.feature_level = replica.feature_level.max(feature_level);
            replica.applied = replica.applied.max(index);
            replica.applying.applied(replica.applied);
            replica.raft.applied(replica.applied);
        });
    }

    /// Proposes what the partition itself wants, if it is led from here: one after the other, for
    /// as long as one is under way the state that the next was decided by is not known.
    pub(super) fn propose_own(&mut self, now: Time, key: ReplicaKey, command: Bytes) {
        self.with(key, |replica| {
            let under_way = replica.proposed_own.is_some_and(|(term, index)| {
                term == replica.raft.term() && index > replica.applied
            });
            if replica.leads()
                && !under_way
                && let Ok(proposed) = replica.raft.propose(now, &[command])
            {
                replica.proposed_own = Some((proposed.term, proposed.base));
            }
        });
    }

    pub(super) fn flushed(&mut self, key: ReplicaKey, index: Index, pressure: bool) {
        let budget = if pressure { 0 } else { self.config.retained_log_bytes };
        let mut floor = None;
        self.with(key, |replica| {
            replica.retention.flushed(index);
            let peers = replica.raft.peers();
            // A follower does not know what the others have.
            let everyone = peers.iter().map(|peer| peer.matched).min().unwrap_or(0);
            floor = replica.retention.advance(budget, everyone);
            if let Some(floor) = floor {
                replica.raft.compact(floor);
            }
        });
        if let Some(floor) = floor {
            self.effects.floors.push((key, floor));
        }
        if pressure {
            self.effects.flush.push(key);
        }
    }
}
