//! Where a partition goes: the nodes of a cluster that are to hold its voters.

use super::names_of;
use anyhow::bail;
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node};
use std::collections::BTreeSet;

/// Most voters of a partition: more cost every write, and hardly fail together.
const MOST: usize = 7;

/// The voters of a partition in a cluster: all its nodes, or one less where their
/// number is even. From partition to partition the list is rotated, so that
/// leaders, and the nodes left out, spread.
///
/// # Errors
/// No such cluster, too few nodes, nodes that do not answer.
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
        bail!("there is no cluster {cluster}: there are {clusters}");
    }
    let silent = nodes.iter().map(|node| node.id).filter(|id| !answers(*id));
    let silent = names_of(map, silent).join(", ");
    if !silent.is_empty() {
        bail!(
            "these nodes of cluster {cluster} do not answer, and a partition moves only to nodes \
             that take it in: {silent}. Start them, or replace them: `doug member replace NODE`"
        );
    }
    if nodes.len() == 2 {
        bail!(
            "cluster {cluster} has not enough nodes: 2, and 3 are needed to survive the loss of \
             one. Start another with `doug node --cluster {cluster}`, and make it a member: `doug \
             member add`"
        );
    }
    nodes.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
    let turn = partition as usize % nodes.len();
    nodes.rotate_left(turn);
    let odd = nodes.len() - usize::from(nodes.len().is_multiple_of(2));
    nodes.truncate(odd.min(MOST));
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
    use doug_proto::map::{Keyspace, KeyspaceId, Member, Partition, Ports};
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

    /// Clusters a and b of three nodes, c of four, d of two; four partitions in a.
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
        };
        PartitionMap {
            database: DatabaseId::from_bits(0xdb),
            epoch: 1,
            keyspaces: vec![Keyspace::default_by_hash()],
            clusters: Vec::new(),
            partitions: (1..=4).map(partition).collect(),
            nodes: nodes.clone(),
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
    fn of_an_even_number_of_nodes_one_is_left_out_in_turn() {
        assert_eq!(names(1, "c").unwrap(), ["c-1", "c-2", "c-3"]);
        assert_eq!(names(2, "c").unwrap(), ["c-2", "c-3", "c-0"]);
    }

    #[test]
    fn where_it_cannot_go_is_said_with_the_remedy() {
        let silent = map().nodes[4].id;
        let silent = destination(&map(), 1, "b", |id| id != silent).unwrap_err().to_string();
        let texts = [names(1, "z").unwrap_err(), names(1, "d").unwrap_err(), silent];
        insta::assert_snapshot!(texts.join("\n"));
    }
}
