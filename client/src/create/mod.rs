//! Making bare nodes a database: `doug create --file`, and the demo.
//!
//! A creation is a specification, and what every declared node says that it is.
//! From these the first map follows by a pure function, so that the same
//! creation run again, or by someone else, is the same map; every node stores
//! it, and refuses a different one. Silence is not emptiness: unless every node
//! answered, nothing is created.

mod plan;
mod procedure;
mod spec;

pub use plan::{NodeIdentity, plan};
pub use procedure::{Created, create};
pub use spec::{
    ClusterSpec, HashSpec, HistorySpec, NodeSpec, Partitioning, PortsSpec, RangeSpec, Spec,
    SplitKey,
};
