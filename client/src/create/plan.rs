//! From a specification and the nodes' identities to the first map.

use super::spec::{ClusterSpec, Spec};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Cluster, Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap};

const FIRST_EPOCH: u64 = 1;

/// What a declared node said that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its id.
    pub node: NodeId,
    /// The database it is already a member of; none: its volume is empty.
    pub database: Option<DatabaseId>,
}

/// The first map: epoch 1, every generation 1, with the keyspaces `system` and
/// `default`. Partitions are dealt over the clusters in turn, the catalog's first, so
/// that it is in the first cluster; every node of a cluster votes in each of its partitions,
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
    let ends = starts.iter().skip(1).cloned().chain([Bytes::new()]);
    let of_default = starts.iter().cloned().zip(ends);
    let catalog = (KeyspaceId::SYSTEM, (Bytes::new(), Bytes::new()));
    let intervals = [catalog].into_iter().chain(of_default.map(|i| (KeyspaceId::DEFAULT, i)));
    let partitions = intervals.enumerate().map(|(number, (keyspace, (start, end)))| {
        let cluster = number % spec.clusters.len();
        let turn = number / spec.clusters.len();
        Partition {
            id: Keyspace::SYSTEM_PARTITION + number as u64,
            keyspace,
            start,
            end,
            generation: 1,
            cluster: spec.clusters[cluster].name.clone(),
            voters: voters(&identities[cluster], turn),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        }
    });
    let map = PartitionMap {
        epoch: FIRST_EPOCH,
        keyspaces: vec![
            Keyspace::system(),
            Keyspace { history: spec.history()?, ..Keyspace::default_with(spec.routing()?) },
        ],
        clusters: clusters(spec),
        nodes: nodes(spec, identities),
        partitions: partitions.collect(),
        ..PartitionMap::empty(database)
    };
    map.validate_whole()?;
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

fn clusters(spec: &Spec) -> Vec<Cluster> {
    let cluster = |declared: &ClusterSpec| Cluster {
        name: declared.name.clone(),
        nodes: declared.nodes.len() as u32,
        version: FIRST_EPOCH,
    };
    let mut clusters: Vec<_> = spec.clusters.iter().map(cluster).collect();
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    clusters
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
                version: FIRST_EPOCH,
            });
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::spec::Spec;
    use super::*;
    use doug_proto::map::History;
    use std::fmt::Write;

    fn spec(json: &str) -> Spec {
        serde_json::from_str(json).unwrap()
    }

    const TWO_CLUSTERS: &str = r#"{
        "partitioning": {"hash": {"partitions": 8, "prefixDelimiter": "/"}},
        "clusters": [
            {"name": "a", "nodes": [{"address": "a0"}, {"address": "a1"}, {"address": "a2"}]},
            {"name": "b", "nodes": [
                {"address": "127.0.0.1", "ports": {"doug": 7500, "admin": 7502}, "name": "first"},
                {"address": "b1"}, {"address": "b2"}
            ]}
        ]
    }"#;

    /// Node ids a0, a1, … by cluster and place.
    fn identities(spec: &Spec) -> Vec<Vec<NodeIdentity>> {
        let cluster = |(number, cluster): (usize, &super::super::spec::ClusterSpec)| {
            let id = |place: usize| NodeId::from_bits(((0xa + number as u64) << 4) + place as u64);
            let identity = |place| NodeIdentity { node: id(place), database: None };
            (0..cluster.nodes.len()).map(identity).collect()
        };
        spec.clusters.iter().enumerate().map(cluster).collect()
    }

    fn planned(spec: &Spec) -> Result<PartitionMap, Fault> {
        plan(spec, &identities(spec), DatabaseId::from_bits(0xdb))
    }

    #[test]
    fn history_is_declared_in_seconds_and_bytes_or_is_the_default() {
        let declared = |history: &str| {
            let json = TWO_CLUSTERS.replacen('{', &format!("{{\"history\": {history},"), 1);
            planned(&spec(&json)).map(|map| map.keyspaces[1].history)
        };
        let hour = declared(r#"{"retainSeconds": 3600, "maxBytes": 1048576}"#);
        let retain = std::time::Duration::from_secs(3_600);
        assert_eq!(hour, Ok(History { retain, max_bytes: 1 << 20 }));
        assert_eq!(declared("null"), Ok(History::default()));
        let few = declared(r#"{"retainSeconds": 3600, "maxBytes": 1000}"#).unwrap_err();
        assert!(few.message.contains("maxBytes is 1000"), "{few}");
        let long = declared(r#"{"retainSeconds": 99999999, "maxBytes": 1048576}"#).unwrap_err();
        assert!(long.message.contains("a year"), "{long}");
    }

    /// One line a node and a partition: voters in order of preference.
    fn picture(map: &PartitionMap) -> String {
        let mut text = format!("database {} epoch {}\n", map.database, map.epoch);
        for cluster in &map.clusters {
            writeln!(text, "cluster {} of {}", cluster.name, cluster.nodes).unwrap();
        }
        for node in &map.nodes {
            let (name, doug, admin) = (&node.name, node.doug_address(), node.admin_address());
            writeln!(text, "node {} {name} {doug} {admin}", node.id).unwrap();
        }
        for partition in &map.partitions {
            let voter = |m: &Member| format!("{}:{}", &m.node.to_string()[10..], m.replica);
            let voters: Vec<_> = partition.voters.iter().map(voter).collect();
            let start: String = partition.start.iter().map(|b| format!("{b:02x}")).collect();
            let (id, cluster) = (partition.id, &partition.cluster);
            let keyspace = &map.keyspace_of(partition).name;
            writeln!(text, "partition {id} {keyspace} {cluster} [{start}] {}", voters.join(" "))
                .unwrap();
        }
        text
    }

    #[test]
    fn partitions_are_dealt_over_clusters_and_leaders_over_nodes() {
        let map = planned(&spec(TWO_CLUSTERS)).unwrap();
        insta::assert_snapshot!(picture(&map));
    }

    #[test]
    fn range_partitions_start_at_the_split_keys() {
        let spec = spec(
            r#"{
                "partitioning": {"range": {"splitKeys": [{"text": "m"}, {"base64": "/w=="}]}},
                "clusters": [{"name": "a", "nodes": [{"address": "a0"}]}]
            }"#,
        );
        insta::assert_snapshot!(picture(&planned(&spec).unwrap()));
    }

    #[test]
    fn the_same_creation_gives_the_same_map() {
        let spec = spec(TWO_CLUSTERS);
        assert_eq!(planned(&spec).unwrap(), planned(&spec).unwrap());
    }

    #[test]
    fn one_node_declared_under_two_addresses_is_refused() {
        let spec = spec(TWO_CLUSTERS);
        let mut identities = identities(&spec);
        identities[1][0] = identities[0][0];
        let fault = plan(&spec, &identities, DatabaseId::from_bits(1)).unwrap_err();
        assert!(fault.message.contains("0000000000a0"), "{fault}");
    }

    fn refusal(change: impl FnOnce(&mut Spec)) -> String {
        let mut spec = spec(TWO_CLUSTERS);
        change(&mut spec);
        planned(&spec).unwrap_err().message
    }

    #[test]
    fn what_is_declared_wrongly_is_named_with_the_remedy() {
        use super::super::spec::{RangeSpec, SplitKey};
        let texts = [
            refusal(|s| s.clusters.clear()),
            refusal(|s| s.clusters[1].name = "a".into()),
            refusal(|s| s.clusters[1].name = "b-b".into()),
            refusal(|s| s.clusters[0].nodes.truncate(2)),
            refusal(|s| s.clusters[0].nodes[1].address = "a0".into()),
            refusal(|s| s.partitioning.hash.as_mut().unwrap().partitions = 1),
            refusal(|s| s.partitioning.hash.as_mut().unwrap().partitions = 4_097),
            refusal(|s| s.partitioning.range = Some(RangeSpec { split_keys: Vec::new() })),
            refusal(|s| {
                let key = SplitKey { text: Some("m".into()), base64: None };
                s.partitioning.hash = None;
                s.partitioning.range = Some(RangeSpec { split_keys: vec![key.clone(), key] });
            }),
        ];
        insta::assert_snapshot!(texts.join("\n"));
    }
}
