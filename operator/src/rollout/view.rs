//! Pods and replicas, as far as replacing pods needs to know them.

use crate::build::TEMPLATE_HASH;
use crate::dereference::{Observed, containers, counts_as_ready, is_of_image};
use crate::groups::has_caught_up;
use crate::storage;
use crate::validate::{Database, Place};
use doug_client::v1;
use doug_proto::ids::NodeId;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// A pod that cannot be scheduled for less than this long waits for an autoscaler, which may be
/// bringing a machine, or for its volume to be bound.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(60);
/// A container that was restarted this often is broken, not unlucky.
const RESTARTS: i32 = 3;

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Its node's replicas have all caught up, and Kubernetes counts it as ready.
    Ready,
    /// On its way.
    Coming,
    /// Not without help, and why.
    Broken(String),
}

/// A declared node's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Where.
    pub place: Place,
    /// Who, if it answers.
    pub node: Option<NodeId>,
    /// Whether it was made from another template, or its volume waits for a restart to grow.
    pub outdated: bool,
    /// How it is.
    pub state: PodState,
    /// Its replicas.
    pub replicas: Vec<ReplicaView>,
}

/// One of its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Of which partition.
    pub partition: u64,
    /// Whether it leads it.
    pub leads: bool,
    /// On a leader: the voters that have caught up, itself included.
    pub caught_up: Vec<NodeId>,
    /// On a leader: how many voters there are.
    pub voters: usize,
}

/// The view of every declared node; `hash` is that of the template wanted. And of those that their
/// cluster is not to have any more, as far as they answer: they are not replaced, but may lead.
pub fn view(database: &Database, observed: &Observed, hash: &str, now: Timestamp) -> Vec<PodView> {
    let declared = database.places().map(|place| pod_view(database, observed, hash, now, place));
    let answers = |place: &Place| observed.answers.contains_key(place);
    let last = observed.last_places(database).into_iter().filter(answers).map(|place| PodView {
        outdated: false,
        state: PodState::Ready,
        ..pod_view(database, observed, hash, now, place)
    });
    declared.chain(last).collect()
}

fn pod_view(
    database: &Database,
    observed: &Observed,
    hash: &str,
    now: Timestamp,
    place: Place,
) -> PodView {
    let pod = observed.pod(database, &place);
    let claim = observed.claims.get(&database.claim_name(&place));
    let answer = observed.answers.get(&place);
    let ready = answer.is_some_and(|answer| answer.status.state() == v1::NodeState::Ready);
    let state = match pod {
        Some(pod) if pod.metadata.deletion_timestamp.is_some() => PodState::Coming,
        // The budget counts as Kubernetes does: were the next pod replaced before
        // that has noticed, two would be away.
        Some(pod) if ready && counts_as_ready(pod) => PodState::Ready,
        Some(_) if ready => PodState::Coming,
        Some(pod) => trouble(pod, now).map_or(PodState::Coming, PodState::Broken),
        None => PodState::Coming,
    };
    let node = answer.and_then(|answer| answer.status.id.parse().ok());
    let replicas = answer.iter().flat_map(|answer| &answer.status.replicas);
    PodView {
        outdated: pod.is_some_and(|pod| {
            pod.annotations().get(TEMPLATE_HASH).is_none_or(|other| other != hash)
                || claim.is_some_and(|claim| storage::awaits_restart(claim, pod, now))
        }),
        replicas: replicas.map(|replica| replica_view(replica, node)).collect(),
        node,
        state,
        place,
    }
}

fn replica_view(replica: &v1::ReplicaStatus, own: Option<NodeId>) -> ReplicaView {
    let voters: Vec<NodeId> = replica
        .descriptor
        .iter()
        .flat_map(|descriptor| &descriptor.voters)
        .filter_map(|member| member.node.parse().ok())
        .collect();
    let peers = replica.peers.iter().filter(|peer| has_caught_up(peer, replica.commit));
    let caught_up = peers.filter_map(|peer| peer.node.parse().ok()).chain(own);
    ReplicaView {
        partition: replica.partition,
        leads: replica.role() == v1::ReplicaRole::Leader,
        caught_up: caught_up.filter(|node| voters.contains(node)).collect(),
        voters: voters.len(),
    }
}

/// What keeps a pod from running, in words.
pub fn trouble(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unschedulable = conditions
        .filter(|c| c.type_ == "PodScheduled" && c.status == "False")
        .filter(|c| {
            let since = c.last_transition_time.as_ref().map(|time| time.0);
            since.is_none_or(|since| now.duration_since(since) > SCHEDULING)
        })
        .find_map(|c| c.message.clone());
    if let Some(why) = unschedulable {
        return Some(format!("it cannot be scheduled: {why}"));
    }
    containers(pod).find_map(container_trouble)
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default();
    let image = &container.image;
    match reason {
        _ if is_of_image(reason) => Some(format!("its image {image} cannot be had: {message}")),
        "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" => {
            Some(format!("its container cannot be started: {message}"))
        }
        "CrashLoopBackOff" => {
            Some(format!("its process ends again and again: {}", last_end(container)))
        }
        _ if container.restart_count >= RESTARTS && !container.ready => Some(format!(
            "its process has ended {} times: {}",
            container.restart_count,
            last_end(container)
        )),
        _ => None,
    }
}

fn last_end(container: &ContainerStatus) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    match ended {
        Some(ended) => format!("exit code {}; see `kubectl logs --previous`", ended.exit_code),
        None => "see `kubectl logs --previous`".to_owned(),
    }
}
