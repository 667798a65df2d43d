//! Groups under faults drawn from a seed: losses, delays, duplicates, partitions, crashes that lose
//! what was not durable; in half of them members come and go, in half of them clocks drift and
//! leaders read by lease, in half of them idle groups quiesce, in a third of them logs lose their
//! ends, in a few every tick is late. The checker watches every step; when the faults stop, the
//! group has to come to agreement.

#[path = "chaos/members.rs"]
mod members;
#[cfg(feature = "mutants")]
#[path = "chaos/mutants.rs"]
mod mutants;
#[path = "chaos/quiesce.rs"]
mod quiesce;

use std::collections::BTreeMap;
use std::time::Duration;

use doug_raft::{Config, LeaseConfig, Role};

use crate::support::cluster::Cluster;
use crate::support::weather::{Dice, Weather};
use crate::support::{MILLISECOND, command, id, voters};

const SEEDS: u64 = 400;

/// Storms find races within a round of messages; fair weather leaves room for many changes of
/// leader.
fn weather(dice: &mut Dice) -> Weather {
    let storm = dice.percent(50);
    let (latency, sync) = if storm { (40, 20) } else { (2, 2) };
    let (loss, stray) = if storm { (20, 4) } else { (3, 4) };
    Weather {
        latency: (MILLISECOND / 10, dice.duration(MILLISECOND / 5, latency * MILLISECOND)),
        sync: (MILLISECOND / 20, dice.duration(MILLISECOND / 10, sync * MILLISECOND)),
        loss_percent: dice.between(0, loss),
        duplicate_percent: dice.between(0, 20),
        stray_percent: dice.between(0, stray),
        ..Weather::fair()
    }
}

fn cluster(seed: u64, also: impl Fn(&mut Config)) -> Cluster {
    let mut dice = Dice::new(seed);
    let size = [3, 4, 5][dice.between(0, 2) as usize];
    let (pre_vote, check_quorum) = (dice.percent(80), dice.percent(80));
    let window = dice.between(1, 8) as u32;
    let append_bytes = [1, 200, 4_000][dice.between(0, 2) as usize];
    let lease = (seed % 4 >= 2).then_some(LeaseConfig { max_drift_ppm: 200_000 });
    let mut cluster = Cluster::new(voters(1..=size), seed, |config| {
        config.pre_vote = pre_vote;
        config.check_quorum = check_quorum || lease.is_some();
        config.lease = lease;
        config.max_inflight_batches = window;
        config.max_append_bytes = append_bytes;
        config.max_uncommitted_bytes = 4_000;
        also(config);
    });
    cluster.weather = weather(&mut dice);
    cluster.dice = dice;
    cluster.story.silent = true;
    cluster.changes_members = seed % 2 == 1;
    cluster.quiesce_after =
        (seed % 8 >= 4).then(|| Duration::from_millis(cluster.dice.between(1, 60)));
    cluster.tails_suffer = seed.is_multiple_of(3);
    cluster.ticks_late_by = (seed % 16 == 10).then_some(60 * MILLISECOND);
    (1..=size).for_each(|number| cluster.begin_to_look(number));
    cluster.let_clocks_drift(lease.map_or(0, |lease| lease.max_drift_ppm.into()));
    cluster
}

fn one_of(dice: &mut Dice, numbers: &[u64]) -> Option<u64> {
    let last = numbers.len().checked_sub(1)?;
    numbers.get(dice.between(0, last as u64) as usize).copied()
}

/// Any that leads or believes so.
fn some_leader(cluster: &mut Cluster) -> Option<u64> {
    let leads = |&number: &u64| cluster.raft(number).role() == Role::Leader;
    let leaders: Vec<u64> = cluster.running().into_iter().filter(leads).collect();
    one_of(&mut cluster.dice, &leaders)
}

/// One thing that fate, operators or users do.
fn something_happens(cluster: &mut Cluster) {
    if cluster.tails_suffer && cluster.tail_dice.percent(1) {
        power_fails_everywhere(cluster);
    }
    let everyone: Vec<u64> = cluster.nodes.keys().copied().collect();
    let number = one_of(&mut cluster.dice, &everyone).expect("a cluster has nodes");
    let other = one_of(&mut cluster.dice, &everyone).expect("a cluster has nodes");
    match cluster.dice.between(0, 99) {
        0..16 => fate(cluster, number, other),
        16..20 => leader_is_cut_off_and_suspected(cluster),
        20..24 => votes_are_split_and_a_voter_reboots(cluster, number, other),
        24..32 if cluster.changes_members => members::change(cluster),
        32..33 if cluster.changes_members => members::retire(cluster),
        33 if cluster.quiesce_after.is_some() => quiesce::disturb(cluster),
        33..36 => leader_hands_over_and_is_asked_again(cluster, other),
        24..45 if cluster.nodes[&number].raft.is_some() => operator(cluster, number, other),
        45..65 => read(cluster, number),
        _ => write(cluster),
    }
}

/// Every log may end in a record that was cut short: they must elect somebody all the same.
fn power_fails_everywhere(cluster: &mut Cluster) {
    for number in cluster.running() {
        cluster.crash(number, 0);
    }
    for number in cluster.nodes.keys().copied().collect::<Vec<_>>() {
        if cluster.tail_dice.percent(70) {
            cluster.start(number);
        }
    }
}

fn fate(cluster: &mut Cluster, number: u64, other: u64) {
    let running = cluster.nodes[&number].raft.is_some();
    match cluster.dice.between(0, 9) {
        0..3 if running => {
            let pending = cluster.nodes[&number].disk.pending() as u64;
            let kept = cluster.dice.between(0, pending) as usize;
            cluster.crash(number, kept);
        }
        0..6 if !running => cluster.start(number),
        6 => cluster.isolate(&[number, other]),
        7 => {
            cluster.weather.cut.insert((number, other));
        }
        _ => cluster.heal(),
    }
}

/// The quickest way to two leaders that both believe in themselves.
fn leader_is_cut_off_and_suspected(cluster: &mut Cluster) {
    let Some(leader) = cluster.leader() else { return };
    cluster.heal();
    cluster.isolate(&[leader]);
    for number in cluster.running() {
        cluster.with(number, |raft, now| raft.suspect(now, id(leader)));
    }
}

/// Whoever still believes in its lease now answers with what is old.
fn leader_hands_over_and_is_asked_again(cluster: &mut Cluster, to: u64) {
    let Some(leader) = cluster.leader().filter(|&leader| leader != to) else { return };
    let _ = cluster.with(leader, |raft, now| raft.transfer(now, id(to)));
    let pause = cluster.dice.duration(Duration::ZERO, 10 * MILLISECOND);
    cluster.run_for(pause);
    cluster.isolate(&[leader]);
    let pause = cluster.dice.duration(Duration::ZERO, 60 * MILLISECOND);
    cluster.run_for(pause);
    write(cluster);
    let pause = cluster.dice.duration(Duration::ZERO, 60 * MILLISECOND);
    cluster.run_for(pause);
    if cluster.nodes.get(&leader).is_some_and(|node| node.raft.is_some()) {
        cluster.read(leader, 1);
    }
}

/// Whoever forgets a vote now gives it twice.
fn votes_are_split_and_a_voter_reboots(cluster: &mut Cluster, voter: u64, candidate: u64) {
    for number in cluster.running() {
        if number == candidate || (number != voter && cluster.dice.percent(50)) {
            cluster.with(number, |raft, now| raft.campaign(now));
            let pause = cluster.dice.duration(Duration::ZERO, 2 * MILLISECOND);
            cluster.run_for(pause);
        }
    }
    let pause = cluster.dice.duration(Duration::ZERO, 4 * MILLISECOND);
    cluster.run_for(pause);
    if cluster.nodes[&voter].raft.is_some() {
        let pending = cluster.nodes[&voter].disk.pending() as u64;
        let kept = cluster.dice.between(0, pending) as usize;
        cluster.crash(voter, kept);
        cluster.start(voter);
    }
}

fn operator(cluster: &mut Cluster, number: u64, other: u64) {
    match cluster.dice.between(0, 4) {
        0 if number != other => {
            let _ = cluster.with(number, |raft, now| raft.transfer(now, id(other)));
        }
        1 => cluster.with(number, |raft, now| raft.suspect(now, id(other))),
        2 => cluster.with(number, |raft, now| raft.campaign(now)),
        3 => cluster.node(number).flush(),
        _ => {
            let upto = cluster.raft(number).last_index();
            cluster.with(number, |raft, _| raft.evict_payloads(upto));
        }
    }
}

fn read(cluster: &mut Cluster, number: u64) {
    let leader = if cluster.dice.percent(50) { some_leader(cluster) } else { None };
    let number = leader.unwrap_or(number);
    if cluster.nodes[&number].raft.is_some() {
        let count = cluster.dice.between(1, 3);
        cluster.read(number, count);
    }
}

fn write(cluster: &mut Cluster) {
    let Some(leader) = some_leader(cluster) else { return };
    let count = cluster.dice.between(1, 4);
    let commands: Vec<_> = (0..count).map(|n| command(&n.to_string())).collect();
    // A leader may refuse: it hands over, or too much is uncommitted.
    let _ = cluster.propose(leader, &commands);
}

fn check_logs(cluster: &Cluster) {
    let running = cluster.running();
    for &one in &running {
        for &other in running.iter().filter(|&&other| other > one) {
            cluster.checker.logs_match(cluster.raft(one), cluster.raft(other));
        }
    }
    quiesce::check(cluster);
    for node in cluster.nodes.values() {
        cluster.checker.one_change_under_way(&node.disk);
    }
}

/// All faults end: within ten seconds there is a leader, and whatever it is given reaches everyone.
fn recovers(cluster: &mut Cluster) {
    cluster.weather = Weather::fair();
    let down: Vec<u64> =
        cluster.nodes.iter().filter(|(_, node)| node.raft.is_none()).map(|(&n, _)| n).collect();
    for number in down {
        cluster.start(number);
    }
    cluster.run_for(2_000 * MILLISECOND);
    cluster.story.silent = false;
    cluster.story.heartbeats = true;
    members::finish_changes(cluster);
    let leader = cluster.run_until_leader(8_000 * MILLISECOND);
    let proposed =
        cluster.propose(leader, &[command("last")]).expect("a leader at rest takes commands");
    cluster.run_until(2_000 * MILLISECOND, |cluster| {
        cluster.nodes.values().all(|node| node.machine.applied >= proposed.base)
    });
    let machine = &cluster.nodes[&leader].machine;
    assert!(cluster.nodes.values().all(|node| node.machine == *machine), "state machines differ");
    check_logs(cluster);
}

fn one_seed(seed: u64, also: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = cluster(seed, also);
    for _ in 0..300 {
        let pause = cluster.dice.duration(Duration::ZERO, 20 * MILLISECOND);
        cluster.run_for(pause);
        something_happens(&mut cluster);
        check_logs(&cluster);
    }
    recovers(&mut cluster);
    cluster
}

/// `DOUG_RAFT_SEEDS=5000` runs more seeds than usual.
fn seeds() -> u64 {
    std::env::var("DOUG_RAFT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn groups_stay_safe_under_faults_and_recover_when_they_end() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..seeds() {
        // A failing seed is named by the panic's last line.
        let result = std::panic::catch_unwind(|| one_seed(seed, |_| {}));
        let cluster = result.unwrap_or_else(|_| panic!("seed {seed} failed, as said above"));
        *counts.entry("committed").or_default() += cluster.checker.greatest_commit();
        *counts.entry("changes committed").or_default() += cluster.checker.changes();
        for (kind, count) in cluster.counts {
            *counts.entry(kind).or_default() += count;
        }
    }
    // Faults so heavy that nothing happens any more would find nothing either.
    println!("{counts:#?}");
    for (kind, each) in [
        ("committed", 50),
        ("elections", 3),
        ("reads ready", 5),
        ("fetches", 1),
        ("snapshots", 1),
        ("changes committed", 1),
        ("reads at once", 1),
        ("quiesces", 1),
        ("silence", 0),
        ("tails lost", 0),
        ("tails repaired", 0),
    ] {
        assert!(counts[kind] >= each * seeds(), "fewer than {each} {kind} a seed: {counts:?}");
    }
}

#[test]
fn a_seed_always_tells_the_same_story() {
    let story = |seed| {
        let mut cluster = cluster(seed, |_| {});
        cluster.story.silent = false;
        cluster.story.heartbeats = true;
        for _ in 0..100 {
            cluster.run_for(10 * MILLISECOND);
            something_happens(&mut cluster);
        }
        cluster.story.to_string()
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}
