//! Whole exchanges, as golden files that a person can read. A millisecond each way, half a
//! millisecond to the disk.

use std::collections::BTreeMap;

use doug_raft::{Configuration, LeaseConfig};

use crate::support::cluster::Cluster;
use crate::support::disk::Disk;
use crate::support::{MILLISECOND, command, commands, id, joint, noop, voters};

fn group_of_three() -> Cluster {
    Cluster::new(voters([1, 2, 3]), 1, |_| {})
}

/// Replica 1 leads, all is quiet, and the story begins.
fn led_by_one(mut cluster: Cluster) -> Cluster {
    cluster.with(1, |raft, now| raft.campaign(now));
    cluster.run_until_leader(50 * MILLISECOND);
    cluster.run_for(10 * MILLISECOND);
    assert_eq!(cluster.leader(), Some(1));
    cluster.story.begin();
    cluster
}

#[test]
fn first_election() {
    let mut cluster = group_of_three();
    cluster.run_until_leader(1_000 * MILLISECOND);
    cluster.run_for(5 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn three_batches_are_replicated() {
    let mut cluster = led_by_one(group_of_three());
    for letters in ["ab", "c", "def"] {
        let list: Vec<_> = letters.chars().map(|letter| command(&letter.to_string())).collect();
        cluster.propose(1, &list).expect("1 leads");
        cluster.run_for(MILLISECOND / 2);
    }
    cluster.run_for(10 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

/// Figure 7 of the paper in small: 1 has what a majority has, 2 has too little, 3 has much of a
/// term that got nowhere, cut into batches of its own.
#[test]
fn conflicting_logs_are_repaired() {
    let majority = vec![commands(1, 1, "ab"), noop(4, 3), commands(4, 4, "cd")];
    let stray = vec![
        commands(1, 1, "ab"),
        noop(2, 3),
        commands(2, 4, "wxy"),
        noop(3, 7),
        commands(3, 8, "z"),
    ];
    let configuration = voters([1, 2, 3]);
    let disks = BTreeMap::from([
        (1, Disk::new(configuration.clone()).with(4, majority)),
        (2, Disk::new(configuration.clone()).with(4, vec![commands(1, 1, "ab")])),
        (3, Disk::new(configuration).with(4, stray)),
    ]);
    let mut cluster = Cluster::with_disks(disks, 1, |_| {});
    cluster.with(1, |raft, now| raft.campaign(now));
    cluster.run_for(30 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_leader_dies_and_is_replaced() {
    let mut cluster = led_by_one(group_of_three());
    cluster.propose(1, &[command("a")]).expect("1 leads");
    cluster.run_for(MILLISECOND + MILLISECOND / 10);
    cluster.crash(1, 0);
    cluster.run_until_leader(1_000 * MILLISECOND);
    cluster.run_for(10 * MILLISECOND);
    cluster.story.tell(cluster.now, "1 starts again".to_owned());
    cluster.start(1);
    cluster.run_for(60 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_read_index_round() {
    let mut cluster = led_by_one(group_of_three());
    cluster.story.heartbeats = true;
    cluster.read(1, 2);
    cluster.run_for(5 * MILLISECOND);
    cluster.read(2, 1);
    cluster.run_for(5 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_leader_reads_by_lease() {
    let lease = LeaseConfig { max_drift_ppm: 100_000 };
    let mut cluster = Cluster::new(voters([1, 2, 3]), 1, |config| config.lease = Some(lease));
    cluster.run_for(150 * MILLISECOND);
    let mut cluster = led_by_one(cluster);
    cluster.run_for(60 * MILLISECOND);
    cluster.story.begin();
    cluster.story.heartbeats = true;
    cluster.read(1, 2);
    cluster.with(1, |raft, now| raft.transfer(now, id(3))).expect("3 votes");
    cluster.read(1, 1);
    cluster.run_for(8 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn leadership_is_handed_over() {
    let mut cluster = led_by_one(group_of_three());
    cluster.propose(1, &[command("a")]).expect("1 leads");
    cluster.with(1, |raft, now| raft.transfer(now, id(3))).expect("3 votes");
    let refused = cluster.propose(1, &[command("b")]).expect_err("1 is handing over");
    cluster.story.tell(cluster.now, format!("1 refuses commands: {refused}"));
    cluster.run_until_leader(100 * MILLISECOND);
    cluster.run_for(10 * MILLISECOND);
    assert_eq!(cluster.leader(), Some(3));
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_follower_behind_compaction_gets_a_snapshot() {
    let mut cluster =
        led_by_one(Cluster::new(voters([1, 2, 3]), 1, |config| config.max_inflight_batches = 2));
    cluster.crash(3, 0);
    for letter in ["a", "b", "c", "d"] {
        cluster.propose(1, &[command(letter)]).expect("1 leads");
        cluster.run_for(10 * MILLISECOND);
    }
    cluster.node(1).flush();
    cluster.story.begin();
    let first = cluster.raft(1).first_index();
    cluster.story.tell(
        cluster.now,
        format!("1 has compacted its log, which now begins at {first}; 3 starts again"),
    );
    cluster.start(3);
    cluster.run_for(20 * MILLISECOND);
    cluster.propose(1, &[command("e")]).expect("1 leads");
    cluster.run_for(100 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_dead_leader_is_suspected() {
    let mut cluster = led_by_one(group_of_three());
    cluster.crash(1, 0);
    cluster.story.tell(cluster.now, "the streams of 2 and 3 to 1 reset".to_owned());
    for number in [2, 3] {
        cluster.with(number, |raft, now| raft.suspect(now, id(1)));
    }
    cluster.run_until_leader(100 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

/// Asks for a configuration and waits until it is committed.
fn change(cluster: &mut Cluster, leader: u64, to: Configuration) {
    let index = cluster.change(leader, to).expect("it is legal").base;
    cluster.run_until(1_000 * MILLISECOND, |cluster| cluster.raft(leader).commit() >= index);
}

#[test]
fn a_group_of_three_moves_to_three_others() {
    let mut cluster = led_by_one(group_of_three());
    for _ in 4..=6 {
        cluster.join_next();
    }
    cluster.story.begin();
    let learners = Configuration { learners: voters([4, 5, 6]).voters, ..voters([1, 2, 3]) };
    change(&mut cluster, 1, learners);
    cluster.run_for(6 * MILLISECOND);
    change(&mut cluster, 1, joint([1, 2, 3], [4, 5, 6]));
    cluster.with(1, |raft, now| raft.transfer(now, id(4))).expect("4 is an incoming voter");
    cluster.run_until(100 * MILLISECOND, |cluster| cluster.leader() == Some(4));
    cluster.run_for(6 * MILLISECOND);
    change(&mut cluster, 4, voters([4, 5, 6]));
    cluster.run_for(6 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_leader_that_is_removed_steps_down() {
    let mut cluster = led_by_one(group_of_three());
    change(&mut cluster, 1, joint([1, 2, 3], [2, 3]));
    cluster.run_for(6 * MILLISECOND);
    cluster.story.begin();
    cluster.story.heartbeats = true;
    cluster.change(1, voters([2, 3])).expect("it is legal");
    cluster
        .run_until(100 * MILLISECOND, |cluster| cluster.leader().is_some_and(|leader| leader != 1));
    cluster.run_for(6 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

/// The joint configuration is in the log of the leader and of one that it brings in; then the
/// leader's node dies. A group of old voters that knows nothing of the change elects a leader, and
/// the change is gone.
#[test]
fn a_change_that_the_old_voters_never_saw_is_undone() {
    let mut cluster = led_by_one(group_of_three());
    cluster.join_next();
    for outside in [2, 3] {
        cluster.weather.cut.insert((1, outside));
    }
    cluster.story.begin();
    cluster.change(1, joint([1, 2, 3], [1, 4])).expect("it is legal");
    cluster.run_for(6 * MILLISECOND);
    cluster.crash(1, 9);
    cluster.heal();
    cluster.run_until_leader(1_000 * MILLISECOND);
    cluster.story.tell(cluster.now, "1 starts again".to_owned());
    cluster.start(1);
    cluster.run_for(60 * MILLISECOND);
    let leader = cluster.leader().expect("2 or 3 leads");
    assert_eq!(cluster.raft(1).configuration(), cluster.raft(leader).configuration());
    assert!(!cluster.raft(1).configuration().is_joint());
    insta::assert_snapshot!(cluster.story.to_string());
}

/// The joint configuration is committed when the leader's node dies: whoever leads next needs both
/// majorities, and ends the change.
#[test]
fn a_change_half_done_is_ended_by_the_next_leader() {
    let mut cluster = led_by_one(group_of_three());
    cluster.join_next();
    cluster.join_next();
    change(&mut cluster, 1, joint([1, 2, 3], [3, 4, 5]));
    cluster.run_for(6 * MILLISECOND);
    cluster.story.begin();
    cluster.crash(1, 0);
    let leader = cluster.run_until_leader(2_000 * MILLISECOND);
    assert!(cluster.raft(leader).configuration().is_joint());
    change(&mut cluster, leader, voters([3, 4, 5]));
    cluster.run_for(6 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

/// Replica 1 leads, and all are quiesced.
fn quiesced() -> Cluster {
    let mut cluster = group_of_three();
    cluster.quiesce_after = Some(100 * MILLISECOND);
    (1..=3).for_each(|number| cluster.begin_to_look(number));
    let mut cluster = led_by_one(cluster);
    cluster.story.heartbeats = true;
    cluster.run_for(200 * MILLISECOND);
    assert!((1..=3).all(|number| cluster.raft(number).is_quiesced()));
    cluster
}

#[test]
fn an_idle_group_quiesces_and_a_write_unquiesces_it() {
    let mut cluster = quiesced();
    cluster.run_for(10_000 * MILLISECOND);
    cluster.propose(1, &[command("a")]).expect("1 leads");
    cluster.run_for(10 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_quiesced_leader_dies_and_is_replaced() {
    let mut cluster = quiesced();
    cluster.story.begin();
    cluster.crash(1, 0);
    cluster.run_for(500 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

#[test]
fn a_quiesced_leader_starts_again_and_is_noticed() {
    let mut cluster = quiesced();
    cluster.story.begin();
    cluster.crash(1, 0);
    cluster.run_for(20 * MILLISECOND);
    cluster.start(1);
    cluster.run_for(400 * MILLISECOND);
    insta::assert_snapshot!(cluster.story.to_string());
}

/// One follower loses sight of the leader first, the other after a write that the first lacks: who
/// is quiesced under a leader that nobody else follows must not refuse the rest for ever.
#[test]
fn sight_of_a_quiesced_leader_is_lost_one_by_one() {
    let mut cluster = quiesced();
    cluster.story.heartbeats = false;
    cluster.story.begin();
    cluster.weather.cut.extend([(1, 2), (2, 1)]);
    cluster.propose(1, &[command("a")]).expect("1 leads");
    cluster.run_for(100 * MILLISECOND);
    cluster.isolate(&[1]);
    cluster.run_for(900 * MILLISECOND);
    assert!(cluster.leader().is_some_and(|leader| leader == 3), "only 3 has it all");
    insta::assert_snapshot!(cluster.story.to_string());
}
