//! A database that runs: six partitions, one of them the catalog, on the clusters `a`
//! and `b` of three nodes each, and what can happen to it.

use super::{facade, resource};
use crate::dereference::{Answer, Observed};
use crate::groups::{Group, groups};
use crate::validate::{Database, Place, validate};
use doug_client::create::{NodeIdentity, plan};
use doug_client::{PartitionMap, v1};
use doug_crds::{DougClusterStatus, NodeStatus};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Goal, Member, Node, Partition, Ports};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::{Value, json};

/// The database, what is seen of it, and what its status says.
pub struct Scene {
    pub database: Database,
    pub map: PartitionMap,
    pub observed: Observed,
    pub status: DougClusterStatus,
    pub told: Vec<String>,
    spec: Value,
}

/// Nodes of a cluster.
const NODES: u32 = 3;

/// The id of a node: `a-2` is a2.
pub fn node(cluster: &str, ordinal: u32) -> NodeId {
    let letter = u64::from(cluster.as_bytes()[0] - b'a') + 0xa;
    NodeId::from_bits(letter << 4 | u64::from(ordinal))
}

pub fn place(cluster: &str, ordinal: u32) -> Place {
    Place { cluster: cluster.to_owned(), ordinal }
}

impl Scene {
    pub fn new() -> Self {
        let spec = json!({
            "partitioning": {"hash": {"partitions": 5}},
            "clusters": [{"name": "a", "nodes": NODES}, {"name": "b", "nodes": NODES}],
            "node": {"storage": {"size": "1Gi"}, "replaceAfter": "10m"},
        });
        let database = validate(&resource(spec.clone())).unwrap();
        let identity = |cluster| {
            let of = |ordinal| NodeIdentity { node: node(cluster, ordinal), database: None };
            (0..NODES).map(of).collect::<Vec<_>>()
        };
        let identities = [identity("a"), identity("b")];
        let map = plan(&database.creation(), &identities, DatabaseId::from_bits(0xdb)).unwrap();
        let mut scene = Self {
            database,
            map,
            observed: Observed::default(),
            status: DougClusterStatus {
                database_id: Some("0000000000db".into()),
                ..DougClusterStatus::default()
            },
            told: Vec::new(),
            spec,
        };
        for cluster in ["a", "b"] {
            scene.start(cluster);
        }
        scene.refresh();
        scene.observed.facades = vec![facade(&scene.map, true)];
        scene
    }

    pub fn groups(&self) -> Vec<Group> {
        groups(&self.map, &self.observed)
    }

    fn revalidate(&mut self) {
        self.database = validate(&resource(self.spec.clone())).unwrap();
    }

    /// Declares one more cluster; its pods do not run yet.
    pub fn declare(&mut self, cluster: &str) {
        let clusters = self.spec["clusters"].as_array_mut().unwrap();
        clusters.push(json!({"name": cluster, "nodes": NODES}));
        self.revalidate();
        for ordinal in 0..NODES {
            let why = "its pod does not run".to_owned();
            self.observed.silent.insert(place(cluster, ordinal), why);
        }
    }

    /// Declares a cluster no more.
    pub fn undeclare(&mut self, cluster: &str) {
        let clusters = self.spec["clusters"].as_array_mut().unwrap();
        clusters.retain(|declared| declared["name"] != cluster);
        self.revalidate();
    }

    /// Declares another number of nodes of a cluster.
    pub fn declare_nodes(&mut self, cluster: &str, nodes: u32) {
        let clusters = self.spec["clusters"].as_array_mut().unwrap();
        let declared = clusters.iter_mut().find(|declared| declared["name"] == cluster);
        declared.unwrap()["nodes"] = json!(nodes);
        self.revalidate();
    }

    /// The StatefulSet of a cluster has so many pods; those beyond its first three are empty.
    pub fn scale(&mut self, cluster: &str, nodes: u32) {
        let set = self.observed.sets.get_mut(&format!("orders-{cluster}")).unwrap();
        let had = set.spec.as_mut().unwrap().replicas.replace(nodes as i32).unwrap() as u32;
        for ordinal in had..nodes {
            self.start_node(&place(cluster, ordinal));
        }
        for ordinal in nodes..had {
            let place = place(cluster, ordinal);
            self.observed.pods.remove(&self.database.pod_name(&place));
            self.observed.answers.remove(&place);
        }
        self.refresh();
    }

    /// An empty node becomes a member.
    pub fn join(&mut self, cluster: &str, ordinal: u32) {
        self.enlist(&place(cluster, ordinal), node(cluster, ordinal));
        self.refresh();
    }

    /// The map says how many nodes a cluster is to have.
    pub fn say(&mut self, cluster: &str, nodes: u32) {
        let mut clusters = self.map.clusters.iter_mut();
        clusters.find(|known| known.name == cluster).unwrap().nodes = nodes;
        self.refresh();
    }

    /// The StatefulSet, pods, claims and empty nodes of a cluster.
    fn start(&mut self, cluster: &str) {
        let name = format!("orders-{cluster}");
        let set = json!({
            "metadata": {"name": name, "uid": format!("set-{cluster}"), "labels": {
                "app.kubernetes.io/managed-by": "dougdb-operator",
                "app.kubernetes.io/instance": "orders", "dougdb.io/cluster": cluster,
            }},
            "spec": {"serviceName": name, "replicas": NODES, "selector": {}, "template": {}},
        });
        self.observed.sets.insert(name, serde_json::from_value(set).unwrap());
        for ordinal in 0..NODES {
            self.start_node(&place(cluster, ordinal));
        }
    }

    fn start_node(&mut self, place: &Place) {
        self.make_claim(place, &format!("claim-{}", place.name()));
        self.make_pod(place, &format!("pod-{}", place.name()));
        self.observed.silent.remove(place);
        let id = node(&place.cluster, place.ordinal);
        self.observed.answers.insert(place.clone(), empty(id));
        self.status.nodes.push(NodeStatus {
            name: place.name(),
            id: Some(id.to_string()),
            ..NodeStatus::default()
        });
    }

    /// The empty nodes of a new cluster run.
    pub fn start_empty(&mut self, cluster: &str) {
        self.start(cluster);
    }

    /// The nodes of a new cluster run and have become members.
    pub fn start_members(&mut self, cluster: &str) {
        self.start(cluster);
        for ordinal in 0..NODES {
            self.enlist(&place(cluster, ordinal), node(cluster, ordinal));
        }
        self.refresh();
    }

    /// The map lists a node under an id.
    pub fn list(&mut self, place: &Place, id: NodeId) {
        let entry = Node {
            id,
            name: place.name(),
            cluster: place.cluster.clone(),
            address: self.database.address(place),
            ports: Ports::default(),
            version: self.map.epoch + 1,
        };
        self.map.epoch += 1;
        self.map.nodes.push(entry);
    }

    fn enlist(&mut self, place: &Place, id: NodeId) {
        self.list(place, id);
        self.answer(&place.cluster, place.ordinal).database = self.map.database.to_string();
    }

    pub fn make_claim(&mut self, place: &Place, uid: &str) {
        let name = self.database.claim_name(place);
        let claim = json!({"metadata": {"name": name, "uid": uid}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        self.observed.claims.insert(name, claim);
    }

    pub fn make_pod(&mut self, place: &Place, uid: &str) {
        let name = self.database.pod_name(place);
        let pod = json!({
            "metadata": {"name": name, "uid": uid},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.observed.pods.insert(name, pod);
    }

    /// Kubernetes no longer takes a pod for ready.
    pub fn not_ready(&mut self, cluster: &str, ordinal: u32) {
        let name = self.database.pod_name(&place(cluster, ordinal));
        self.observed.pods.get_mut(&name).unwrap().status = None;
    }

    /// Its pod is being deleted, and nobody confirms that it has ended.
    pub fn evict(&mut self, cluster: &str, ordinal: u32) {
        let name = self.database.pod_name(&place(cluster, ordinal));
        let now = serde_json::from_value(json!("2026-01-01T12:00:00Z")).unwrap();
        self.observed.pods.get_mut(&name).unwrap().metadata.deletion_timestamp = Some(now);
    }

    /// A node does not answer any more; its leaders have noticed.
    pub fn silence(&mut self, cluster: &str, ordinal: u32) {
        let place = place(cluster, ordinal);
        self.observed.answers.remove(&place);
        self.observed.silent.insert(place, "it does not answer".into());
        self.refresh();
    }

    /// The id of a node after it has lost its volume.
    pub fn successor(cluster: &str, ordinal: u32) -> NodeId {
        NodeId::from_bits(node(cluster, ordinal).bits() + 0x1000)
    }

    /// A node answers with an empty volume, under a new id.
    pub fn lose_volume(&mut self, cluster: &str, ordinal: u32) {
        let place = place(cluster, ordinal);
        self.observed.silent.remove(&place);
        self.observed.answers.insert(place, empty(Self::successor(cluster, ordinal)));
        self.refresh();
    }

    /// It has become a member under that id.
    pub fn join_successor(&mut self, cluster: &str, ordinal: u32) {
        self.enlist(&place(cluster, ordinal), Self::successor(cluster, ordinal));
        self.refresh();
    }

    pub fn answer(&mut self, cluster: &str, ordinal: u32) -> &mut Answer {
        self.observed.answers.get_mut(&place(cluster, ordinal)).unwrap()
    }

    pub fn replica(
        &mut self,
        cluster: &str,
        ordinal: u32,
        partition: u64,
    ) -> &mut v1::ReplicaStatus {
        let replicas = &mut self.answer(cluster, ordinal).status.replicas;
        replicas.iter_mut().find(|replica| replica.partition == partition).unwrap()
    }

    /// What the leader of a partition says of it.
    pub fn leading(&mut self, partition: u64) -> &mut v1::ReplicaStatus {
        let answers = self.observed.answers.values_mut();
        let mut replicas = answers.flat_map(|answer| &mut answer.status.replicas);
        let leads = |replica: &&mut v1::ReplicaStatus| {
            replica.partition == partition && replica.role() == v1::ReplicaRole::Leader
        };
        replicas.find(leads).unwrap()
    }

    fn partition(&mut self, id: u64) -> &mut Partition {
        self.map.partitions.iter_mut().find(|partition| partition.id == id).unwrap()
    }

    /// A partition takes up the goal to go to a cluster.
    pub fn send(&mut self, partition: u64, cluster: &str) {
        let nodes = (0..NODES).map(|ordinal| node(cluster, ordinal)).collect();
        let goal = Goal { nodes, cluster: cluster.to_owned(), discarded: Vec::new() };
        self.pursue(partition, goal);
    }

    /// A partition takes up a goal.
    pub fn pursue(&mut self, partition: u64, goal: Goal) {
        let partition = self.partition(partition);
        partition.goal = Some(goal);
        partition.generation += 1;
        self.refresh();
    }

    /// A partition takes up the goal to replace the member that lost its volume.
    pub fn replace_in_goal(&mut self, partition: u64, cluster: &str, ordinal: u32) {
        let lost = node(cluster, ordinal);
        let voters = self.partition(partition).voters.clone();
        let new = Self::successor(cluster, ordinal);
        let nodes = voters.iter().map(|v| if v.node == lost { new } else { v.node }).collect();
        let discarded = voters.iter().filter(|v| v.node == lost).map(|v| v.replica).collect();
        self.pursue(partition, Goal { nodes, cluster: cluster.to_owned(), discarded });
    }

    /// A partition reaches its goal.
    pub fn arrive(&mut self, partition: u64) {
        let partition = self.partition(partition);
        let goal = partition.goal.take().unwrap();
        let first = partition.next_replica();
        let members = (first..).zip(goal.nodes);
        partition.voters = members.map(|(replica, node)| Member { node, replica }).collect();
        partition.cluster = goal.cluster;
        partition.generation += 1;
        self.refresh();
    }

    /// Every node that is up says what the map says: the first voter that is up leads.
    fn refresh(&mut self) {
        let map = self.map.clone();
        let up: Vec<NodeId> = self.observed.answers.values().filter_map(Answer::node).collect();
        let listed = |id: NodeId| map.node(id).is_some();
        for answer in self.observed.answers.values_mut() {
            let Some(id) = answer.node().filter(|id| listed(*id)) else { continue };
            answer.database = map.database.to_string();
            answer.status.state = v1::NodeState::Ready.into();
            answer.map = Some(map.clone());
            let held = map.partitions.iter().filter(|p| p.voter_on(id).is_some());
            answer.status.replicas = held.map(|p| replica(p, id, &up)).collect();
        }
    }
}

fn empty(id: NodeId) -> Answer {
    Answer {
        database: String::new(),
        status: v1::NodeStatus {
            id: id.to_string(),
            version: "0.1.0".into(),
            state: v1::NodeState::Empty.into(),
            ..Default::default()
        },
        map: None,
    }
}

fn replica(partition: &Partition, own: NodeId, up: &[NodeId]) -> v1::ReplicaStatus {
    let voters = || partition.voters.iter().map(|voter| voter.node);
    let leads = voters().find(|node| up.contains(node)) == Some(own);
    let peer = |node: NodeId| v1::PeerProgress {
        node: node.to_string(),
        match_index: 5,
        active: up.contains(&node),
    };
    v1::ReplicaStatus {
        partition: partition.id,
        role: if leads { v1::ReplicaRole::Leader.into() } else { v1::ReplicaRole::Follower.into() },
        term: 2,
        commit: 5,
        last_index: 5,
        peers: if leads {
            voters().filter(|node| *node != own).map(peer).collect()
        } else {
            Vec::new()
        },
        descriptor: Some(partition.to_wire()),
        ..Default::default()
    }
}
