//! The generated YAML, and that the largest object fits it and etcd.

use doug_crds::{DougCluster, StatusMap, yaml};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{
    Cluster, Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports,
};
use doug_proto::routing::Routing;

/// etcd refuses requests above 1.5 MiB.
const ETCD_BYTES: usize = 3 << 19;
/// What `kubectl apply` without `--server-side` can keep in an annotation.
const ANNOTATION_BYTES: usize = 256 << 10;

/// Where the one copy of the definition is: in the chart, which can have no file from elsewhere.
const STORED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/dougdb/files/dougclusters.yaml");

#[test]
fn the_stored_yaml_is_what_the_types_say() {
    let generated = yaml();
    if std::env::var_os("DOUG_UPDATE").is_some() {
        std::fs::write(STORED, &generated).unwrap();
    }
    assert!(
        std::fs::read_to_string(STORED).unwrap() == generated,
        "{STORED} is not in step: run `DOUG_UPDATE=1 cargo test -p doug-crds`"
    );
}

#[test]
fn the_definition_fits_the_annotation_of_a_plain_apply() {
    assert!(yaml().len() < ANNOTATION_BYTES / 4, "{} bytes", yaml().len());
}

/// `partitions` hash partitions over 64 clusters of seven nodes, every name as
/// long as it may be.
fn largest(partitions: u64) -> PartitionMap {
    let node = |number: u64| {
        let cluster = format!("{:x>15}", number / 7);
        Node {
            id: NodeId::from_bits(u64::MAX - number),
            name: format!("{cluster}-{}", number % 7),
            address: format!(
                "{0:x>36}-{cluster}-{1}.{0:x>36}-{cluster}.{2:x>63}.svc",
                "",
                number % 7,
                ""
            ),
            cluster,
            ports: Ports::default(),
            version: 1_000_000 - 1,
        }
    };
    let nodes: Vec<Node> = (0..64 * 7).map(node).collect();
    let partition = |number: u64| {
        let first = (number % 64) as usize * 7;
        let voters = nodes[first..first + 7].iter().map(|n| Member { node: n.id, replica: 0 });
        Partition {
            id: number + 2,
            keyspace: KeyspaceId::DEFAULT,
            start: Routing::hash_start(number, partitions),
            end: if number + 1 == partitions {
                Default::default()
            } else {
                Routing::hash_start(number + 1, partitions)
            },
            generation: 1_000_000,
            cluster: nodes[first].cluster.clone(),
            voters: voters.collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        }
    };
    let catalog = Partition {
        id: Keyspace::SYSTEM_PARTITION,
        keyspace: KeyspaceId::SYSTEM,
        start: Default::default(),
        end: Default::default(),
        ..partition(0)
    };
    let clusters = nodes.iter().step_by(7).map(|node| Cluster {
        name: node.cluster.clone(),
        nodes: 7,
        version: 1_000_000 - 1,
    });
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    PartitionMap {
        epoch: 1_000_000,
        keyspaces: vec![Keyspace::system(), Keyspace::default_by_hash()],
        clusters,
        partitions: [catalog].into_iter().chain((0..partitions).map(partition)).collect(),
        nodes,
        ..PartitionMap::empty(DatabaseId::from_bits(u64::MAX))
    }
}

#[test]
fn the_largest_map_fits_into_etcd_and_comes_back_as_it_was() {
    let map = largest(4_096);
    map.validate_whole().unwrap();
    let stored: StatusMap = serde_json::from_str(&map.to_json()).unwrap();
    let bytes = serde_json::to_string(&stored).unwrap();
    assert!(bytes.len() < ETCD_BYTES * 3 / 4, "{} bytes", bytes.len());
    assert_eq!(PartitionMap::from_json(&bytes).unwrap(), map);
}

#[test]
fn routing_by_range_comes_back_as_it_was() {
    let mut map = largest(64);
    map.keyspaces[1].routing = Routing::Range;
    let stored: StatusMap = serde_json::from_str(&map.to_json()).unwrap();
    let bytes = serde_json::to_string(&stored).unwrap();
    assert_eq!(PartitionMap::from_json(&bytes).unwrap(), map);
}

#[test]
fn what_is_left_out_of_a_manifest_has_a_default() {
    let manifest = serde_json::json!({
        "apiVersion": "dougdb.io/v1alpha1", "kind": "DougCluster", "metadata": {"name": "orders"},
        "spec": {
            "partitioning": {"hash": {"partitions": 8}},
            "clusters": [{"name": "a"}],
            "node": {"storage": {"size": "20Gi"}},
        },
    });
    let cluster: DougCluster = serde_json::from_value(manifest).unwrap();
    assert_eq!(cluster.spec.clusters[0].nodes, 5);
    assert_eq!((cluster.spec.facade.replicas, cluster.spec.facade.service.port), (2, 7400));
}
