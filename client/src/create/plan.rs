//! From a specification and the nodes' identities to the first map.

use super::spec::Spec;
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Member, Node, Partition, PartitionMap};

/// What a declared node said that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its id.
    pub node: NodeId,
    /// The database it is already a member of; none: its volume is empty.
    pub database: Option<DatabaseId>,
}

/// The first map: epoch 1, every generation 1. Partitions are dealt over the
/// clusters in turn; every node of a cluster votes in each of its partitions,
/// with replica ids from 1. The first voter is the preferred leader, and the
/// list is rotated from partition to partition, so that leaders spread.
///
/// `identities` has, for each cluster, the identities of its nodes in order.
///
/// # Errors
/// `INVALID_ARGUMENT` for a specification that is wrong, or two declared nodes
/// that are the same one.
pub fn plan(
    spec: &Spec,
    identities: &[Vec<NodeIdentity>],
    database: DatabaseId,
) -> Result<PartitionMap, Fault> {
    spec.validate()?;
    let declared = spec.clusters.iter().map(|cluster| cluster.nodes.len());
    if !declared.eq(identities.iter().map(Vec::len)) {
        return Err(Fault::invalid("not every declared node has an identity"));
    }
    let starts = spec.starts()?;
    let partitions = starts.iter().enumerate().map(|(number, start)| {
        let cluster = number % spec.clusters.len();
        let turn = number / spec.clusters.len();
        Partition {
            id: number as u64 + 1,
            start: start.clone(),
            end: starts.get(number + 1).cloned().unwrap_or_default(),
            generation: 1,
            cluster: spec.clusters[cluster].name.clone(),
            voters: voters(&identities[cluster], turn),
            learners: Vec::new(),
            parents: Vec::new(),
        }
    });
    let map = PartitionMap {
        database,
        epoch: 1,
        routing: spec.routing()?,
        nodes: nodes(spec, identities),
        partitions: partitions.collect(),
    };
    map.validate()?;
    Ok(map)
}

/// Replica i+1 lives on the i-th node whatever the rotation, so that its id says
/// which node it was made on.
fn voters(identities: &[NodeIdentity], turn: usize) -> Vec<Member> {
    let member = |i: usize| Member { node: identities[i].node, replica: i as u64 + 1 };
    let mut voters: Vec<_> = (0..identities.len()).map(member).collect();
    voters.rotate_left(turn % identities.len());
    voters
}

fn nodes(spec: &Spec, identities: &[Vec<NodeIdentity>]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (cluster, identities) in spec.clusters.iter().zip(identities) {
        for (number, (node, identity)) in cluster.nodes.iter().zip(identities).enumerate() {
            let default_name = || format!("{}-{number}", cluster.name);
            nodes.push(Node {
                id: identity.node,
                name: node.name.clone().unwrap_or_else(default_name),
                cluster: cluster.name.clone(),
                address: node.address.clone(),
                ports: node.ports(),
            });
        }
    }
    nodes
}
