//! Forgetting the log's beginning, snapshots, and payloads that are not in memory.

use doug_raft::{Effect, LogWrite, Membership, ProgressState, Role};

use crate::support::replica::{Replica, accepted, append, heartbeat, rejected};
use crate::support::{
    MILLISECOND, command, commands, config, id, log_of_terms, made_at, noop, restored, voters,
};

/// A leader whose log is a no-op and four single commands, all committed and applied.
fn leader() -> Replica {
    let mut replica = Replica::leader();
    for letter in ["a", "b", "c", "d"] {
        replica.raft.propose(replica.now, &[command(letter)]).expect("it leads");
    }
    replica.settle();
    replica.acknowledge(3, 5);
    replica.take();
    replica.raft.applied(5);
    replica.seen.clear();
    replica
}

#[test]
fn compaction_forgets_whole_batches_up_to_what_is_applied() {
    let mut replica = Replica::of_three(1, vec![]);
    let log = vec![noop(1, 1), commands(1, 2, "abc"), commands(1, 5, "d")];
    replica.step(2, append(1, (0, 0), 4, log));
    replica.settle();
    replica.raft.compact(4);
    assert_eq!(replica.raft.first_index(), 1, "nothing is applied");
    replica.raft.applied(4);
    replica.raft.compact(3);
    assert_eq!(replica.raft.first_index(), 2, "3 is inside a batch");
    replica.raft.compact(9);
    assert_eq!((replica.raft.first_index(), replica.raft.last_index()), (5, 5), "5 is not applied");
    assert_eq!(replica.raft.term_at(4), Some(1), "the last forgotten term is still known");
}

#[test]
fn a_compacted_log_takes_old_messages_for_what_they_are() {
    let mut replica = Replica::of_three(1, vec![]);
    let log = vec![noop(1, 1), commands(1, 2, "abc")];
    replica.step(2, append(1, (0, 0), 4, log.clone()));
    replica.settle();
    replica.raft.applied(4);
    replica.raft.compact(4);
    replica.seen.clear();
    replica.step(2, append(1, (0, 0), 4, [log, vec![commands(1, 5, "d")]].concat()));
    replica.settle();
    assert_eq!(replica.written(), [LogWrite::Append(commands(1, 5, "d"))]);
    assert_eq!(replica.sent(), [(2, accepted(1, 5))]);
}

#[test]
fn a_peer_that_needs_what_is_compacted_gets_a_snapshot_asked_for_once() {
    let mut replica = leader();
    replica.raft.compact(5);
    replica.step(2, rejected(1, 5, 0, 1));
    assert_eq!(replica.others(), [Effect::SnapshotNeeded { to: id(2) }]);
    assert_eq!(replica.raft.peers()[0].state, ProgressState::Snapshot);
    replica.step(2, rejected(1, 5, 0, 1));
    replica.raft.propose(replica.now, &[command("e")]).expect("it leads");
    assert_eq!(replica.others(), []);
    assert_eq!(replica.sent_to(2), [], "until then it gets only heartbeats");
    replica.raft.snapshot_sent(replica.now, id(2), true, 5);
    assert_eq!(replica.sent_to(2), [append(1, (5, 1), 5, vec![commands(1, 6, "e")])]);
}

#[test]
fn a_snapshot_that_failed_is_asked_for_again_when_the_peer_is_heard() {
    let mut replica = leader();
    replica.raft.compact(5);
    replica.step(2, rejected(1, 5, 0, 1));
    replica.others();
    replica.raft.snapshot_sent(replica.now, id(2), false, 5);
    replica.wait(50 * MILLISECOND);
    assert_eq!(replica.others(), [], "a peer that is down is not sent one after the other");
    let answer =
        doug_raft::Message::HeartbeatResponse { term: 1, round: 1, verified: 0, matched: 0 };
    replica.step(2, answer);
    assert_eq!(replica.others(), [Effect::SnapshotNeeded { to: id(2) }]);
}

#[test]
fn a_snapshot_replaces_a_log_that_disagrees() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 2, 2]));
    replica.raft.restore(replica.now, (3, 4), made_at(3), Membership::of(voters([1, 2, 3])));
    assert_eq!((replica.raft.first_index(), replica.raft.last_index()), (4, 3));
    assert_eq!(
        (replica.raft.commit(), replica.raft.applied_index(), replica.raft.durable_index()),
        (3, 3, 3)
    );
    replica.step(2, append(5, (3, 4), 4, vec![noop(5, 4)]));
    replica.settle();
    assert_eq!(replica.applying(), [noop(5, 4)]);
}

#[test]
fn a_snapshot_leaves_what_follows_it_in_a_log_that_agrees() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 2, 2]));
    replica.raft.restore(replica.now, (3, 2), made_at(3), Membership::of(voters([1, 2, 3])));
    assert_eq!((replica.raft.first_index(), replica.raft.last_index()), (4, 4));
    assert_eq!(replica.applying(), [], "the state machine holds it already");
}

#[test]
fn whether_a_log_agrees_with_a_snapshot_is_asked_before_it_is_installed() {
    let replica = Replica::of_three(5, vec![noop(1, 1), commands(2, 2, "ab")]);
    let agrees = |index, term| replica.raft.agrees_with((index, term));
    assert!(agrees(1, 1) && agrees(3, 2));
    assert!(!agrees(3, 4), "another term");
    assert!(!agrees(2, 2), "inside a batch: the snapshot's leader cut differently");
    assert!(!agrees(4, 2), "beyond the end");
}

#[test]
#[should_panic(expected = "while records were being written")]
fn a_snapshot_installed_over_records_being_written_stops_the_node() {
    // Durable is 2–3 of term 2; being written, 2 of term 5, which agrees. A crash now would leave 3
    // of term 2 behind it.
    let mut replica = Replica::of_three(5, vec![noop(1, 1), commands(2, 2, "ab")]);
    replica.step(2, append(5, (1, 1), 0, vec![noop(5, 2)]));
    replica.take();
    assert!(!replica.raft.is_settled());
    replica.raft.restore(replica.now, (2, 5), made_at(2), Membership::of(voters([1, 2, 3])));
}

#[test]
fn a_snapshot_of_what_is_applied_already_changes_nothing() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, append(5, (0, 0), 2, vec![noop(5, 1), commands(5, 2, "a")]));
    replica.settle();
    replica.take();
    replica.raft.applied(2);
    replica.raft.restore(replica.now, (1, 5), made_at(1), Membership::of(voters([1])));
    assert_eq!((replica.raft.first_index(), replica.raft.configuration().voters.len()), (1, 3));
}

#[test]
fn a_snapshot_that_arrives_when_its_receiver_leads_already_leaves_its_log() {
    let mut replica = Replica::leader();
    for letter in ["a", "b"] {
        replica.raft.propose(replica.now, &[command(letter)]).expect("it leads");
    }
    replica.settle();
    replica.raft.restore(replica.now, (2, 1), made_at(2), Membership::of(voters([1, 2, 3])));
    assert_eq!((replica.raft.role(), replica.raft.last_index()), (Role::Leader, 3));
    replica.acknowledge(2, 3);
    assert_eq!(replica.applying(), [commands(1, 3, "b")]);
}

#[test]
#[should_panic(expected = "contradicts")]
fn a_snapshot_that_contradicts_what_is_committed_stops_the_node() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 2]));
    replica.step(2, append(5, (3, 2), 3, vec![]));
    replica.raft.restore(replica.now, (3, 4), made_at(3), Membership::of(voters([1, 2, 3])));
}

#[test]
fn evicted_payloads_are_read_again_for_whoever_needs_them_asked_for_once() {
    let mut replica = leader();
    let all = replica.raft.payload_bytes();
    replica.raft.evict_payloads(4);
    assert!(replica.raft.payload_bytes() < all / 2);
    replica.step(2, rejected(1, 5, 0, 3));
    assert_eq!(replica.others(), [Effect::FetchPayloads { from: 3, to: 4 }]);
    assert_eq!(replica.sent_to(2), []);
    assert_eq!(replica.others(), []);
    replica.raft.fetched(vec![commands(1, 3, "b"), commands(1, 4, "c")]);
    let list = vec![commands(1, 3, "b"), commands(1, 4, "c"), commands(1, 5, "d")];
    assert_eq!(replica.sent_to(2), [append(1, (2, 1), 5, list)]);
}

#[test]
fn only_durable_payloads_are_evicted() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.take();
    replica.raft.evict_payloads(9);
    assert_eq!(
        replica.raft.payload_bytes(),
        commands(1, 2, "a").size(),
        "it could not be read again"
    );
    replica.sync();
    replica.raft.evict_payloads(9);
    assert_eq!(replica.raft.payload_bytes(), 0);
}

#[test]
fn evicted_payloads_are_read_again_to_be_applied_in_order() {
    let mut replica = Replica::of_three(1, vec![]);
    let log = vec![noop(1, 1), commands(1, 2, "a"), commands(1, 3, "b")];
    replica.step(2, append(1, (0, 0), 0, log.clone()));
    replica.settle();
    replica.raft.evict_payloads(2);
    replica.step(2, append(1, (3, 1), 3, vec![]));
    assert_eq!(replica.applying(), []);
    assert_eq!(replica.others(), [Effect::FetchPayloads { from: 1, to: 2 }]);
    replica.raft.fetched(log[..2].to_vec());
    assert_eq!(replica.applying(), log);
}

#[test]
fn payloads_read_of_a_batch_that_was_replaced_meanwhile_are_ignored() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2]));
    replica.raft.evict_payloads(2);
    replica.step(2, append(5, (1, 1), 2, vec![noop(5, 2)]));
    replica.settle();
    assert_eq!(replica.others(), [Effect::FetchPayloads { from: 1, to: 1 }]);
    replica.raft.fetched(log_of_terms(&[1, 2]));
    assert_eq!(replica.applying(), [commands(1, 1, "x"), noop(5, 2)]);
}

#[test]
fn a_replica_restarts_from_a_compacted_log() {
    let mut state = restored(voters([1, 2, 3]), 5, vec![commands(4, 8, "ab")]);
    state.snapshot = (7, 3);
    (state.applied, state.commit) = (7, 9);
    let mut replica = Replica::new(config(1), state);
    assert_eq!(replica.applying(), [commands(4, 8, "ab")]);
    replica.step(2, heartbeat(5));
    replica.step(2, append(5, (3, 1), 0, vec![]));
    replica.settle();
    assert_eq!(
        replica.sent().last(),
        Some(&(2, accepted(5, 3))),
        "all below is committed, so it matches"
    );
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
#[should_panic(expected = "a term was lost")]
fn a_term_below_the_logs_stops_the_node() {
    Replica::of_three(1, log_of_terms(&[1, 2]));
}

#[test]
#[should_panic(expected = "does not follow the log's end")]
fn a_hole_in_the_log_stops_the_node() {
    Replica::of_three(1, vec![noop(1, 1), commands(1, 3, "a")]);
}
