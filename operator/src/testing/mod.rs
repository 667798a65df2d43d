//! Databases, nodes and pods for unit tests.

use crate::build::TEMPLATE_HASH;
use crate::dereference::{Answer, FacadeAnswer, Observed};
use crate::validate::{Database, Place, validate};
use doug_client::create::{NodeIdentity, plan};
use doug_client::{PartitionMap, v1};
use doug_crds::DougCluster;
use doug_proto::ids::{DatabaseId, NodeId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

pub mod two_clusters;

/// A DougCluster `shop/orders` with this spec.
pub fn resource(spec: Value) -> DougCluster {
    serde_json::from_value(json!({
        "apiVersion": "dougdb.io/v1alpha1",
        "kind": "DougCluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "uid-1", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

/// The spec of a database of three partitions, and the catalog's, on one cluster of
/// three nodes.
pub fn spec() -> Value {
    json!({
        "partitioning": {"hash": {"partitions": 3}},
        "clusters": [{"name": "a", "nodes": 3}],
        "node": {"storage": {"size": "1Gi"}},
    })
}

/// That database.
pub fn database() -> Database {
    validate(&resource(spec())).unwrap()
}

/// Its map as it is created, with the ids of [`id`].
pub fn first_map() -> PartitionMap {
    let identity =
        |ordinal: u64| NodeIdentity { node: NodeId::from_bits(0xa0 + ordinal), database: None };
    plan(&database().creation(), &[(0..3).map(identity).collect()], DatabaseId::from_bits(0xdb))
        .unwrap()
}

/// Metadata from JSON.
pub fn meta(json: &str) -> ObjectMeta {
    serde_json::from_str(json).unwrap()
}

/// The node `a-ORDINAL`.
pub fn place(ordinal: u32) -> Place {
    Place { cluster: "a".into(), ordinal }
}

/// The id of the node `a-ORDINAL`.
pub fn id(ordinal: u32) -> String {
    format!("0000000000a{ordinal}")
}

/// What an empty node answers.
pub fn empty(ordinal: u32) -> Answer {
    let state = v1::NodeState::Empty.into();
    Answer {
        database: String::new(),
        status: v1::NodeStatus {
            id: id(ordinal),
            version: "0.1.0".into(),
            state,
            ..Default::default()
        },
        map: None,
    }
}

/// What a member of the map's database answers; leads every partition if told.
pub fn member(ordinal: u32, map: &PartitionMap, leads: bool) -> Answer {
    let replica = |partition: &doug_proto::map::Partition| v1::ReplicaStatus {
        partition: partition.id,
        role: if leads { v1::ReplicaRole::Leader.into() } else { v1::ReplicaRole::Follower.into() },
        term: 2,
        commit: 5,
        last_index: 5,
        ..Default::default()
    };
    let mut answer = empty(ordinal);
    answer.database = map.database.to_string();
    answer.status.state = v1::NodeState::Ready.into();
    answer.status.replicas = map.partitions.iter().map(replica).collect();
    answer.map = Some(map.clone());
    answer
}

/// All three nodes answer so.
pub fn answered(answers: [Answer; 3]) -> Observed {
    let answers = (0..).map(place).zip(answers).collect();
    Observed { answers, ..Observed::default() }
}

/// A node's pod, made from the template with this hash.
pub fn pod(ordinal: u32, hash: &str, status: Value) -> (String, k8s_openapi::api::core::v1::Pod) {
    let name = format!("orders-a-{ordinal}");
    let pod = json!({
        "metadata": {"name": name, "uid": format!("pod-{ordinal}"), "annotations": {TEMPLATE_HASH: hash}},
        "status": status,
    });
    (name, serde_json::from_value(pod).unwrap())
}

/// A facade that serves by this map.
pub fn facade(map: &PartitionMap, ready: bool) -> FacadeAnswer {
    FacadeAnswer { map: Some(map.clone()), ready }
}
