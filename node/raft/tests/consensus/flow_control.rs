//! Pipelining, its window, and how lost messages are found.

use doug_raft::{Config, Message, ProgressState, ProposeError};

use crate::support::replica::{Replica, append, rejected};
use crate::support::{
    MILLISECOND, command, commands, config, id, log_of_terms, noop, restored, voters,
};

fn leader(configure: impl Fn(&mut Config)) -> Replica {
    let mut config = config(1);
    configure(&mut config);
    let mut replica = Replica::new(config, restored(voters([1, 2, 3]), 0, vec![]));
    replica.win();
    replica.acknowledge(2, 1);
    replica.acknowledge(3, 1);
    replica.settle();
    replica.seen.clear();
    replica
}

fn propose(replica: &mut Replica, letters: &str) {
    for letter in letters.chars() {
        replica.raft.propose(replica.now, &[command(&letter.to_string())]).expect("it leads");
    }
}

/// The first and last index of each append to replica 2.
fn appends(replica: &mut Replica) -> Vec<(u64, u64)> {
    let bounds = |message| match message {
        Message::Append { prev_index, batches, .. } => {
            Some((prev_index + 1, batches.last().map_or(prev_index, |batch| batch.last())))
        }
        _ => None,
    };
    replica.sent_to(2).into_iter().filter_map(bounds).collect()
}

fn beat(replica: &mut Replica, round: u64, verified: u64, matched: u64) {
    replica.step(2, Message::HeartbeatResponse { term: 1, round, verified, matched });
}

#[test]
fn a_probed_follower_gets_one_append_at_a_time() {
    let mut replica = Replica::of_three(1, log_of_terms(&[1]));
    replica.win();
    assert_eq!(appends(&mut replica), [(2, 2)]);
    propose(&mut replica, "ab");
    assert_eq!(appends(&mut replica), []);
    replica.acknowledge(2, 2);
    assert_eq!(appends(&mut replica), [(3, 4)]);
    assert_eq!(replica.raft.peers()[0].state, ProgressState::Replicate);
}

#[test]
fn a_follower_in_step_gets_appends_without_waiting_for_answers() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    assert_eq!(appends(&mut replica), [(2, 2)]);
    propose(&mut replica, "bc");
    assert_eq!(appends(&mut replica), [(3, 4)]);
}

#[test]
fn the_window_is_bounded_by_batches() {
    let mut replica = leader(|config| config.max_inflight_batches = 2);
    propose(&mut replica, "abcde");
    assert_eq!(appends(&mut replica), [(2, 3)]);
    replica.acknowledge(2, 2);
    assert_eq!(appends(&mut replica), [], "both left together, so they are acknowledged together");
    replica.acknowledge(2, 3);
    assert_eq!(appends(&mut replica), [(4, 5)]);
}

#[test]
fn the_window_is_bounded_by_bytes() {
    let size = commands(1, 2, "a").size();
    let mut replica = leader(|config| config.max_inflight_bytes = 2 * size);
    propose(&mut replica, "abcde");
    assert_eq!(appends(&mut replica), [(2, 3)]);
    replica.acknowledge(2, 3);
    assert_eq!(appends(&mut replica), [(4, 5)]);
}

#[test]
fn an_append_is_bounded_by_bytes_except_for_one_large_batch() {
    let size = commands(1, 2, "a").size();
    let mut replica = leader(|config| config.max_append_bytes = 2 * size);
    propose(&mut replica, "abc");
    assert_eq!(appends(&mut replica), [(2, 3), (4, 4)]);
    replica.raft.propose(replica.now, &[command(&"x".repeat(1_000))]).expect("it leads");
    assert_eq!(appends(&mut replica), [(5, 5)]);
}

#[test]
fn a_follower_that_refuses_is_probed_again() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    replica.take();
    propose(&mut replica, "b");
    replica.sent();
    replica.step(2, rejected(1, 2, 0, 2));
    assert_eq!(replica.raft.peers()[0].state, ProgressState::Probe);
    assert_eq!(appends(&mut replica), [(2, 3)]);
}

#[test]
fn a_refusal_that_comes_late_is_ignored() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    replica.sent();
    replica.acknowledge(2, 2);
    replica.step(2, rejected(1, 1, 0, 1));
    assert_eq!(replica.raft.peers()[0].state, ProgressState::Replicate);
    assert_eq!(replica.raft.peers()[0].matched, 2);
}

#[test]
fn an_append_that_was_lost_is_found_by_the_next_heartbeat() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "ab");
    assert_eq!(appends(&mut replica), [(2, 3)]);
    replica.wait(50 * MILLISECOND);
    replica.take();
    beat(&mut replica, 1, 1, 1);
    assert_eq!(
        appends(&mut replica),
        [(2, 3)],
        "the follower answered a heartbeat sent later, and has nothing of it"
    );
}

#[test]
fn an_append_that_is_only_not_yet_durable_is_not_sent_again() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "ab");
    replica.sent();
    replica.wait(50 * MILLISECOND);
    beat(&mut replica, 1, 3, 1);
    assert_eq!(appends(&mut replica), []);
}

#[test]
fn an_append_sent_after_the_heartbeat_is_not_missed_by_its_answer() {
    let mut replica = leader(|_| {});
    replica.wait(50 * MILLISECOND);
    replica.take();
    propose(&mut replica, "ab");
    replica.sent();
    beat(&mut replica, 1, 1, 1);
    assert_eq!(appends(&mut replica), []);
}

#[test]
fn a_lost_append_is_found_even_when_rounds_begin_faster_than_answers_return() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    replica.sent();
    for read in 1..=3 {
        replica.raft.read(replica.now, doug_raft::ReadId(read));
        replica.take();
    }
    replica.sent();
    beat(&mut replica, 1, 1, 1);
    assert_eq!(appends(&mut replica), [(2, 2)]);
}

#[test]
fn a_heartbeat_answer_acknowledges_what_a_lost_answer_did() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "ab");
    replica.settle();
    replica.wait(50 * MILLISECOND);
    beat(&mut replica, 1, 3, 3);
    assert_eq!((replica.raft.peers()[0].matched, replica.raft.commit()), (3, 3));
}

#[test]
fn a_probe_whose_answer_was_lost_does_not_stop_the_follower_for_ever() {
    let mut replica = leader(|_| {});
    replica.wait(50 * MILLISECOND);
    beat(&mut replica, 1, 0, 0);
    assert_eq!(appends(&mut replica), [(2, 1)], "it restarted, and verifies its log anew");
    replica.wait(50 * MILLISECOND);
    beat(&mut replica, 2, 1, 1);
    propose(&mut replica, "a");
    assert_eq!(appends(&mut replica), [(2, 2)]);
}

#[test]
fn one_slow_follower_does_not_hold_up_the_others() {
    let mut replica = leader(|config| config.max_inflight_batches = 1);
    propose(&mut replica, "a");
    replica.settle();
    replica.sent();
    propose(&mut replica, "b");
    replica.settle();
    replica.acknowledge(3, 2);
    assert_eq!(replica.sent_to(3), [append(1, (2, 1), 2, vec![commands(1, 3, "b")])]);
    replica.acknowledge(3, 3);
    assert_eq!(replica.raft.commit(), 3);
    assert_eq!(replica.raft.peers()[0].matched, 1);
}

#[test]
fn followers_at_rest_learn_the_commit_index_without_waiting_for_the_next_heartbeat() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    replica.settle();
    replica.acknowledge(2, 2);
    replica.acknowledge(3, 2);
    replica.seen.retain(|effect| {
        !matches!(effect, doug_raft::Effect::Send { message: Message::Append { .. }, .. })
    });
    let beat = Message::Heartbeat { term: 1, commit: 2, round: 0 };
    assert_eq!(replica.sent(), [(2, beat.clone()), (3, beat)]);
}

#[test]
fn a_heartbeat_never_tells_a_follower_more_than_it_acknowledged() {
    let mut replica = leader(|_| {});
    propose(&mut replica, "a");
    replica.settle();
    replica.acknowledge(3, 2);
    replica.sent();
    replica.wait(50 * MILLISECOND);
    let beat = |commit| Message::Heartbeat { term: 1, commit, round: 1 };
    assert_eq!(replica.sent(), [(2, beat(1)), (3, beat(2))]);
}

#[test]
fn proposals_beyond_the_uncommitted_bytes_are_refused_until_a_majority_catches_up() {
    let size = commands(1, 2, "a").size();
    let mut replica = leader(|config| config.max_uncommitted_bytes = 2 * size);
    propose(&mut replica, "ab");
    let refused = replica.raft.propose(replica.now, &[command("c")]);
    assert_eq!(
        refused,
        Err(ProposeError::TooManyUncommitted { waiting: 2 * size, limit: 2 * size })
    );
    replica.settle();
    replica.acknowledge(2, 3);
    propose(&mut replica, "c");
    let large = command(&"x".repeat(10_000));
    replica.settle();
    replica.acknowledge(2, 4);
    assert!(replica.raft.propose(replica.now, &[large]).is_ok(), "one is always let in");
}

#[test]
fn a_follower_with_a_whole_stray_term_is_set_right_in_one_step_back() {
    let mut terms = vec![1, 1];
    terms.extend([4; 50]);
    let mut replica = Replica::of_three(6, log_of_terms(&terms));
    replica.win();
    replica.sent();
    replica.step(2, rejected(7, 52, 2, 3));
    assert_eq!(appends(&mut replica), [(3, 53)]);
}

#[test]
fn where_the_leader_has_the_conflicting_term_too_it_goes_on_after_its_end() {
    let mut replica = Replica::of_three(6, log_of_terms(&[1, 2, 2, 5, 5]));
    replica.win();
    replica.sent();
    // The follower's log: 1 2 2 2 2 2.
    replica.step(2, rejected(7, 5, 2, 2));
    assert_eq!(appends(&mut replica), [(4, 6)]);
}

#[test]
fn going_back_never_cuts_a_batch() {
    let mut replica = Replica::of_three(6, vec![noop(1, 1), commands(4, 2, "abcd")]);
    replica.win();
    replica.sent();
    replica.step(2, rejected(7, 5, 3, 4));
    assert_eq!(appends(&mut replica), [(2, 6)]);
    assert_eq!(replica.raft.peers()[0].id, id(2));
}
