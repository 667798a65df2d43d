//! Carrying out what is decided about members: nodes join, partitions move,
//! volumes are given up, clusters leave.

use super::{Failure, publish};
use crate::apply::{self, Evicted, Intent};
use crate::build::MANAGER;
use crate::context::Context;
use crate::departure::{self, Departure};
use crate::dereference::{Observed, Token, admin};
use crate::forgetting;
use crate::groups::Group;
use crate::joining::{self, Joining};
use crate::placement::{self, Move, Placement};
use crate::replacement::{self, ANNOTATION, Clearing, Situation, Step};
use crate::resizing::{self, Leftover, Resizing};
use crate::validate::{Database, Place};
use doug_client::admin::Admin;
use doug_client::{Fault, PartitionMap};
use doug_crds::{DougCluster, Replacing};
use doug_proto::ids::NodeId;
use doug_proto::map::Cluster;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::future::Future;

/// What is to be done about members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// Nodes that join.
    pub joining: Joining,
    /// Nodes that are replaced.
    pub replacement: Vec<Step>,
    /// Partitions that move.
    pub placement: Placement,
    /// Partitions that get voters on more or fewer nodes of their cluster.
    pub resizing: Resizing,
    /// Claims of nodes that their cluster is not to have any more.
    pub leftovers: Vec<Leftover>,
    /// Clusters that leave.
    pub departures: Vec<Departure>,
    /// Nodes that leave the map.
    pub forgotten: Vec<NodeId>,
    /// What nodes said against it.
    pub objections: Vec<String>,
}

/// All that a step needs.
pub struct Scene<'a> {
    /// The API server.
    pub api: &'a Api<DougCluster>,
    /// What reconciliations share.
    pub context: &'a Context,
    /// The resource as it was read.
    pub cluster: &'a DougCluster,
    /// What it declares.
    pub database: &'a Database,
    /// What there is.
    pub observed: &'a Observed,
    /// What opens Admin.
    pub token: &'a Token,
}

/// Decides. While pods are replaced, no partition is sent anywhere and no node given up.
pub fn next(scene: &Scene, map: &PartitionMap, groups: &[Group], quiet: bool) -> Members {
    let Scene { database, observed, cluster, .. } = scene;
    let nodes = cluster.status.as_ref().map_or(&[][..], |status| &status.nodes);
    let told = replacement::told(cluster);
    let now = super::now();
    let mut replacement = replacement::next(&Situation {
        database,
        map,
        groups,
        observed,
        nodes,
        told: &told,
        now: &now,
    });
    let mut placement = placement::next(database, map, groups, observed);
    let mut resizing = resizing::next((database, map), groups, observed, &placement, &replacement);
    if !quiet {
        resizing.hold("pods are being replaced");
        replacement.retain(|step| !matches!(step, Step::Intend(..) | Step::Clear(..)));
        placement.waiting += std::mem::take(&mut placement.moves).len();
        placement.why =
            Some("pods are being replaced".to_owned()).filter(|_| placement.waiting > 0);
    }
    Members {
        joining: joining::next(database, map, groups, observed),
        replacement,
        placement,
        resizing,
        leftovers: resizing::leftovers(database, map, groups, observed),
        departures: departure::next(database, map, groups, observed),
        forgotten: forgetting::next(database, map, groups, observed),
        objections: Vec::new(),
    }
}

/// Takes the next step of each. Whether to look again at once, because the resource
/// has been written to.
pub async fn carry_out(
    scene: &Scene<'_>,
    map: &PartitionMap,
    members: &mut Members,
) -> Result<bool, Failure> {
    join(scene, map, members).await;
    for step in members.replacement.clone() {
        match step {
            Step::Wait(..) | Step::Refuse(..) => {}
            Step::Intend(place, replacing) => return intend(scene, &place, replacing).await,
            Step::Finish(place) => return finish(scene, &place).await,
            Step::Clear(place, clearing) => {
                members.objections.extend(clear(scene, &place, &clearing).await?);
            }
            Step::Substitute { moves, .. } => {
                send(scene, &moves, members, "ReplacingMember", "replace").await;
            }
        }
    }
    let moves = members.placement.moves.clone();
    send(scene, &moves, members, "MovingPartition", "move").await;
    let moves = members.resizing.moves.clone();
    send(scene, &moves, members, "ResizingPartition", "resize").await;
    for leftover in &members.leftovers {
        delete_leftover(scene, leftover).await?;
    }
    forget(scene, map, members).await;
    for departure in members.departures.iter().filter(|departure| departure.is_drained()) {
        remove(scene, &departure.cluster).await?;
    }
    Ok(false)
}

impl Scene<'_> {
    async fn say(&self, reason: &'static str, note: String) {
        self.context.say(self.cluster, false, reason, note).await;
    }

    /// Name and uid of a node's pod.
    pub fn pod(&self, place: &Place) -> Option<(String, String)> {
        let pod = self.observed.pod(self.database, place)?;
        Some((pod.name_any(), pod.uid()?))
    }

    /// What steers a node.
    ///
    /// # Errors
    /// A sentence, if it has no pod, or that has no address yet.
    pub fn admin(&self, place: &Place) -> Result<Admin, Fault> {
        let pod = self.observed.pod(self.database, place);
        let pod =
            pod.ok_or_else(|| Fault::unavailable(format!("node {} has no pod", place.name())))?;
        admin(pod, Some(self.token))
    }

    fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.context.client.clone(), &self.database.namespace)
    }
}

async fn forget(scene: &Scene<'_>, map: &PartitionMap, members: &mut Members) {
    for node in members.forgotten.clone() {
        let removed = tell(scene, map, |admin, member| async move {
            admin.remove_node(member, node).await.map(drop)
        });
        match removed.await {
            Ok(()) => scene.context.metrics.members("forget"),
            Err(fault) => members.objections.push(fault.message),
        }
    }
}

async fn join(scene: &Scene<'_>, map: &PartitionMap, members: &mut Members) {
    let Joining { entries, clusters, empty, .. } = members.joining.clone();
    if !entries.is_empty() || !clusters.is_empty() {
        let (epoch, nodes, clusters) = (map.epoch + 1, &entries, &clusters);
        let listed = tell(scene, map, |admin, member| async move {
            admin.update_addresses(member, epoch, nodes, clusters).await.map(drop)
        });
        match listed.await {
            Ok(()) => {
                for Cluster { name, nodes, .. } in clusters {
                    let note = format!("cluster {name} is to have {nodes} nodes");
                    scene.say("ClusterDeclared", note).await;
                }
                let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
                if !names.is_empty() {
                    let note = format!("the map lists nodes {}", names.join(", "));
                    scene.say("NodesJoin", note).await;
                    scene.context.metrics.members("join");
                }
            }
            Err(fault) => members.objections.push(fault.message),
        }
    }
    for (place, node) in empty {
        let joined = async { scene.admin(&place)?.join(node, map).await };
        if let Err(fault) = joined.await {
            members.objections.push(fault.message);
        }
    }
}

/// One member that is told tells the others.
async fn tell<F>(
    scene: &Scene<'_>,
    map: &PartitionMap,
    call: impl Fn(Admin, NodeId) -> F,
) -> Result<(), Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    let mut refusal = Fault::unavailable("no member answers");
    for (place, answer) in &scene.observed.answers {
        let listed = |id: &NodeId| map.node(*id).is_some_and(|entry| !entry.is_removed());
        let Some(member) = answer.node().filter(listed).filter(|_| answer.map.is_some()) else {
            continue;
        };
        match async { call(scene.admin(place)?, member).await }.await {
            Ok(()) => return Ok(()),
            Err(fault) => refusal = fault,
        }
    }
    Err(refusal)
}

/// Tells leaders where their partitions are to be.
async fn send(
    scene: &Scene<'_>,
    moves: &[Move],
    members: &mut Members,
    reason: &'static str,
    kind: &'static str,
) {
    for one in moves {
        match change(scene, one).await {
            Ok(()) => {
                scene.context.metrics.members(kind);
                scene.say(reason, announcement(one, kind)).await;
            }
            Err(fault) => members.objections.push(format!(
                "partition {} does not begin to change its members: {}",
                one.partition, fault.message
            )),
        }
    }
}

async fn change(scene: &Scene<'_>, one: &Move) -> Result<(), Fault> {
    let answers = &scene.observed.answers;
    let place = answers.iter().find(|(_, answer)| answer.node() == Some(one.leader));
    let (place, _) = place.ok_or_else(|| Fault::unavailable("its leader does not answer"))?;
    let admin = scene.admin(place)?;
    admin.change_members(one.leader, one.partition, Some(&one.goal), one.generation).await?;
    Ok(())
}

fn announcement(one: &Move, kind: &str) -> String {
    let (partition, cluster) = (one.partition, &one.goal.cluster);
    match kind {
        "move" => format!("partition {partition} moves to cluster {cluster}"),
        "resize" => {
            let voters = one.goal.nodes.len();
            format!("partition {partition} gets {voters} voters in cluster {cluster}")
        }
        _ => {
            format!(
                "partition {partition} replaces its member on a lost volume in cluster {cluster}"
            )
        }
    }
}

/// Its data is on the nodes that stay.
async fn delete_leftover(scene: &Scene<'_>, leftover: &Leftover) -> Result<(), Failure> {
    let Leftover { place, claim, uid } = leftover;
    let (client, namespace) = (&scene.context.client, &scene.database.namespace);
    apply::delete::<PersistentVolumeClaim>(client, namespace, claim, uid, None).await?;
    let note = format!("claim {claim} of node {} is deleted: the node has left", place.name());
    scene.say("DeletingVolume", note).await;
    Ok(())
}

/// The version that was read is the precondition: of two operators, one comes through.
async fn intend(scene: &Scene<'_>, place: &Place, replacing: Replacing) -> Result<bool, Failure> {
    let mut status = scene.cluster.status.clone().unwrap_or_default();
    let name = place.name();
    let Some(node) = status.nodes.iter_mut().find(|node| node.name == name) else {
        return Ok(false);
    };
    let id = replacing.id.clone();
    node.replacing = Some(replacing);
    publish::status(scene.api, scene.cluster, &status).await?;
    scene.context.metrics.members("give-up");
    let note = format!("node {name} ({id}) is given up: its volume is taken away, a new one joins");
    scene.say("ReplacingNode", note).await;
    Ok(true)
}

/// What is in the way, if anything is: a pod that answers is evicted, for a drain may be taking
/// another of its cluster.
async fn clear(
    scene: &Scene<'_>,
    place: &Place,
    clearing: &Clearing,
) -> Result<Option<String>, Failure> {
    let client = &scene.context.client;
    let Database { namespace, .. } = scene.database;
    if let Some((name, uid)) = &clearing.claim {
        apply::delete::<PersistentVolumeClaim>(client, namespace, name, uid, None).await?;
        let note = format!("claim {name} of node {} is deleted, with its data", place.name());
        scene.say("DeletingVolume", note).await;
    }
    let Some((name, uid)) = &clearing.pod else { return Ok(None) };
    if clearing.dead {
        // A machine that is dead never confirms that a pod has ended.
        apply::delete::<Pod>(client, namespace, name, uid, Some(0)).await?;
        return Ok(None);
    }
    Ok(match apply::evict(client, namespace, name, uid, Intent::Evict).await? {
        Evicted::Yes => None,
        Evicted::NotNow(why) => Some(format!("pod {name} may not go now: {why}")),
    })
}

/// First the request goes, then the record of it: the other way round, a crash in
/// between would have it done again.
async fn finish(scene: &Scene<'_>, place: &Place) -> Result<bool, Failure> {
    let (name, told) = (place.name(), replacement::told(scene.cluster));
    if told.contains(&name) {
        let patch = json!({"metadata": {
            "resourceVersion": scene.cluster.resource_version(),
            "annotations": {ANNOTATION: replacement::without(&told, &name)},
        }});
        let parameters =
            PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let name = scene.cluster.name_any();
        scene.api.patch(&name, &parameters, &Patch::Merge(&patch)).await?;
        return Ok(true);
    }
    let mut status = scene.cluster.status.clone().unwrap_or_default();
    for node in status.nodes.iter_mut().filter(|node| node.name == name) {
        node.replacing = None;
    }
    publish::status(scene.api, scene.cluster, &status).await?;
    scene.say("NodeReplaced", format!("node {name} is replaced: its new volume holds all")).await;
    Ok(true)
}

/// Last the StatefulSet: by it the next look knows that something is left to do.
async fn remove(scene: &Scene<'_>, cluster: &str) -> Result<(), Failure> {
    let name = scene.database.set_name(cluster);
    let database = scene.database;
    apply::remove(&scene.objects::<PodDisruptionBudget>(), database, &name).await?;
    apply::remove(&scene.objects::<Service>(), database, &name).await?;
    apply::remove(&scene.objects::<StatefulSet>(), database, &name).await?;
    scene.context.metrics.members("remove-cluster");
    let note = format!("cluster {cluster} holds no partition any more: its nodes are removed");
    scene.say("ClusterRemoved", note).await;
    Ok(())
}

/// The first partition whose members change: meanwhile no pod is replaced.
pub fn changing(groups: &[Group]) -> Option<u64> {
    groups.iter().find(|group| !group.is_at_rest()).map(Group::id)
}
