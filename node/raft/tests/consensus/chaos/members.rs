//! Members that come and go, many at once, while everything else happens too.

use std::collections::BTreeSet;

use doug_raft::{Configuration, Role};

use super::{one_of, some_leader};
use crate::support::cluster::Cluster;
use crate::support::{MILLISECOND, id};

/// Replicas that exist at once, removed ones that still run included.
const MOST_NODES: usize = 8;

/// The next step of a change, if one is half done; or the beginning of another.
pub fn change(cluster: &mut Cluster) {
    let Some(leader) = some_leader(cluster) else { return };
    let now = cluster.raft(leader).configuration().clone();
    let to = if now.is_joint() {
        finished(&now)
    } else if cluster.dice.percent(30) {
        other_learners(cluster, &now)
    } else {
        other_voters(cluster, &now)
    };
    // It is refused while the change before is not committed, and for many other reasons.
    let _ = cluster.change(leader, to);
}

fn finished(joint: &Configuration) -> Configuration {
    Configuration { outgoing: BTreeSet::new(), ..joint.clone() }
}

fn other_learners(cluster: &mut Cluster, now: &Configuration) -> Configuration {
    let mut to = now.clone();
    to.learners.clear();
    for number in candidates(cluster) {
        if !now.voters.contains(&id(number)) && cluster.dice.percent(40) {
            to.learners.insert(id(number));
        }
    }
    to
}

/// From none in common with the voters of now to all, one to five of them; who leaves may stay on
/// as a learner.
fn other_voters(cluster: &mut Cluster, now: &Configuration) -> Configuration {
    let mut left = candidates(cluster);
    let mut to = Configuration {
        outgoing: now.voters.clone(),
        learners: now.learners.clone(),
        ..Configuration::default()
    };
    for _ in 0..cluster.dice.between(1, 5) {
        let Some(number) = one_of(&mut cluster.dice, &left) else { break };
        left.retain(|&other| other != number);
        to.voters.insert(id(number));
        to.learners.remove(&id(number));
    }
    for &leaving in now.voters.difference(&to.voters) {
        if cluster.dice.percent(20) {
            to.learners.insert(leaving);
        }
    }
    to
}

/// Everyone there is; and sometimes somebody new.
fn candidates(cluster: &mut Cluster) -> Vec<u64> {
    if cluster.nodes.len() < MOST_NODES && cluster.dice.percent(40) {
        cluster.join_next();
    }
    cluster.nodes.keys().copied().collect()
}

/// A replica that nobody lists any more is destroyed with all it holds.
pub fn retire(cluster: &mut Cluster) {
    if cluster.running().len() < cluster.nodes.len() {
        return;
    }
    let idle: Vec<u64> =
        cluster.nodes.keys().copied().filter(|&number| is_forgotten(cluster, number)).collect();
    if let Some(number) = one_of(&mut cluster.dice, &idle) {
        cluster.destroy(number);
    }
}

fn is_forgotten(cluster: &Cluster, number: u64) -> bool {
    let listed = |other: &u64| cluster.raft(*other).configuration().members().contains(&id(number));
    let joined = !cluster.raft(number).configuration().members().is_empty();
    joined && !cluster.running().iter().any(listed)
}

/// Brings a change that is half done to its end, as an operator would, and stops the replicas that
/// are left out.
pub fn finish_changes(cluster: &mut Cluster) {
    loop {
        let leader = cluster.run_until_leader(8_000 * MILLISECOND);
        cluster.run_until(4_000 * MILLISECOND, |cluster| {
            cluster.running().contains(&leader)
                && (cluster.raft(leader).role() != Role::Leader
                    || cluster.raft(leader).membership_is_committed())
        });
        if cluster.raft(leader).role() != Role::Leader {
            continue;
        }
        let now = cluster.raft(leader).configuration().clone();
        if !now.is_joint() {
            destroy_left_out(cluster, &now);
            return;
        }
        let _ = cluster.change(leader, finished(&now));
        cluster.run_for(100 * MILLISECOND);
    }
}

fn destroy_left_out(cluster: &mut Cluster, now: &Configuration) {
    for number in cluster.running() {
        if !now.members().contains(&id(number)) {
            cluster.destroy(number);
        }
    }
}
