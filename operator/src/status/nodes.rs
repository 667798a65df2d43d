//! Each declared node in one word.

use crate::dereference::Observed;
use crate::validate::{Database, Place};
use doug_client::v1;
use doug_crds::{NodeState, NodeStatus};
use doug_proto::clock_offset::clock_off;

/// The status of every declared node, in order of declaration.
pub fn node_statuses(
    database: &Database,
    observed: &Observed,
    old: &[NodeStatus],
    now: &str,
) -> Vec<NodeStatus> {
    database.places().map(|place| node(database, observed, old, &place, now)).collect()
}

fn node(
    database: &Database,
    observed: &Observed,
    old: &[NodeStatus],
    place: &Place,
    now: &str,
) -> NodeStatus {
    let name = place.name();
    let before = old.iter().find(|node| node.name == name);
    let replacing = before.and_then(|node| node.replacing.clone());
    let Some(answer) = observed.answers.get(place) else {
        let since = before.and_then(|node| node.silent_since.clone());
        return NodeStatus {
            id: before.and_then(|node| node.id.clone()),
            state: silent_state(database, observed, place),
            version: before.and_then(|node| node.version.clone()),
            message: observed.silent.get(place).cloned(),
            silent_since: Some(since.unwrap_or_else(|| now.to_owned())),
            replacing,
            name,
        };
    };
    let damaged = answer.status.replicas.iter().find(|replica| !replica.damage.is_empty());
    let message = damaged.map(|replica| {
        format!("partition {} is damaged here: {}", replica.partition, replica.damage)
    });
    let volume = answer.status.volume.as_ref().filter(|volume| volume.is_nearly_full());
    let volume = volume.map(|volume| format!("its volume is {} % full", volume.used_percent()));
    let clock = clock_off(answer.status.clock_offset_milliseconds);
    let clock = clock.map(|off| format!("its clock is {off}"));
    NodeStatus {
        name,
        id: Some(answer.status.id.clone()),
        state: match answer.status.state() {
            v1::NodeState::Empty => NodeState::Empty,
            v1::NodeState::Ready => NodeState::Ready,
            v1::NodeState::CatchingUp => NodeState::CatchingUp,
            v1::NodeState::Starting => NodeState::Starting,
            v1::NodeState::Unspecified | v1::NodeState::Unreachable | v1::NodeState::Removed => {
                NodeState::Unreachable
            }
        },
        version: Some(answer.status.version.clone()),
        message: message.or(volume).or(clock),
        silent_since: None,
        replacing,
    }
}

fn silent_state(database: &Database, observed: &Observed, place: &Place) -> NodeState {
    let status = observed.pod(database, place).and_then(|pod| pod.status.as_ref());
    let Some(status) = status.filter(|status| status.phase.as_deref() == Some("Running")) else {
        return NodeState::Pending;
    };
    let started = status.container_statuses.iter().flatten().all(|c| c.started == Some(true));
    if started { NodeState::Unreachable } else { NodeState::Starting }
}
