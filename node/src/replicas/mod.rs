//! How a node comes by its replicas: they are found on its disk, or made anew.

mod newcomer;
mod recovery;

pub use newcomer::{Newcomer, newcomer};
pub use recovery::restore;
