//! What nodes and facades share as servers: how many descriptors and connections
//! they may have, and how much memory requests take that are not whole, and answers that nobody reads.
#![deny(missing_docs)]

pub mod answers;
mod body;
mod compact;
pub mod descriptors;
mod frames;
mod gate;
pub mod grpc;
pub mod incoming;
pub mod keyspaces;
mod listen;
pub mod outbox;
pub mod received;
pub mod stall;

pub use body::{CountedBody, HeldByBody};
pub use gate::ConnectionLimits;
pub use listen::listen;
