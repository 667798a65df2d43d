//! Calls to a node's Admin service, and to what serves its map: who calls, what, and
//! what is answered.

use doug_node::membership::WantedReplica;
use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Goal, Node, Partition, PartitionMap};
use std::sync::Arc;

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A node: it asks again until it sees what it asked for, so it needs no answer.
    Node,
    /// The operator, with the number of its call.
    Operator(u64),
    /// A client.
    Client(usize),
}

/// One call.
#[derive(Clone, Debug)]
pub enum Call {
    /// `Admin.Join`.
    Join(Arc<PartitionMap>),
    /// `Admin.UpdateAddresses`.
    UpdateAddresses {
        /// The epoch of the change.
        epoch: u64,
        /// Entries of nodes.
        nodes: Vec<Node>,
        /// Entries of clusters.
        clusters: Vec<Cluster>,
    },
    /// `Admin.CreateReplica`.
    CreateReplica(Box<WantedReplica>),
    /// `Admin.ChangeMembers`.
    ChangeMembers {
        /// The partition.
        partition: u64,
        /// Where it is to go.
        goal: Goal,
        /// The generation that the caller has seen, or 0.
        generation: u64,
    },
    /// `Doug.WatchMap`, once.
    Map,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Said {
    /// It is done.
    Done,
    /// The goal is committed, or was reached.
    Goal(Box<Partition>),
    /// The map.
    Map(Arc<PartitionMap>),
    /// A refusal, in words, with the leader if it names one.
    Refused {
        /// Who leads.
        leader: Option<NodeId>,
        /// Why.
        why: String,
    },
}
