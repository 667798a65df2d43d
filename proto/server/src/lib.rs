//! What nodes and facades share as servers: how many descriptors and connections
//! they may have.
#![deny(missing_docs)]

pub mod descriptors;
