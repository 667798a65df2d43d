//! What all nodes of a database say at one time.

use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, Partition, PartitionMap};
use doug_proto::v1::{NodeState, NodeStatus, ReplicaRole, ReplicaStatus, StatusResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one node said, or why it did not.
pub type Told = Result<NodeStatus, Fault>;

/// Every node's answer, and the map they make together.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The merged map.
    pub map: Arc<PartitionMap>,
    /// By node, for all that were not removed.
    pub nodes: BTreeMap<NodeId, Told>,
}

impl Survey {
    /// The replica that leads a partition, and its node: of two that believe to, the
    /// one of the later term.
    pub fn leader(&self, partition: u64) -> Option<(NodeId, &ReplicaStatus)> {
        self.replicas(partition)
            .filter(|(_, replica)| replica.role() == ReplicaRole::Leader)
            .max_by_key(|(_, replica)| replica.term)
    }

    /// Every replica of a partition that any node holds, damaged ones too.
    pub fn replicas(&self, partition: u64) -> impl Iterator<Item = (NodeId, &ReplicaStatus)> {
        let answers = self.nodes.iter().filter_map(|(id, told)| Some((*id, told.as_ref().ok()?)));
        answers
            .flat_map(|(id, status)| status.replicas.iter().map(move |replica| (id, replica)))
            .filter(move |(_, replica)| replica.partition == partition)
    }

    /// A partition's descriptor: as its leader has it, else as the map does.
    pub fn descriptor(&self, partition: u64) -> Option<Partition> {
        let led = self.leader(partition).and_then(|(_, replica)| replica.descriptor.as_ref());
        let led = led.and_then(|wire| Partition::from_wire(wire).ok());
        led.or_else(|| self.map.partition(partition).cloned())
    }

    /// The descriptors of all partitions, each as [`Survey::descriptor`] has it.
    pub fn descriptors(&self) -> impl Iterator<Item = Partition> {
        let ids = self.map.partitions.iter().map(|partition| partition.id);
        ids.filter_map(|id| self.descriptor(id))
    }

    /// Nodes that hold a replica of a partition which its descriptor does not list.
    pub fn leftovers(&self, descriptor: &Partition) -> Vec<NodeId> {
        let left = self
            .replicas(descriptor.id)
            .filter(|(_, replica)| descriptor.member(replica.replica).is_none());
        left.map(|(node, _)| node).collect()
    }

    /// The same as a facade's answer to `Status`.
    pub fn status(&self) -> StatusResponse {
        let nodes = self.nodes.iter().map(|(id, told)| {
            let entry = self.map.node(*id);
            let text = |of: fn(&Node) -> &String| entry.map(of).cloned().unwrap_or_default();
            match told {
                Ok(status) => status.clone(),
                Err(fault) => NodeStatus {
                    id: id.to_string(),
                    name: text(|node| &node.name),
                    cluster: text(|node| &node.cluster),
                    state: NodeState::Unreachable.into(),
                    message: fault.message.clone(),
                    ..Default::default()
                },
            }
        });
        StatusResponse {
            database: self.map.database.to_string(),
            epoch: self.map.epoch,
            nodes: nodes.collect(),
            version: doug_proto::VERSION.to_owned(),
            next_after_partition: 0,
        }
    }
}
