//! Groups under faults drawn from a seed: losses, delays, duplicates, partitions, crashes that lose what was not durable.
//! The checker watches every step; when the faults stop, the group has to come to agreement.

use std::collections::BTreeMap;

use crate::support::cluster::{Cluster, Dice, Weather};
use crate::support::{MILLISECOND, command, id, voters};

const SEEDS: u64 = 400;

fn stormy(dice: &mut Dice) -> Weather {
    Weather {
        latency: (100, dice.between(200, 40_000)),
        sync: (50, dice.between(100, 20_000)),
        loss_percent: dice.between(0, 20),
        duplicate_percent: dice.between(0, 20),
        ..Weather::fair()
    }
}

fn cluster(seed: u64) -> Cluster {
    let mut dice = Dice::new(seed);
    let size = [3, 4, 5][dice.between(0, 2) as usize];
    let (pre_vote, check_quorum) = (dice.percent(80), dice.percent(80));
    let window = dice.between(1, 8) as u32;
    let mut cluster = Cluster::new(voters(1..=size), seed, |config| {
        config.pre_vote = pre_vote;
        config.check_quorum = check_quorum;
        config.max_inflight_batches = window;
        config.max_append_bytes = 200;
        config.max_uncommitted_bytes = 4_000;
    });
    cluster.weather = stormy(&mut dice);
    cluster.dice = dice;
    cluster.story.silent = true;
    cluster
}

/// One thing that users, operators or fate do.
fn something_happens(cluster: &mut Cluster) {
    let numbers: Vec<u64> = cluster.nodes.keys().copied().collect();
    let number = numbers[cluster.dice.between(0, numbers.len() as u64 - 1) as usize];
    let other = numbers[cluster.dice.between(0, numbers.len() as u64 - 1) as usize];
    let running = cluster.nodes[&number].raft.is_some();
    match cluster.dice.between(0, 99) {
        0..4 if running => {
            let kept =
                cluster.dice.between(0, cluster.nodes[&number].disk.pending() as u64) as usize;
            cluster.crash(number, kept);
        }
        4..10 if !running => cluster.start(number),
        10..12 => cluster.isolate(&[number]),
        12..14 => cluster.isolate(&[number, other]),
        14 => {
            cluster.weather.cut.insert((number, other));
        }
        15..20 => cluster.heal(),
        20..24 if running && number != other => {
            let _ = cluster.with(number, |raft, now| raft.transfer(now, id(other)));
        }
        24..27 if running => cluster.with(number, |raft, now| raft.suspect(now, id(other))),
        27..30 if running => cluster.with(number, |raft, now| raft.campaign(now)),
        30..36 if running => cluster.node(number).flush(),
        36..42 if running => {
            let upto = cluster.raft(number).last_index();
            cluster.with(number, |raft, _| raft.evict_payloads(upto));
        }
        42..60 if running => {
            let count = cluster.dice.between(1, 3);
            cluster.read(number, count);
        }
        _ => {
            if let Some(leader) = cluster.leader() {
                let commands: Vec<_> =
                    (0..cluster.dice.between(1, 4)).map(|n| command(&format!("{n}"))).collect();
                let _ = cluster.propose(leader, &commands);
            }
        }
    }
}

fn check_logs(cluster: &Cluster) {
    let running = cluster.running();
    for &one in &running {
        for &other in running.iter().filter(|&&other| other > one) {
            cluster.checker.logs_match(cluster.raft(one), cluster.raft(other));
        }
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
    let leader = cluster.run_until_leader(8_000 * MILLISECOND);
    let proposed =
        cluster.propose(leader, &[command("last")]).expect("a leader at rest takes commands");
    cluster.run_until(2_000 * MILLISECOND, |cluster| {
        cluster.nodes.values().all(|node| node.machine.applied >= proposed.base)
    });
    let machine = &cluster.nodes[&1].machine;
    assert!(cluster.nodes.values().all(|node| node.machine == *machine), "state machines differ");
    check_logs(cluster);
}

fn one_seed(seed: u64) -> Cluster {
    let mut cluster = cluster(seed);
    for _ in 0..300 {
        let pause = cluster.dice.between(0, 20 * MILLISECOND);
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
        let result = std::panic::catch_unwind(|| one_seed(seed));
        let cluster = result.unwrap_or_else(|_| panic!("seed {seed} failed, as said above"));
        *counts.entry("committed").or_default() += cluster.checker.greatest_commit();
        for (kind, count) in cluster.counts {
            *counts.entry(kind).or_default() += count;
        }
    }
    // Faults so heavy that nothing happens any more would find nothing either.
    println!("{counts:#?}");
    for (kind, each) in
        [("committed", 50), ("elections", 3), ("reads ready", 5), ("fetches", 1), ("snapshots", 1)]
    {
        assert!(counts[kind] >= each * seeds(), "fewer than {each} {kind} a seed: {counts:?}");
    }
}

#[test]
fn a_seed_always_tells_the_same_story() {
    let story = |seed| {
        let mut cluster = cluster(seed);
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
