//! Which pod is replaced next. Pure: what nodes and pods say goes in, one step
//! comes out.
//!
//! One at a time, and only while every partition keeps a caught-up majority
//! without it. Followers go first, because replacing one costs no hand-over; a
//! leader is relieved before its pod goes. A pod that does not run well in the
//! new form stops everything else.

mod view;

#[cfg(test)]
pub use view::ReplicaView;
pub use view::{PodState, PodView, view};

use crate::maintenance::Maintenance;
use crate::validate::Place;
use doug_proto::ids::NodeId;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every pod is as it should be.
    Done,
    /// Not now, and why.
    Wait(String),
    /// Relieve this node of the leadership of a partition, in favour of another.
    HandOver {
        /// The node that leads.
        from: Place,
        /// What it leads.
        partition: u64,
        /// Who is to lead.
        to: NodeId,
    },
    /// Evict this pod, which runs, so that the StatefulSet makes it anew. Whether it may go is
    /// the budget's to say: a drain may be taking another at this moment.
    Evict(Place),
    /// Delete this pod, which does not run, so that the StatefulSet makes it anew. Its budget is
    /// not asked: it keeps pods that are not ready while others are not either, and a correction
    /// would never reach them.
    Delete(Place),
    /// Pods that run wait for a maintenance window.
    Held {
        /// How many pods wait.
        waiting: usize,
        /// When one opens; none: never again.
        opens: Option<String>,
    },
    /// A pod of the new form does not come up.
    Stuck {
        /// Whose pod.
        place: Place,
        /// What is wrong with it.
        why: String,
    },
}

/// The next step for these pods; `changing` is a partition whose members change.
pub fn next(pods: &[PodView], changing: Option<u64>) -> Next {
    let outdated = || pods.iter().filter(|pod| pod.outdated);
    if outdated().next().is_none() {
        return match pods.iter().find(|pod| broken(pod).is_some()) {
            Some(pod) => stuck(pod),
            None => Next::Done,
        };
    }
    // Down already: making it anew takes nothing away. So a rollback begins
    // with the pod that the broken image stopped.
    if let Some(pod) = outdated().find(|pod| broken(pod).is_some()) {
        return Next::Delete(pod.place.clone());
    }
    if let Some(pod) = pods.iter().find(|pod| broken(pod).is_some()) {
        return stuck(pod);
    }
    if let Some(pod) = pods.iter().find(|pod| pod.state != PodState::Ready) {
        return Next::Wait(format!("node {} is not ready yet", pod.place.name()));
    }
    if let Some(partition) = changing {
        return Next::Wait(format!("partition {partition} is changing its members"));
    }
    let candidate = outdated().min_by_key(|pod| (leaderships(pod), pod.place.clone()));
    let Some(pod) = candidate else { return Next::Done };
    if let Some(why) = lacks_quorum_without(pods, pod) {
        return Next::Wait(why);
    }
    hand_over(pods, pod).unwrap_or_else(|| Next::Evict(pod.place.clone()))
}

/// The same step, if pods that run may be taken down now. What does not run is made anew at any
/// time: that takes nothing away.
pub fn within(maintenance: Maintenance, pods: &[PodView], next: Next) -> Next {
    match (next, maintenance) {
        (Next::Evict(_) | Next::HandOver { .. }, Maintenance::Closed(opens)) => {
            let waiting = pods.iter().filter(|pod| pod.outdated).count();
            Next::Held { waiting, opens }
        }
        (next, _) => next,
    }
}

/// The next step where nobody serves: before the database is created, or while all of it is down.
/// A pod of another template that cannot run is made anew, or a corrected declaration would never
/// reach it: a StatefulSet that is told to leave its pods alone (`OnDelete`) does. Those that run
/// are left alone, for they may be about to answer.
pub fn revive(pods: &[PodView]) -> Next {
    let broken = || pods.iter().filter(|pod| broken(pod).is_some());
    if let Some(pod) = broken().find(|pod| pod.outdated) {
        return Next::Delete(pod.place.clone());
    }
    broken().next().map_or(Next::Done, stuck)
}

fn broken(pod: &PodView) -> Option<&str> {
    match &pod.state {
        PodState::Broken(why) => Some(why),
        PodState::Ready | PodState::Coming => None,
    }
}

fn stuck(pod: &PodView) -> Next {
    Next::Stuck { place: pod.place.clone(), why: broken(pod).unwrap_or_default().to_owned() }
}

fn leaderships(pod: &PodView) -> usize {
    pod.replicas.iter().filter(|replica| replica.leads).count()
}

/// Why the pod cannot be spared: a partition that would not have a caught-up
/// majority of its voters left.
pub fn lacks_quorum_without(pods: &[PodView], pod: &PodView) -> Option<String> {
    for replica in &pod.replicas {
        let partition = replica.partition;
        let leader = pods
            .iter()
            .flat_map(|pod| &pod.replicas)
            .find(|replica| replica.partition == partition && replica.leads);
        let Some(leader) = leader else {
            return Some(format!("partition {partition} has no leader"));
        };
        let left = leader.caught_up.iter().filter(|node| Some(**node) != pod.node).count();
        if left <= leader.voters / 2 {
            return Some(format!(
                "without node {}, partition {partition} would have {left} of {} voters caught up",
                pod.place.name(),
                leader.voters
            ));
        }
    }
    None
}

/// What a node leads, and who is to lead it instead. A node that stays comes
/// before one that is itself to be replaced, so that few leaders move twice.
pub fn hand_overs(pods: &[PodView], from: &Place) -> Vec<(u64, NodeId)> {
    let Some(pod) = pods.iter().find(|pod| pod.place == *from) else { return Vec::new() };
    let outdated = |node: &NodeId| {
        pods.iter().find(|other| other.node == Some(*node)).is_none_or(|other| other.outdated)
    };
    let led = pod.replicas.iter().filter(|replica| replica.leads);
    led.filter_map(|replica| {
        let others = replica.caught_up.iter().filter(|node| Some(**node) != pod.node);
        Some((replica.partition, *others.min_by_key(|node| outdated(node))?))
    })
    .collect()
}

fn hand_over(pods: &[PodView], pod: &PodView) -> Option<Next> {
    let (partition, to) = hand_overs(pods, &pod.place).into_iter().next()?;
    Some(Next::HandOver { from: pod.place.clone(), partition, to })
}

#[cfg(test)]
mod tests;
