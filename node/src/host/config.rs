//! Settings of a host.

#[cfg(feature = "simulation")]
use super::mutant::{LevelBug, RecoveryBug};
use crate::levels::FEATURE_LEVEL;
use doug_proto::ids::NodeId;
use doug_raft::LeaseConfig;
use std::time::Duration;

/// How long a partition is usually idle before it is quiesced.
pub const QUIESCE_AFTER: Duration = Duration::from_secs(3);

/// Settings of a host.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The node.
    pub node: NodeId,
    /// Shortest election timeout; the longest is twice that.
    pub election_timeout: Duration,
    /// For how long without a leader the votes of a replica with an ambiguous tail stay marked
    /// (default 60 s).
    pub ambiguity_patience: Duration,
    /// Set: a leader reads by lease, on this assumption about the nodes' clocks.
    pub lease: Option<LeaseConfig>,
    /// The feature level that this program supports.
    pub supports: u32,
    /// How long a partition is idle before its leader asks it to quiesce. `None`: never, and this
    /// host sends no node heartbeats, so no partition with a replica here is quiesced.
    pub quiesce_after: Option<Duration>,
    /// Random number of the process.
    pub incarnation: u64,
    /// Which of the node's hosts this is.
    pub number: u32,
    /// How many hosts the node has.
    pub hosts: u32,
    /// A batch is closed when it holds this many bytes of commands.
    pub batch_bytes: usize,
    /// Bytes of batches in one message to a peer, or one larger batch alone.
    pub append_bytes: u64,
    /// Bytes of applied log each replica keeps for followers that lag.
    pub retained_log_bytes: u64,
    /// Bytes of batches that all replicas of this host may keep in memory once applied.
    pub payload_cache_bytes: u64,
    /// Bytes that wait for the log before nothing more is taken in. One message more may.
    pub log_backlog_bytes: u64,
    /// Bytes that wait to be applied to all replicas of this host, likewise.
    pub apply_backlog_bytes: u64,
    /// Bytes of batches without a majority that the log can bear, of all replicas of this host.
    pub uncommitted_log_bytes: u64,
    /// Bytes of the largest batch that the log can bear: a larger one is not taken from a peer.
    pub largest_batch_bytes: u64,
    /// A known bug of consensus that the simulator puts in.
    #[cfg(feature = "simulation")]
    pub mutant: Option<doug_raft::Mutant>,
    /// A known bug of feature levels that the simulator puts in.
    #[cfg(feature = "simulation")]
    pub level_bug: Option<LevelBug>,
    /// A known bug of groups that begin anew that the simulator puts in.
    #[cfg(feature = "simulation")]
    pub recovery_bug: Option<RecoveryBug>,
}

impl HostConfig {
    /// The usual settings.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            election_timeout: Duration::from_millis(150),
            ambiguity_patience: Duration::from_secs(60),
            lease: None,
            supports: FEATURE_LEVEL,
            quiesce_after: Some(QUIESCE_AFTER),
            incarnation: 0,
            number: 0,
            hosts: 1,
            batch_bytes: 1 << 20,
            append_bytes: 1 << 20,
            retained_log_bytes: 8 << 20,
            payload_cache_bytes: 16 << 20,
            log_backlog_bytes: 16 << 20,
            apply_backlog_bytes: 32 << 20,
            uncommitted_log_bytes: 192 << 20,
            largest_batch_bytes: 8 << 20,
            #[cfg(feature = "simulation")]
            mutant: None,
            #[cfg(feature = "simulation")]
            level_bug: None,
            #[cfg(feature = "simulation")]
            recovery_bug: None,
        }
    }
}
