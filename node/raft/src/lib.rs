//! DougDB's consensus core: no I/O, no clock, no threads, no randomness of its own.
//!
//! One [`Raft`] is one replica of one partition. Its host feeds it messages, ticks, proposals and
//! the news of what became durable, each with the time as an argument, and takes [`Effect`]s out:
//! records to write, messages to send, batches to apply. The same calls always give the same
//! effects, so a whole cluster can be driven from one seed.
//!
//! Durability is gated here, not in the host: a message that promises something durable (a vote, an
//! acknowledgement) leaves only after [`Raft::persisted`] has covered the record it promises.
//!
//! "The paper" is Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm*; "the
//! thesis" is Ongaro, *Consensus: Bridging Theory and Practice*. Rules and departures are listed in
//! `docs/consensus.md`.
#![deny(missing_docs)]

mod apply;
mod batch;
mod clock;
mod config;
mod configuration;
mod durability;
mod effects;
mod election;
mod follow;
mod ids;
mod inflight;
mod invariants;
mod lease;
mod log;
mod membership;
mod membership_change;
mod message;
mod mutant;
mod node_liveness;
mod progress;
mod propose;
mod quiesce;
mod quorum;
mod raft;
mod random;
mod read_index;
mod recovery;
mod replicate;
mod snapshot;
mod status;
mod tail;
mod time;
mod transfer;

pub use batch::{
    Batch, BatchError, BatchKind, Commands, FORMAT_VERSION, HEADER_BYTES, RECOVERY_INDEXES,
};
pub use clock::{BatchTime, Clock, Stamp};
pub use config::{Config, Restored};
pub use configuration::Configuration;
pub use effects::{Effect, LogWrite};
pub use ids::{Index, PartitionId, ReadId, ReplicaId, Term, Ticket};
pub use lease::LeaseConfig;
pub use membership::{MEMBERSHIP_FORMAT_VERSION, Membership, MembershipError};
pub use membership_change::ChangeError;
pub use message::{Message, Verdict};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use node_liveness::NodeLiveness;
pub use progress::ProgressState;
pub use propose::{ProposeError, Proposed};
pub use quiesce::{LivenessEpoch, UnquiesceCause};
pub use quorum::VoteResult;
pub use raft::{Raft, Role};
pub use recovery::{RECOVERY_TERMS, RecoverError};
pub use status::PeerStatus;
pub use time::Time;
pub use transfer::TransferError;
