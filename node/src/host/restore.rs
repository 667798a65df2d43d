//! How a host comes by its replicas: they were found on disk, or are created.

use super::Host;
use super::members::{membership, preferred};
use super::replica::Replica;
use super::uncommitted::Uncommitted;
use doug_proto::map::Partition;
use doug_raft::{Batch, BatchTime, Index, PartitionId, Raft, ReplicaId, Restored, Term, Time};
use doug_storage::ReplicaKey;

/// A replica as it was found on disk.
#[derive(Clone, Debug)]
pub struct RestoredReplica {
    /// The replica.
    pub replica: ReplicaKey,
    /// The partition's descriptor as of the applied index.
    pub descriptor: Partition,
    /// Last term voted in.
    pub term: Term,
    /// The vote in it.
    pub vote: Option<ReplicaId>,
    /// The last index in SSTables, and its term.
    pub applied: (Index, Term),
    /// Clock and stamp of the batch that ends there.
    pub applied_time: BatchTime,
    /// The greatest commit index the log names.
    pub commit: Index,
    /// The partition's feature level as of the applied index.
    pub feature_level: u32,
    /// Batches above the applied index, in order.
    pub batches: Vec<Batch>,
    /// Batches that it acknowledged in its term may be missing at the end.
    pub ambiguous_tail: bool,
    /// Seed of its timeouts.
    pub seed: u64,
}

impl Host {
    /// Takes over a replica found on disk.
    pub fn restore(&mut self, now: Time, found: RestoredReplica) {
        // A cut tail may have taken batches that an older record knew committed;
        // the leader sends them again.
        if found.ambiguous_tail {
            self.ambiguous.insert(found.replica.partition);
        }
        let end = found.batches.last().map_or(found.applied.0, Batch::last);
        let restored = Restored {
            term: found.term,
            vote: found.vote,
            membership: membership(&found.descriptor),
            snapshot: found.applied,
            snapshot_time: found.applied_time,
            applied: found.applied.0,
            commit: found.commit.clamp(found.applied.0, end),
            batches: found.batches,
            ambiguous_tail: found.ambiguous_tail,
        };
        self.add(now, found.replica, found.descriptor, restored, found.seed, found.feature_level);
    }

    pub(super) fn create(&mut self, now: Time, key: ReplicaKey, descriptor: Partition, seed: u64) {
        if self.replicas.contains_key(&key.partition) {
            return;
        }
        let restored = Restored::empty(membership(&descriptor));
        self.add(now, key, descriptor, restored, seed, 1);
    }

    fn add(
        &mut self,
        now: Time,
        key: ReplicaKey,
        descriptor: Partition,
        restored: Restored,
        seed: u64,
        feature_level: u32,
    ) {
        let id = ReplicaId(key.replica);
        let mut config = doug_raft::Config::new(PartitionId(key.partition), id, seed);
        config.election_timeout_min = self.config.election_timeout;
        config.election_timeout_max = 2 * self.config.election_timeout;
        config.heartbeat_interval = self.config.election_timeout / 3;
        config.ambiguity_patience = self.config.ambiguity_patience;
        config.lease = self.config.lease;
        config.max_append_bytes = self.config.append_bytes;
        config.max_uncommitted_bytes =
            Uncommitted::of_one_replica(self.config.uncommitted_log_bytes);
        #[cfg(feature = "simulation")]
        {
            config.mutant = self.config.mutant;
        }
        let applied = restored.applied;
        let preferred = preferred(&descriptor) == Some(id);
        let mut raft = Raft::new(config, restored, now);
        if preferred {
            raft.campaign(now);
        }
        let replica = Replica::new(key, raft, descriptor, applied, feature_level, now);
        let before = self.replicas.insert(key.partition, replica);
        assert!(
            before.is_none(),
            "this host already holds a replica of partition {}",
            key.partition
        );
        self.dirty.insert(key.partition);
        self.liveness.peers_changed = true;
        self.update_indexes(now, key.partition);
    }
}
