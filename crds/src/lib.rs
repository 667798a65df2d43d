//! The custom resources of DougDB: Rust types, and the YAML generated from them.
//!
//! What can be checked without asking anyone is checked by the API server: by
//! the schema, and by CEL rules whose messages say what to do instead. Whatever
//! is repeated has a greatest number and length, because the API server adds up
//! what the rules could cost at worst, and because one object must fit into etcd.
#![deny(missing_docs)]

mod facade;
mod limits;
mod map;
mod resources;
mod schema;
mod spec;
mod status;
mod template;

pub use facade::{FacadeSpec, ServiceKind, ServiceSpec, TrafficPolicy};
pub use map::{MapHash, MapNode, MapPartition, MapPorts, MapRange, MapRouting, StatusMap};
pub use resources::Resources;
pub use spec::{
    ClusterSpec, DougCluster, DougClusterSpec, HashPartitioning, IpFamily, IpFamilyPolicy,
    MaintenanceWindow, Mode, Network, NodeConfig, NodeTemplate, Partitioning, Platform, PullPolicy,
    RangePartitioning, Scheduling, SplitKey, Spread, Storage, Topology, WhenDeleted,
    WhenUnsatisfiable,
};
pub use status::{
    Caretaker, Creation, CreationNode, DougClusterStatus, FacadeStatus, NodeState, NodeStatus,
    Replacing, Rival, Summary,
};

use kube::CustomResourceExt;

/// The definition of the resource as YAML, for `kubectl apply` and the chart.
pub fn yaml() -> String {
    let definition = schema::tidy(DougCluster::crd());
    serde_yaml_ng::to_string(&definition).expect("a definition of maps, lists and strings is YAML")
}
