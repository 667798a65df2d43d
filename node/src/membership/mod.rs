//! Moving a partition from the voters it has to those it is to have, and what each
//! node makes of it. Decisions only: adapters and the simulator carry them out.
//!
//! The goal stands in the partition's descriptor, which stands in its log; so
//! whoever leads next goes on from the descriptor alone.

mod goal;
mod left_out;
mod map;
mod newcomer;
mod plan;
mod recovery;

pub use goal::{refusal, with_goal};
pub use left_out::{is_left_out, left_out, without};
pub use map::{HeldDescriptors, MapUpdate};
pub use newcomer::{WantedReplica, check_newcomer};
pub use plan::{LAG, Peer, Situation, Step, next_step};
pub use recovery::{RecoveryOrder, begin_anew};
