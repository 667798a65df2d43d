//! Where a partition goes: the nodes of a cluster that are to hold its voters.

use super::names_of;
use crate::exit::usage;
use anyhow::bail;
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node};
use std::collections::BTreeSet;

/// The voters of a partition in a cluster: as many of its nodes as it was declared to
/// have, never fewer. Where there are more, those that hold the partition already come
/// first; from partition to partition the rest is rotated, so that leaders, and the nodes
/// left out, spread.
///
/// # Errors
/// No such cluster, fewer nodes than declared, or than that which answer.
pub fn destination(
    map: &PartitionMap,
    partition: u64,
    cluster: &str,
    answers: impl Fn(NodeId) -> bool,
) -> anyhow::Result<Goal> {
    let mut nodes: Vec<&Node> = map.present().filter(|node| node.cluster == cluster).collect();
    if nodes.is_empty() {
        let clusters: BTreeSet<&str> = map.present().map(|node| node.cluster.as_str()).collect();
        let clusters = clusters.into_iter().collect::<Vec<_>>().join(", ");
        return Err(usage(format!("there is no cluster {cluster}: there are {clusters}")));
    }
    let Some(declared) = map.cluster(cluster).map(|declared| declared.nodes as usize) else {
        bail!(
            "it is not declared how many nodes cluster {cluster} is to have: say it with `doug \
             member add --cluster-size`"
        );
    };
    let count = nodes.len();
    if count < declared {
        bail!(
            "cluster {cluster} is to have {declared} nodes and has {count}, and a partition is \
             never placed on fewer: start another with `doug node --cluster {cluster}`, and make \
             it a member: `doug member add HOST:PORT`"
        );
    }
    nodes.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
    nodes.rotate_left(partition as usize % count);
    let held = map.partition(partition).filter(|held| held.cluster == cluster);
    let holds = |node: &Node| held.is_some_and(|held| held.voter_on(node.id).is_some());
    nodes.sort_by_key(|node| (!answers(node.id), !holds(node)));
    nodes.truncate(declared);
    let silent = nodes.iter().map(|node| node.id).filter(|id| !answers(*id));
    let silent = names_of(map, silent).join(", ");
    if !silent.is_empty() {
        bail!(
            "these nodes of cluster {cluster} do not answer, and a partition moves only to nodes \
             that take it in: {silent}. Start them, or replace them: `doug member replace NODE`"
        );
    }
    Ok(Goal {
        nodes: nodes.into_iter().map(|node| node.id).collect(),
        cluster: cluster.to_owned(),
        discarded: Vec::new(),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use doug_proto::ids::DatabaseId;
    use doug_proto::map::{Cluster, Keyspace, KeyspaceId, Member, Partition, Ports};
    use doug_proto::routing::Routing;

    fn node(cluster: char, number: u64) -> Node {
        Node {
            id: NodeId::from_bits(u64::from(cluster as u8) * 16 + number),
            name: format!("{cluster}-{number}"),
            cluster: cluster.to_string(),
            address: "127.0.0.1".into(),
            ports: Ports::default(),
            version: 1,
        }
    }

    fn declared((name, nodes): (char, u32)) -> Cluster {
        Cluster { name: name.to_string(), nodes, version: 1 }
    }

    /// Clusters a and b of three nodes, c of four and d of two although three are declared;
    /// four partitions in a.
    pub fn map() -> PartitionMap {
        let sizes = [('a', 3), ('b', 3), ('c', 4), ('d', 2)];
        let nodes = sizes.into_iter().flat_map(|(c, size)| (0..size).map(move |n| node(c, n)));
        let nodes: Vec<Node> = nodes.collect();
        let start = |id: u64| Routing::hash_start(id - 1, 4);
        let members = |first: u64| {
            let member = |(node, replica): (&Node, u64)| Member { node: node.id, replica };
            nodes[..3].iter().zip(first..).map(member).collect()
        };
        let partition = |id: u64| Partition {
            id,
            keyspace: KeyspaceId::DEFAULT,
            start: start(id),
            end: if id == 4 { Default::default() } else { start(id + 1) },
            generation: 3,
            cluster: "a".into(),
            voters: members(1),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 4,
            goal: None,
            recoveries: Vec::new(),
        };
        PartitionMap {
            epoch: 1,
            keyspaces: vec![Keyspace::default_by_hash()],
            clusters: [('a', 3), ('b', 3), ('c', 3), ('d', 3)].map(declared).into(),
            partitions: (1..=4).map(partition).collect(),
            nodes: nodes.clone(),
            ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
        }
    }

    fn names(partition: u64, cluster: &str) -> Result<Vec<String>, String> {
        let map = map();
        let goal = destination(&map, partition, cluster, |_| true).map_err(|e| e.to_string())?;
        Ok(names_of(&map, goal.nodes))
    }

    #[test]
    fn from_partition_to_partition_another_node_comes_first() {
        assert_eq!(names(1, "b").unwrap(), ["b-1", "b-2", "b-0"]);
        assert_eq!(names(2, "b").unwrap(), ["b-2", "b-0", "b-1"]);
    }

    #[test]
    fn of_more_nodes_than_declared_some_are_left_out_in_turn() {
        assert_eq!(names(1, "c").unwrap(), ["c-1", "c-2", "c-3"]);
        assert_eq!(names(2, "c").unwrap(), ["c-2", "c-3", "c-0"]);
    }

    #[test]
    fn nodes_that_hold_it_already_come_first_and_silent_ones_last() {
        let mut map = map();
        map.partitions[0].cluster = "c".into();
        map.partitions[0].voters =
            [8, 9].map(|at| Member { node: map.nodes[at].id, replica: 1 }).into();
        let goal = destination(&map, 1, "c", |id| id != map.nodes[7].id).unwrap();
        assert_eq!(names_of(&map, goal.nodes), ["c-2", "c-3", "c-0"]);
    }

    #[test]
    fn where_it_cannot_go_is_said_with_the_remedy() {
        let silent = map().nodes[4].id;
        let silent = destination(&map(), 1, "b", |id| id != silent).unwrap_err().to_string();
        let texts = [names(1, "z").unwrap_err(), names(1, "d").unwrap_err(), silent];
        insta::assert_snapshot!(texts.join("\n"));
    }
}
