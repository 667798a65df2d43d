//! Moving a partition from the voters it has to those it is to have.
//!
//! The goal stands in the partition's descriptor, which stands in its log; so
//! whoever leads next goes on from the descriptor alone.

mod goal;
mod plan;

pub use goal::{refusal, with_goal};
pub use plan::{LAG, Peer, Situation, Step, next_step};
