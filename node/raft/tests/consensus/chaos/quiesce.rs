//! Idle groups quiesce, and what ends that: with a majority well, somebody must lead soon.

use std::time::Duration;

use doug_raft::Role;

use super::{read, some_leader, write};
use crate::support::MILLISECOND;
use crate::support::cluster::Cluster;
use crate::support::weather::Weather;

/// Lets the group quiesce in fair weather, disturbs it, and asks for what must hold then.
pub fn disturb(cluster: &mut Cluster) {
    let storm = std::mem::replace(&mut cluster.weather, Weather::fair());
    if quiesces_soon(cluster) {
        let leader = cluster.leader().expect("a quiesced group has a leader");
        *cluster.counts.entry("whole groups quiesced").or_default() += 1;
        match cluster.dice.between(0, 4) {
            0 => leader_dies(cluster, leader),
            1 => leader_restarts_at_once(cluster, leader),
            2 => leader_is_cut_off(cluster, leader),
            3 => sight_is_lost_one_by_one(cluster, leader),
            _ => write(cluster),
        }
    }
    let cut = std::mem::take(&mut cluster.weather.cut);
    cluster.weather = Weather { cut, ..storm };
}

fn quiesces_soon(cluster: &mut Cluster) -> bool {
    for number in cluster.nodes.keys().copied().collect::<Vec<_>>() {
        if cluster.nodes[&number].raft.is_none() {
            cluster.start(number);
        }
    }
    for _ in 0..20 {
        cluster.run_for(100 * MILLISECOND);
        if cluster.nodes.values().all(|node| node.raft.as_ref().is_some_and(|r| r.is_quiesced())) {
            return true;
        }
    }
    // While members come and go, a replica that was left out or a learner keeps its group from
    // quiescing.
    assert!(
        cluster.changes_members,
        "nothing keeps this group from quiescing:\n{}",
        cluster.state()
    );
    false
}

fn others_lead(cluster: &mut Cluster, former: u64) {
    cluster.run_until(3_000 * MILLISECOND, |cluster| {
        cluster.running().into_iter().any(|n| {
            n != former && cluster.raft(n).role() == Role::Leader && !cluster.raft(n).is_quiesced()
        })
    });
}

fn leader_dies(cluster: &mut Cluster, leader: u64) {
    cluster.crash(leader, 0);
    if cluster.nodes.len() > 2 {
        others_lead(cluster, leader);
    }
}

fn leader_restarts_at_once(cluster: &mut Cluster, leader: u64) {
    cluster.crash(leader, 0);
    let pause = cluster.dice.duration(Duration::ZERO, 100 * MILLISECOND);
    cluster.run_for(pause);
    cluster.start(leader);
}

/// What it would answer now is old.
fn leader_is_cut_off(cluster: &mut Cluster, leader: u64) {
    cluster.isolate(&[leader]);
    if cluster.nodes.len() > 2 {
        others_lead(cluster, leader);
        write(cluster);
        cluster.run_for(100 * MILLISECOND);
    }
    cluster.read(leader, 1);
}

/// One follower after the other loses sight of the leader, which works on with the rest in between:
/// whoever lost sight first cannot win alone, and a replica that stays quiesced must not refuse it
/// for ever.
fn sight_is_lost_one_by_one(cluster: &mut Cluster, leader: u64) {
    let followers: Vec<u64> = cluster.running().into_iter().filter(|&n| n != leader).collect();
    for &follower in &followers {
        cluster.weather.cut.extend([(leader, follower), (follower, leader)]);
        let pause = cluster.dice.duration(Duration::ZERO, 500 * MILLISECOND);
        cluster.run_for(pause);
        if cluster.dice.percent(50) && cluster.raft(leader).role() == Role::Leader {
            write(cluster);
        } else if some_leader(cluster).is_some() {
            read(cluster, follower);
        }
    }
    if followers.len() > 1 {
        others_lead(cluster, leader);
    }
}

/// While members come and go, who belongs to the group is not the same for all.
pub fn check(cluster: &Cluster) {
    let everyone = cluster.nodes.values().map(|node| node.raft.as_ref());
    if !cluster.changes_members && everyone.clone().all(|raft| raft.is_some()) {
        cluster.checker.quiescence_is_sound(everyone.flatten());
    }
}
