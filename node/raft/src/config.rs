//! What a replica is told at its start.

use std::time::Duration;

use crate::batch::Batch;
use crate::clock::BatchTime;
use crate::ids::{Index, PartitionId, ReplicaId, Term};
use crate::lease::LeaseConfig;
use crate::membership::Membership;

/// Settings of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The group.
    pub partition: PartitionId,
    /// This replica's id in the group.
    pub id: ReplicaId,
    /// Seeds the randomised timeouts and the ids of forwarded reads; draw a fresh one at each start
    /// of the process.
    pub seed: u64,
    /// Shortest election timeout, and how long hearing a leader makes this replica refuse others'
    /// candidacies. Default 150 ms.
    pub election_timeout_min: Duration,
    /// Longest election timeout, and how long a leader goes on without a quorum. Default 300 ms.
    pub election_timeout_max: Duration,
    /// Pause between heartbeats, below `election_timeout_min`. Default 50 ms.
    pub heartbeat_interval: Duration,
    /// A suspected leader's followers campaign after a random part of this. Default 15 ms.
    pub suspicion_delay: Duration,
    /// Batches sent to a peer and not yet acknowledged, at most. Default 256.
    pub max_inflight_batches: u32,
    /// Bytes sent to a peer and not yet acknowledged; one message may overshoot. Default 8 MiB.
    pub max_inflight_bytes: u64,
    /// Bytes of batches in one Append, or one larger batch alone. Default 1 MiB.
    pub max_append_bytes: u64,
    /// Bytes of proposals not yet committed; one proposal is always let in. Default 64 MiB.
    pub max_uncommitted_bytes: u64,
    /// Reads waiting for their index; more are aborted at once. Default 65,536.
    pub max_waiting_reads: u32,
    /// Ask whether an election could be won before raising the term (thesis, 9.6). Default true.
    pub pre_vote: bool,
    /// Leaders without a quorum step down, and followers in touch with a leader ignore candidates
    /// (thesis, 6.2, 4.2.3). Default true.
    pub check_quorum: bool,
    /// For how long without a leader the votes of a replica with an ambiguous tail stay marked; its
    /// start counts as hearing one. Default 60 s.
    pub ambiguity_patience: Duration,
    /// Serve reads without a round while a quorum has promised to elect nobody. Needs
    /// `check_quorum`. Default off.
    pub lease: Option<LeaseConfig>,
    /// A bug to put in.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::Mutant>,
}

impl Config {
    /// The default settings.
    #[must_use]
    pub fn new(partition: PartitionId, id: ReplicaId, seed: u64) -> Config {
        Config {
            partition,
            id,
            seed,
            election_timeout_min: Duration::from_millis(150),
            election_timeout_max: Duration::from_millis(300),
            heartbeat_interval: Duration::from_millis(50),
            suspicion_delay: Duration::from_millis(15),
            max_inflight_batches: 256,
            max_inflight_bytes: 8 << 20,
            max_append_bytes: 1 << 20,
            max_uncommitted_bytes: 64 << 20,
            max_waiting_reads: 65_536,
            pre_vote: true,
            check_quorum: true,
            ambiguity_patience: Duration::from_secs(60),
            lease: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    pub(crate) fn check(&self) {
        assert!(self.id.0 > 0, "replica ids start at 1");
        assert!(
            !self.heartbeat_interval.is_zero()
                && self.heartbeat_interval < self.election_timeout_min,
            "the heartbeat interval ({:?}) must be positive and below the election timeout ({:?})",
            self.heartbeat_interval,
            self.election_timeout_min
        );
        assert!(
            self.election_timeout_min <= self.election_timeout_max,
            "the shortest election timeout ({:?}) exceeds the longest ({:?})",
            self.election_timeout_min,
            self.election_timeout_max
        );
        if let Some(lease) = self.lease {
            assert!(
                self.check_quorum && lease.max_drift_ppm < 1_000_000,
                "leases need check_quorum, and clocks that differ by less than a factor of two"
            );
        }
        assert!(
            self.max_inflight_batches > 0,
            "max_inflight_batches is 0: nothing could ever be replicated"
        );
    }
}

/// What the log and the manifest held when the process started. A new group's first replicas start
/// from [`Restored::empty`] with the same membership; replicas that join later, from one without
/// members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restored {
    /// The current term.
    pub term: Term,
    /// The vote given in it.
    pub vote: Option<ReplicaId>,
    /// The membership as of `applied`; one that comes later in `batches` replaces it.
    pub membership: Membership,
    /// Index and term just before the first batch kept; (0, 0) for a whole log.
    pub snapshot: (Index, Term),
    /// Clock and stamp of the last batch before the first one kept.
    pub snapshot_time: BatchTime,
    /// What the state machine holds: the end of a batch, at or above `snapshot`.
    pub applied: Index,
    /// The commit index known, or less; never above the last batch.
    pub commit: Index,
    /// All durable batches above `snapshot`, adjacent and in order. They may be evicted, so that a
    /// start needs no memory for the whole log, except those of memberships.
    pub batches: Vec<Batch>,
    /// Batches that this replica acknowledged in `term` may be missing at the end. Not terms or
    /// votes.
    pub ambiguous_tail: bool,
}

impl Restored {
    /// A replica that has never held anything.
    #[must_use]
    pub fn empty(membership: Membership) -> Restored {
        Restored {
            term: 0,
            vote: None,
            membership,
            snapshot: (0, 0),
            snapshot_time: BatchTime::default(),
            applied: 0,
            commit: 0,
            batches: Vec::new(),
            ambiguous_tail: false,
        }
    }
}
