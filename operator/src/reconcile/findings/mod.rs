//! What all that was found means for the four conditions. Pure.

mod lives;
mod members;

pub use lives::{asleep, awake, paused};

use super::{Failure, Progress};
use crate::bootstrap::Step;
use crate::dereference::Observed;
use crate::rollout::Next;
use crate::status::{Finding, Findings};
use crate::storage::Growth;
use crate::validate::{Database, Place};
use doug_client::v1;
use doug_crds::{DougCluster, DougClusterStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// A node that restarts is silent for a while, and needs nobody.
const RESTART: SignedDuration = SignedDuration::from_secs(30);

/// Of a resource that cannot be read nothing is known, and nothing is done.
pub fn unreadable(failure: &Failure) -> Findings {
    let (reason, message) = (failure.reason(), failure.to_string());
    Findings {
        ready: Finding::unknown(reason, message.clone()),
        available: Finding::unknown(reason, message.clone()),
        progressing: Finding::no(reason, message.clone()),
        degraded: Finding::yes(reason, message),
    }
}

/// A failure: what is known of readiness is out of date. One that passes by itself needs nobody.
pub fn of_failure(cluster: &DougCluster, failure: &Failure, passes: bool) -> Findings {
    let (reason, message) = (failure.reason(), failure.to_string());
    let was = |kind: &str| {
        let known = cluster.status.iter().flat_map(|status| &status.conditions);
        let was = known.into_iter().find(|condition| condition.type_ == kind);
        was.map(|condition| condition.status.as_str())
    };
    let stale = |kind: &str| {
        match was(kind) {
            // Serving goes on by itself: a bad change to the spec, or an API
            // server in trouble, does not stop what already runs.
            Some("True") => {
                Finding::yes("AsBefore", format!("as it was when last seen; now: {message}"))
            }
            _ => Finding::unknown(reason, message.clone()),
        }
    };
    Findings {
        ready: stale("Ready"),
        available: stale("Available"),
        progressing: if passes {
            Finding::yes(reason, message.clone())
        } else {
            Finding::no(reason, message.clone())
        },
        // What passes by itself needs no person; nor does it mend what needed one before.
        degraded: if passes && was("Degraded") != Some("True") {
            Finding::no(reason, message)
        } else {
            Finding::yes(reason, message)
        },
    }
}

/// All four, for a reconciliation that went through.
pub fn judge(
    database: &Database,
    observed: &Observed,
    old: &DougClusterStatus,
    progress: &Progress,
    now: &str,
) -> Findings {
    Findings {
        ready: ready(observed, old, progress),
        available: available(observed, progress),
        progressing: progressing(database, observed, progress),
        degraded: degraded(database, observed, old, progress, now),
    }
}

fn not_created(progress: &Progress) -> Option<Finding> {
    match &progress.bootstrap {
        Step::Done => None,
        Step::Wait(why) => Some(Finding::no("WaitingForNodes", why.clone())),
        Step::Intend(_) | Step::Create(..) => {
            Some(Finding::no("Creating", "the nodes are being told what they are"))
        }
        Step::Blocked(reason, why) => Some(Finding::no(reason, why.clone())),
    }
}

fn ready(observed: &Observed, old: &DougClusterStatus, progress: &Progress) -> Finding {
    if let Some(finding) = not_created(progress) {
        return finding;
    }
    let Some(map) = observed.map() else {
        return Finding::unknown("NoPartitionMap", "no node gives a partition map");
    };
    let all = map.partitions.len();
    if !progress.unwritable.is_empty() {
        return Finding::no(
            "PartitionsNotWritable",
            format!(
                "{} of {all} partitions accept writes; not: {}",
                all - progress.unwritable.len(),
                list(&progress.unwritable)
            ),
        );
    }
    let published = old.partition_map.as_ref().map_or(0, |map| map.epoch);
    let epoch = published.max(map.epoch);
    let ready: Vec<_> = observed.facades.iter().filter(|facade| facade.ready).collect();
    if ready.is_empty() {
        return Finding::no("NoFacade", "every partition accepts writes, but no facade is ready");
    }
    let behind =
        ready.iter().filter(|f| f.map.as_ref().is_none_or(|map| map.epoch < epoch)).count();
    if behind > 0 {
        return Finding::no(
            "FacadesBehind",
            format!(
                "{behind} of {} facades do not have the partition map of epoch {epoch} yet",
                ready.len()
            ),
        );
    }
    Finding::yes("AllPartitionsWritable", format!("{all} of {all} partitions accept writes"))
}

fn available(observed: &Observed, progress: &Progress) -> Finding {
    if let Some(finding) = not_created(progress) {
        return finding;
    }
    let Some(map) = observed.map() else {
        return Finding::unknown("NoPartitionMap", "no node gives a partition map");
    };
    let all = map.partitions.len();
    let writable = all - progress.unwritable.len();
    let facades = observed.facades.iter().filter(|facade| facade.ready).count();
    if writable == 0 || facades == 0 {
        return Finding::no(
            "NothingServed",
            format!("{writable} of {all} partitions accept writes, {facades} facades are ready"),
        );
    }
    Finding::yes(
        "Serving",
        format!("{writable} of {all} partitions accept writes, {facades} facades are ready"),
    )
}

fn progressing(database: &Database, observed: &Observed, progress: &Progress) -> Finding {
    match &progress.bootstrap {
        Step::Wait(why) => return Finding::yes("WaitingForNodes", why.clone()),
        Step::Intend(_) | Step::Create(..) => {
            return Finding::yes("Creating", "the nodes are being told what they are");
        }
        Step::Blocked(reason, why) => return Finding::no(reason, why.clone()),
        Step::Done => {}
    }
    match &progress.growth {
        Growth::PatchClaims(claims) | Growth::Growing(claims) => {
            let size = &database.spec.node.storage.size;
            return Finding::yes(
                "GrowingVolumes",
                format!("{} volumes grow to {size}", claims.len()),
            );
        }
        Growth::ReplaceSets(_) => {
            return Finding::yes("GrowingVolumes", "StatefulSets are made anew with the new size");
        }
        Growth::Failing { claim, why } => {
            return Finding::yes("GrowingVolumes", format!("claim {claim} does not grow: {why}"));
        }
        Growth::Done | Growth::CannotGrow { .. } => {}
    }
    match &progress.rollout {
        Next::Evict(place) | Next::Delete(place) => {
            return Finding::yes(
                "ReplacingPods",
                format!("the pod of node {} is replaced", place.name()),
            );
        }
        Next::HandOver { from, partition, .. } => {
            return Finding::yes(
                "ReplacingPods",
                format!("node {} hands partition {partition} over", from.name()),
            );
        }
        Next::Wait(why) => return Finding::yes("ReplacingPods", format!("waiting: {why}")),
        Next::Stuck { place, why } => {
            return Finding::no("PodBroken", format!("stopped at node {}: {why}", place.name()));
        }
        Next::Done | Next::Held { .. } => {}
    }
    if let Some(finding) = members::progressing(observed, &progress.members) {
        return finding;
    }
    let coming = database.places().filter(|place| !is_ready(observed, place)).count();
    if coming > 0 {
        return Finding::yes("NodesComing", format!("{coming} nodes are not ready yet"));
    }
    if let Next::Held { waiting, opens } = &progress.rollout {
        return Finding::no("AwaitingMaintenance", held(*waiting, opens.as_deref()));
    }
    Finding::no("Settled", "nothing is being changed")
}

fn held(waiting: usize, opens: Option<&str>) -> String {
    match opens {
        Some(opens) => format!(
            "{waiting} pods wait to be replaced until a maintenance window opens: {opens}. To begin \
             at once, take spec.maintenanceWindows out for as long"
        ),
        None => format!(
            "{waiting} pods wait to be replaced, and no maintenance window ever opens: correct \
             spec.maintenanceWindows"
        ),
    }
}

fn is_ready(observed: &Observed, place: &Place) -> bool {
    let answer = observed.answers.get(place);
    answer.is_some_and(|answer| answer.status.state() == v1::NodeState::Ready)
}

/// The first of what needs a person, the worst first.
fn degraded(
    database: &Database,
    observed: &Observed,
    old: &DougClusterStatus,
    progress: &Progress,
    now: &str,
) -> Finding {
    if let Step::Blocked(reason, why) = &progress.bootstrap {
        return Finding::yes(reason, why.clone());
    }
    if let Next::Stuck { place, why } = &progress.rollout {
        return Finding::yes(
            "PodBroken",
            format!(
                "pod {} does not run: {why}. No other pod is replaced meanwhile; correct the \
                 declaration, or undo the last change",
                database.pod_name(place)
            ),
        );
    }
    if let Some((name, why)) = observed.refused.first_key_value() {
        return Finding::yes(
            "PodsRefused",
            format!(
                "no pods are made for {name}: {why}. Raise the quota, change the policy, or \
                 correct the declaration"
            ),
        );
    }
    if let Growth::CannotGrow { class, claim } = &progress.growth {
        return Finding::yes(
            "VolumesCannotGrow",
            format!(
                "claim {claim} is smaller than declared, and its storage class {class:?} cannot \
                 expand volumes: set allowVolumeExpansion on the class if its driver can, or else \
                 delete the DougCluster with --cascade=orphan and apply it with the old size"
            ),
        );
    }
    if let Growth::Failing { claim, why } = &progress.growth {
        return Finding::yes(
            "VolumesDoNotGrow",
            format!(
                "the volume of claim {claim} does not grow: {why}. If its driver grows only \
                 volumes \
                 that no machine has, cordon its machine, delete its pod, and uncordon once the \
                 claim has its size; one node of a cluster at a time"
            ),
        );
    }
    if let Some(finding) = observed.map().and_then(|map| members::differs(database, &map)) {
        return finding;
    }
    if let Some(finding) = members::barred(&progress.members) {
        return finding;
    }
    if let Some(finding) = members::refused(&progress.members) {
        return finding;
    }
    if let Some(finding) = members::nearly_full(observed) {
        return finding;
    }
    if let Some(finding) = members::clocks_off(observed) {
        return finding;
    }
    let damaged = observed.answers.iter().find_map(|(place, answer)| {
        let replica = answer.status.replicas.iter().find(|replica| !replica.damage.is_empty())?;
        Some((place, replica))
    });
    if let Some((place, replica)) = damaged {
        return Finding::yes(
            "ReplicaDamaged",
            format!(
                "node {} keeps out of partition {}: {}",
                place.name(),
                replica.partition,
                replica.damage
            ),
        );
    }
    let long = observed.silent.iter().filter(|(place, _)| silent_long(old, place, now));
    let long: Vec<_> = long.collect();
    if let (Step::Done, Some((place, why))) = (&progress.bootstrap, long.first()) {
        return Finding::yes(
            "NodesSilent",
            format!("nodes that do not answer: {}; node {}: {why}", long.len(), place.name()),
        );
    }
    Finding::no("AllWell", "nothing needs attention")
}

/// Whether a node is silent for longer than a restart takes.
fn silent_long(old: &DougClusterStatus, place: &Place, now: &str) -> bool {
    let known = old.nodes.iter().find(|node| node.name == place.name());
    let since = known.and_then(|node| node.silent_since.as_ref()?.parse::<Timestamp>().ok());
    let now = now.parse::<Timestamp>().ok();
    since.zip(now).is_some_and(|(since, now)| now.duration_since(since) > RESTART)
}

fn list(partitions: &[u64]) -> String {
    let first: Vec<String> = partitions.iter().take(8).map(u64::to_string).collect();
    let more = if partitions.len() > 8 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests;
