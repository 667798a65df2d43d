//! An exhaustive check of the consensus core: not a model of it, but the core itself, in every
//! order of events that a small [`Scope`] allows.
//!
//! The simulator draws long histories at random; this takes short ones, all of them. Messages
//! overtake each other, and any of them may be lost: one that is never delivered. Replicas crash
//! and come back with what their disk held. Elections begin whenever a replica likes: timeouts,
//! pre-votes and the leader's silence only keep elections rare, so safety must not hang on them,
//! and here they are off.
//!
//! Checked in every state (paper, figure 3): Election Safety, Leader Completeness, State Machine
//! Safety; that what is committed is on the disks of a quorum; that a read's index covers all that
//! was committed when the read began; and whatever the core itself asserts.
#![deny(missing_docs)]

mod actions;
mod history;
mod network;
mod replica;
mod scope;
mod state;

pub use actions::Action;
pub use history::{History, Violation};
pub use network::Envelope;
pub use scope::{GroupModel, Scope};
pub use state::State;
