//! Carrying the decisions out.

use super::members::Scene;
use super::{Failure, publish};
use crate::apply::{self, Evicted, Intent};
use crate::bootstrap::Step;
use crate::build::MANAGER;
use crate::context::Context;
use crate::dereference::{Answer, Observed, Token, admin};
use crate::rollout::{self, Next};
use crate::storage::{self, Growth};
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_crds::DougCluster;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;

/// Carries a step of the creation out. Whether to look again at once.
pub async fn bootstrap(
    api: &Api<DougCluster>,
    context: &Context,
    cluster: &DougCluster,
    observed: &Observed,
    token: &Token,
    step: &Step,
) -> Result<bool, Failure> {
    match step {
        Step::Wait(_) | Step::Done | Step::Blocked(..) => Ok(false),
        Step::Intend(creation) => {
            let mut status = cluster.status.clone().unwrap_or_default();
            status.creation = Some(creation.clone());
            // The version that was read is the precondition: another's write
            // since then makes this one fail.
            publish::status(api, cluster, &status).await?;
            let note = format!(
                "every node's volume is empty: creating database {} on {} nodes",
                creation.database_id,
                creation.nodes.len()
            );
            context.say(cluster, false, "Creating", note).await;
            Ok(true)
        }
        Step::Create(map, places) => {
            create(observed, cluster, token, map, places).await?;
            Ok(true)
        }
    }
}

async fn create(
    observed: &Observed,
    cluster: &DougCluster,
    token: &Token,
    map: &PartitionMap,
    places: &[Place],
) -> Result<(), Failure> {
    let calls = places.iter().map(|place| async move {
        let pod = observed.pods.get(&format!("{}-{}", cluster.name_any(), place.name()));
        let (Some(pod), Some(answer)) = (pod, observed.answers.get(place)) else { return Ok(()) };
        let node = answer.status.id.parse().map_err(|error| {
            Failure::Node(doug_client::Fault::invalid(format!("node {}: {error}", place.name())))
        })?;
        let admin = admin(pod, Some(token)).map_err(Failure::Node)?;
        admin.create(node, map).await.map_err(Failure::Node)?;
        Ok(())
    });
    join_all(calls).await.into_iter().collect()
}

/// Has a StatefulSet run so many pods.
pub async fn scale(
    context: &Context,
    database: &Database,
    set: &str,
    nodes: u32,
) -> Result<(), Failure> {
    let api = Api::<StatefulSet>::namespaced(context.client.clone(), &database.namespace);
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
    api.patch(set, &parameters, &Patch::Merge(json!({"spec": {"replicas": nodes}}))).await?;
    Ok(())
}

/// Takes the next step of growing volumes.
pub async fn grow(
    context: &Context,
    cluster: &DougCluster,
    database: &Database,
    observed: &mut Observed,
) -> Result<Growth, Failure> {
    let expandable = expandable_classes(context, database, observed).await?;
    let growth = storage::next(database, observed, |class| expandable.contains(class));
    let size = &database.spec.node.storage.size;
    match &growth {
        Growth::Done | Growth::Growing(_) | Growth::Failing { .. } | Growth::CannotGrow { .. } => {}
        Growth::PatchClaims(claims) => {
            let api = Api::<PersistentVolumeClaim>::namespaced(
                context.client.clone(),
                &database.namespace,
            );
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            for claim in claims {
                let parameters =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
                api.patch(claim, &parameters, &Patch::Merge(&patch)).await?;
            }
            let note = format!("asked for {size} on {} volumes", claims.len());
            context.say(cluster, false, "GrowingVolumes", note).await;
        }
        Growth::ReplaceSets(sets) => {
            let api = Api::<StatefulSet>::namespaced(context.client.clone(), &database.namespace);
            for set in sets {
                let found = observed.sets.remove(set);
                let leaving = |set: &StatefulSet| set.metadata.deletion_timestamp.is_some();
                let Some(found) = found.filter(|set| !leaving(set)) else { continue };
                let uid = found.uid();
                let parameters = DeleteParams {
                    preconditions: Some(Preconditions { uid, resource_version: None }),
                    ..DeleteParams::orphan()
                };
                api.delete(set, &parameters).await?;
            }
        }
    }
    Ok(growth)
}

/// Classes of the declared nodes' claims that can expand volumes. Asked only
/// while some claim is smaller than declared.
async fn expandable_classes(
    context: &Context,
    database: &Database,
    observed: &Observed,
) -> Result<BTreeSet<String>, Failure> {
    let unasked = storage::next(database, observed, |_| false);
    if !matches!(unasked, Growth::CannotGrow { .. }) {
        return Ok(BTreeSet::new());
    }
    let api = Api::<StorageClass>::all(context.client.clone());
    let classes = api.list(&Default::default()).await?;
    let can = classes.items.into_iter().filter(|class| class.allow_volume_expansion == Some(true));
    Ok(can.map(|class| class.name_any()).collect())
}

/// Takes the next step of replacing pods; `serves`: the database was created, and answers.
pub async fn roll(
    scene: &Scene<'_>,
    hash: &str,
    serves: bool,
    changing: Option<u64>,
) -> Result<Next, Failure> {
    let Scene { context, cluster, database, observed, .. } = scene;
    let pods = rollout::view(database, observed, hash, Timestamp::now());
    let next = if serves {
        let maintenance = database.maintenance.at(Timestamp::now());
        rollout::within(maintenance, &pods, rollout::next(&pods, changing))
    } else {
        rollout::revive(&pods)
    };
    let (place, kept) = match &next {
        Next::Done | Next::Wait(_) | Next::Stuck { .. } | Next::Held { .. } => return Ok(next),
        Next::Delete(place) => (place, delete(scene, place).await?),
        Next::Evict(place) => (place, evict(scene, place, Intent::Evict).await?),
        Next::HandOver { from, .. } => match hand_over(scene, &pods, from).await? {
            Evicted::Yes => (from, evict(scene, from, Intent::Evict).await?),
            kept @ Evicted::NotNow(_) => (from, kept),
        },
    };
    if let Evicted::NotNow(why) = kept {
        return Ok(Next::Wait(why));
    }
    let note = format!("replacing the pod of node {}", place.name());
    context.say(cluster, false, "ReplacingPod", note).await;
    Ok(match next {
        Next::HandOver { from, .. } => Next::Evict(from),
        next => next,
    })
}

/// Relieves a node of all that it leads, in one go: it would ask for the partitions it prefers
/// back in between. And only if its pod may be evicted then: else leaders would move to and fro for
/// as long as the budget forbids it.
async fn hand_over(
    scene: &Scene<'_>,
    pods: &[rollout::PodView],
    from: &Place,
) -> Result<Evicted, Failure> {
    let may = evict(scene, from, Intent::Ask).await?;
    let node = scene.observed.answers.get(from).and_then(Answer::node);
    let (Evicted::Yes, Some(node)) = (&may, node) else { return Ok(may) };
    let admin = scene.admin(from).map_err(Failure::Node)?;
    Ok(match hand_over_all(pods, from, node, &admin).await {
        Ok(()) => Evicted::Yes,
        Err(fault) => Evicted::NotNow(format!(
            "node {} could not hand its partitions over: {}",
            from.name(),
            fault.message
        )),
    })
}

async fn hand_over_all(
    pods: &[rollout::PodView],
    from: &Place,
    node: doug_proto::ids::NodeId,
    admin: &doug_client::admin::Admin,
) -> Result<(), doug_client::Fault> {
    for (partition, to) in rollout::hand_overs(pods, from) {
        admin.transfer_leader(node, partition, Some(to)).await?;
    }
    Ok(())
}

async fn evict(scene: &Scene<'_>, place: &Place, intent: Intent) -> Result<Evicted, Failure> {
    let Some((name, uid)) = scene.pod(place) else { return Ok(Evicted::Yes) };
    let (client, namespace) = (&scene.context.client, &scene.database.namespace);
    Ok(match apply::evict(client, namespace, &name, &uid, intent).await? {
        Evicted::Yes => Evicted::Yes,
        Evicted::NotNow(why) => Evicted::NotNow(format!("pod {name} may not go now: {why}")),
    })
}

async fn delete(scene: &Scene<'_>, place: &Place) -> Result<Evicted, Failure> {
    if let Some((name, uid)) = scene.pod(place) {
        let (client, namespace) = (&scene.context.client, &scene.database.namespace);
        apply::delete::<Pod>(client, namespace, &name, &uid, None).await?;
    }
    Ok(Evicted::Yes)
}
