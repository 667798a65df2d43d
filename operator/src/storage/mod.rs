//! Growing volumes. Claims are patched in place. A StatefulSet's own claim
//! template cannot be changed, so then it is deleted with its pods orphaned, and
//! applied again with the new size: it takes the running pods back.

use crate::build::Desired;
use crate::dereference::Observed;
use crate::validate::{Database, bytes};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimCondition, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// A file system that grows while it is mounted has done so after this long.
const MOUNTED_GROWTH: SignedDuration = SignedDuration::from_secs(60);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Every volume has the size declared.
    Done,
    /// Ask for this size on these claims.
    PatchClaims(Vec<String>),
    /// Delete these StatefulSets and leave their pods; they are applied again.
    ReplaceSets(Vec<String>),
    /// These claims wait for their storage to grow.
    Growing(Vec<String>),
    /// The storage of a claim fails to grow.
    Failing {
        /// The claim.
        claim: String,
        /// What its driver says.
        why: String,
    },
    /// The class of these claims cannot expand volumes.
    CannotGrow {
        /// The class.
        class: String,
        /// One of its claims.
        claim: String,
    },
}

/// The next step. `expandable` says whether a storage class can expand volumes.
pub fn next(database: &Database, observed: &Observed, expandable: impl Fn(&str) -> bool) -> Growth {
    let wanted = database.sizes.storage;
    let declared = database.places().map(|place| database.claim_name(&place));
    let claims: Vec<&PersistentVolumeClaim> =
        declared.filter_map(|name| observed.claims.get(&name)).collect();
    let small: Vec<&PersistentVolumeClaim> =
        claims.iter().copied().filter(|claim| requested(claim) < wanted).collect();
    let class = |claim: &PersistentVolumeClaim| {
        claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default()
    };
    if let Some(claim) = small.iter().find(|claim| !expandable(&class(claim))) {
        return Growth::CannotGrow { class: class(claim), claim: claim.name_any() };
    }
    if !small.is_empty() {
        return Growth::PatchClaims(small.iter().map(|claim| claim.name_any()).collect());
    }
    // Only declared ones are applied again; one of a cluster that leaves would be gone.
    let declared = database.spec.clusters.iter().map(|cluster| database.set_name(&cluster.name));
    let outdated: Vec<String> = declared
        .filter_map(|name| observed.sets.get(&name))
        .filter(|set| template_size(set).is_some_and(|size| size != wanted))
        .map(ResourceExt::name_any)
        .collect();
    if !outdated.is_empty() {
        return Growth::ReplaceSets(outdated);
    }
    let growing = claims.iter().filter(|c| capacity(c).is_some_and(|size| size < wanted));
    let failing = |claim: &&&PersistentVolumeClaim| Some((claim.name_any(), failure(claim)?));
    if let Some((claim, why)) = growing.clone().find_map(|claim| failing(&claim)) {
        return Growth::Failing { claim, why };
    }
    let growing: Vec<String> = growing.map(|claim| claim.name_any()).collect();
    if growing.is_empty() { Growth::Done } else { Growth::Growing(growing) }
}

/// What the driver, or the machine that has the volume, says against it.
fn failure(claim: &PersistentVolumeClaim) -> Option<String> {
    let failed = |kind: &str| ["ControllerResizeError", "NodeResizeError"].contains(&kind);
    condition(claim, failed).map(|found| found.message.clone().unwrap_or_default())
}

fn condition(
    claim: &PersistentVolumeClaim,
    wanted: impl Fn(&str) -> bool,
) -> Option<&PersistentVolumeClaimCondition> {
    let mut conditions = claim.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|found| found.status == "True" && wanted(&found.type_))
}

/// Whether a volume has grown but for its file system, and its driver grows that only when the
/// volume is mounted: then this pod, which began before, has to make way for another.
pub fn awaits_restart(claim: &PersistentVolumeClaim, pod: &Pod, now: Timestamp) -> bool {
    let pending = condition(claim, |kind| kind == "FileSystemResizePending");
    let since = pending.and_then(|found| Some(found.last_transition_time.as_ref()?.0));
    let began = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    since
        .zip(began)
        .is_some_and(|(since, began)| began <= since && now.duration_since(since) > MOUNTED_GROWTH)
}

fn requested(claim: &PersistentVolumeClaim) -> u64 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|requests| bytes(&requests.get("storage")?.0)).unwrap_or(u64::MAX)
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<u64> {
    bytes(&claim.status.as_ref()?.capacity.as_ref()?.get("storage")?.0)
}

fn template_size(set: &StatefulSet) -> Option<u64> {
    let template = set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?;
    Some(requested(template))
}

/// Leaves the size in the claim templates of StatefulSets that are there as it is: the
/// API server refuses to change it, and with it everything else that is applied.
pub fn keep_templates(objects: &mut [Desired], observed: &Observed) {
    for object in objects.iter_mut().filter(|object| object.resource.kind == "StatefulSet") {
        let set = observed.sets.get(&object.name).and_then(|set| set.spec.as_ref());
        let template = set.and_then(|spec| spec.volume_claim_templates.as_ref()?.first());
        let requests =
            template.and_then(|t| t.spec.as_ref()?.resources.as_ref()?.requests.as_ref());
        let Some(size) = requests.and_then(|requests| requests.get("storage")) else { continue };
        let templates = &mut object.body["spec"]["volumeClaimTemplates"];
        templates[0]["spec"]["resources"]["requests"]["storage"] = size.0.clone().into();
    }
}

#[cfg(test)]
mod tests;
