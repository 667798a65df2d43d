//! Writing the status, and events when a condition turns.

use super::Failure;
use crate::build::MANAGER;
use crate::context::Context;
use crate::status::{Finding, Findings, conditions};
use doug_crds::{DougCluster, DougClusterStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// Writes a status if it differs, on the version that was read.
pub async fn status(
    api: &Api<DougCluster>,
    cluster: &DougCluster,
    status: &DougClusterStatus,
) -> Result<(), Failure> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(());
    }
    let mut newer = cluster.clone();
    newer.status = Some(status.clone());
    newer.metadata.managed_fields = None;
    let parameters =
        PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.replace_status(&cluster.name_any(), &parameters, &newer).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes only the conditions.
pub async fn findings(
    api: &Api<DougCluster>,
    cluster: &DougCluster,
    findings: &Findings,
) -> Result<(), Failure> {
    let mut newer = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    newer.conditions = conditions(&newer.conditions, findings, generation, &super::now());
    newer.observed_generation = Some(generation);
    status(api, cluster, &newer).await
}

/// Writes the conditions of a resource of which only the metadata can be read. What else its
/// status says stays.
pub async fn unreadable(
    client: &Client,
    meta: &ObjectMeta,
    findings: &Findings,
) -> Result<(), Failure> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let resource = ApiResource::erase::<DougCluster>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let name = meta.name.as_deref().unwrap_or_default();
    let Some(found) = api.get_opt(name).await? else { return Ok(()) };
    let old = &found.data["status"]["conditions"];
    let old: Vec<Condition> = serde_json::from_value(old.clone()).unwrap_or_default();
    let generation = meta.generation.unwrap_or_default();
    let new = conditions(&old, findings, generation, &super::now());
    if old == new {
        return Ok(());
    }
    let status = json!({"status": {"conditions": new, "observedGeneration": generation}});
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
    api.patch_status(name, &parameters, &Patch::Merge(&status)).await?;
    Ok(())
}

/// Says which conditions turned, to people who read events.
pub async fn tell(context: &Context, cluster: &DougCluster, findings: &Findings) {
    let old = |kind: &str| {
        let old = cluster.status.iter().flat_map(|status| &status.conditions);
        old.into_iter().find(|condition| condition.type_ == kind)
    };
    let turned = |kind: &str, finding: &Finding| {
        old(kind).is_none_or(|old| (old.status == "True") != (finding.holds == Some(true)))
    };
    let Findings { ready, degraded, .. } = findings;
    // One trouble after the other is news, one that is told in other figures is not.
    let other = old("Degraded").is_none_or(|old| old.reason != degraded.reason);
    if (turned("Degraded", degraded) || other) && degraded.holds == Some(true) {
        context.say(cluster, true, degraded.reason, degraded.message.clone()).await;
    }
    if turned("Ready", ready) {
        let warning = ready.holds != Some(true);
        context.say(cluster, warning, ready.reason, ready.message.clone()).await;
    }
}
