//! Clock and stamp of the batches: what a leader gives them, and what no log takes in.

use doug_raft::{
    Batch, BatchKind, BatchTime, Clock, Configuration, LogWrite, Membership, ReplicaId, Stamp, Time,
};

use crate::support::replica::{Replica, append};
use crate::support::{MILLISECOND, PARTITION, command, config, id, joint, restored, voters};

/// What five nodes' clocks show: one is an hour ahead.
const SANE: [u64; 5] = [1_000, 1_001, 1_002, 1_003, 3_601_000];

fn clocks(shown: &[u64]) -> impl Fn(ReplicaId) -> Clock {
    let shown = shown.to_vec();
    move |id| Clock(shown.get(id.0 as usize - 1).copied().unwrap_or(0))
}

/// A leader of these voters, which has seen the clocks, and has its no-op in the log.
fn leader(configuration: Configuration, shown: &[u64]) -> Replica {
    let mut replica = Replica::new(config(1), restored(configuration, 0, vec![]));
    replica.raft.observe_clocks(replica.now, clocks(shown));
    replica.win();
    replica
}

fn batch_at(base: u64, clock: u64, stamp: u64) -> Batch {
    let time = BatchTime { clock: Clock(clock), stamp: Stamp(stamp) };
    Batch::encode(PARTITION, BatchKind::Commands, 1, base, time, &[command("x")])
}

fn written_times(replica: &mut Replica) -> Vec<(BatchKind, BatchTime)> {
    let records = replica.written();
    let batches = records.into_iter().filter_map(|record| match record {
        LogWrite::Append(batch) => Some((batch.kind, batch.time)),
        LogWrite::HardState { .. } => None,
    });
    batches.collect()
}

fn propose(replica: &mut Replica, seen: Stamp) -> BatchTime {
    replica.raft.propose_after(replica.now, seen, &[command("a")]).expect("it leads");
    replica.raft.last_time()
}

#[test]
fn the_clock_is_what_a_majority_of_the_clocks_has_reached() {
    let replica = leader(voters([1, 2, 3, 4, 5]), &SANE);
    assert_eq!(replica.raft.last_time().clock, Clock(1_002), "one faulty clock moves nothing");
    let behind = [1_000, 1_001, 1_002, 1_003, 0];
    let replica = leader(voters([1, 2, 3, 4, 5]), &behind);
    assert_eq!(replica.raft.last_time().clock, Clock(1_001), "one unheard counts as the least");
}

#[test]
fn fewer_clocks_than_a_majority_are_none() {
    let mut replica = leader(voters([1, 2, 3]), &[5_000]);
    assert_eq!(replica.raft.last_time(), BatchTime { clock: Clock(0), stamp: Stamp(1) });
    assert_eq!(propose(&mut replica, Stamp(0)).stamp, Stamp(2), "stamps rise all the same");
}

#[test]
fn both_halves_of_a_joint_configuration_must_have_reached_it() {
    let shown = [2_000, 2_000, 2_000, 1_000, 1_000, 1_000];
    let replica = leader(joint([1, 2, 3], [4, 5, 6]), &shown);
    assert_eq!(replica.raft.last_time().clock, Clock(1_000));
}

#[test]
fn learners_never_count() {
    let mut configuration = voters([1, 2, 3]);
    configuration.learners = [id(4), id(5)].into();
    let replica = leader(configuration, &[1_000, 1_001, 0, 9_000, 9_000]);
    assert_eq!(replica.raft.last_time().clock, Clock(1_000));
}

#[test]
fn what_was_observed_goes_on_with_monotone_time() {
    let mut replica = leader(voters([1, 2, 3]), &[1_000; 3]);
    replica.now = replica.now.after(250 * MILLISECOND);
    assert_eq!(propose(&mut replica, Stamp(0)).clock, Clock(1_250));
    assert_eq!(replica.raft.clock(replica.now.after(MILLISECOND)), Clock(1_251));
    assert_eq!(replica.raft.clock(Time(0)), Clock(1_250), "an older reading takes nothing back");
}

#[test]
fn a_clock_that_falls_leaves_the_logs_clock_where_it_is() {
    let mut replica = leader(voters([1, 2, 3]), &[5_000; 3]);
    let before = replica.raft.last_time();
    replica.raft.observe_clocks(replica.now, clocks(&[1_000; 3]));
    let after = propose(&mut replica, Stamp(0));
    assert_eq!(after, BatchTime { clock: Clock(5_000), stamp: Stamp(before.stamp.0 + 1) });
}

#[test]
fn a_batch_is_stamped_later_than_what_its_requests_have_seen() {
    let mut replica = leader(voters([1, 2, 3]), &[1_000; 3]);
    let seen = Stamp((1_007 << 16) + 3);
    let batch = propose(&mut replica, seen);
    assert_eq!(batch, BatchTime { clock: Clock(1_000), stamp: Stamp(seen.0 + 1) });
    let next = propose(&mut replica, Stamp(0));
    assert_eq!(next.stamp, Stamp(seen.0 + 2), "and so is whatever follows");
}

#[test]
fn no_ops_and_configurations_have_them_too() {
    let mut replica = Replica::new(config(1), restored(voters([1, 2, 3]), 0, vec![]));
    replica.raft.observe_clocks(replica.now, clocks(&[1_000; 3]));
    replica.win();
    replica.acknowledge(2, 1);
    replica.raft.observe_clocks(replica.now, clocks(&[2_000; 3]));
    let change = Membership::of(joint([1, 2, 3], [1, 2, 4]));
    replica.raft.propose_membership(replica.now, change).expect("it is legal");
    let at = |clock| BatchTime { clock: Clock(clock), stamp: Stamp(clock << 16) };
    assert_eq!(
        written_times(&mut replica),
        [(BatchKind::Noop, at(1_000)), (BatchKind::Configuration, at(2_000))]
    );
}

#[test]
fn a_new_leader_goes_on_after_its_log_whatever_its_clocks_show() {
    let log = vec![batch_at(1, 9_000, 9_000 << 16)];
    let mut replica = Replica::of_three(1, log);
    replica.raft.observe_clocks(replica.now, clocks(&[1_000; 3]));
    replica.win();
    let expected = BatchTime { clock: Clock(9_000), stamp: Stamp((9_000 << 16) + 1) };
    assert_eq!(written_times(&mut replica), [(BatchKind::Noop, expected)]);
}

#[test]
fn once_the_logs_end_is_cut_the_times_of_its_new_end_count() {
    let log = vec![batch_at(1, 1_000, 1_000 << 16), batch_at(2, 9_000, 9_000 << 16)];
    let mut replica = Replica::of_three(1, log);
    let time = BatchTime { clock: Clock(2_000), stamp: Stamp(2_000 << 16) };
    let other = Batch::encode(PARTITION, BatchKind::Noop, 2, 2, time, &[]);
    replica.step(2, append(2, (1, 1), 0, vec![other]));
    assert_eq!(replica.raft.last_time(), time);
}

#[test]
fn compaction_and_a_snapshot_keep_the_times_of_what_they_forget() {
    let mut replica = leader(voters([1, 2, 3]), &[1_000; 3]);
    replica.acknowledge(2, 1);
    replica.settle();
    replica.raft.applied(1);
    replica.raft.compact(1);
    assert_eq!(replica.raft.last_time().clock, Clock(1_000));
    let mut replica = Replica::of_three(1, vec![]);
    let time = BatchTime { clock: Clock(7_000), stamp: Stamp((7_000 << 16) + 4) };
    replica.raft.restore(replica.now, (3, 1), time, Membership::of(voters([1, 2, 3])));
    assert_eq!(replica.raft.last_time(), time);
    replica.win();
    assert_eq!(replica.raft.last_time().stamp, time.stamp.next());
}

#[test]
#[should_panic(expected = "does not come after clock 1000")]
fn a_follower_stops_at_a_batch_whose_stamp_does_not_rise() {
    let mut replica = Replica::of_three(1, vec![batch_at(1, 1_000, 1_000 << 16)]);
    replica.step(2, append(1, (1, 1), 0, vec![batch_at(2, 1_000, 1_000 << 16)]));
}

#[test]
#[should_panic(expected = "does not come after clock 1000")]
fn a_follower_stops_at_a_batch_whose_clock_falls() {
    let mut replica = Replica::of_three(1, vec![batch_at(1, 1_000, 1_000 << 16)]);
    replica.step(2, append(1, (1, 1), 0, vec![batch_at(2, 999, 2_000 << 16)]));
}

#[test]
#[should_panic(expected = "does not come after clock 2000")]
fn a_restored_log_must_come_after_the_snapshot_before_it() {
    let time = BatchTime { clock: Clock(2_000), stamp: Stamp(2_000 << 16) };
    let mut found = restored(voters([1, 2, 3]), 1, vec![batch_at(2, 1_000, 1_000 << 16)]);
    (found.snapshot, found.snapshot_time, found.applied) = ((1, 1), time, 1);
    Replica::new(config(1), found);
}
