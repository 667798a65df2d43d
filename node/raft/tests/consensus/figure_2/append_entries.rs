//! AppendEntries, receiver's side. Entries come in batches, which are kept or replaced whole.

use doug_raft::{LogWrite, Message, Role};

use crate::support::replica::{Replica, accepted, append, heartbeat, rejected};
use crate::support::{commands, log_of_terms, noop};

#[test]
fn rule_1_an_older_term_is_refused_with_ours() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, append(4, (0, 0), 9, vec![noop(4, 1)]));
    assert_eq!(
        replica.sent(),
        [(2, rejected(5, 0, 0, 0))],
        "so that a deposed leader learns of it"
    );
    replica.step(2, heartbeat(4));
    let answer = Message::HeartbeatResponse { term: 5, round: 0, verified: 0, matched: 0 };
    assert_eq!(replica.sent(), [(2, answer)]);
    assert_eq!((replica.raft.last_index(), replica.raft.leader()), (0, None));
}

#[test]
fn rule_2_a_log_that_ends_too_early_is_told() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 1]));
    replica.step(2, append(5, (7, 4), 0, vec![noop(5, 8)]));
    assert_eq!(replica.sent(), [(2, rejected(5, 7, 0, 3))]);
}

#[test]
fn rule_2_another_term_at_the_previous_index_is_told_with_where_that_term_begins() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 2, 2, 3]));
    replica.step(2, append(5, (4, 4), 0, vec![noop(5, 5)]));
    assert_eq!(replica.sent(), [(2, rejected(5, 4, 2, 2))]);
    assert_eq!(replica.log_terms(), [1, 2, 2, 2, 3], "a refusal changes nothing");
}

#[test]
fn rule_3_a_conflicting_batch_goes_with_all_that_follow_it() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 3, 3]));
    replica.step(2, append(5, (1, 1), 0, vec![noop(5, 2)]));
    assert_eq!(replica.written().last(), Some(&LogWrite::Append(noop(5, 2))));
    assert_eq!(replica.log_terms(), [1, 5]);
}

#[test]
fn rule_3_leaders_that_cut_differently_replace_whole_batches() {
    let own = vec![commands(1, 1, "ab"), commands(2, 3, "cdef"), commands(3, 7, "gh")];
    let mut replica = Replica::of_three(5, own);
    let sent = vec![commands(4, 3, "xy"), commands(4, 5, "z")];
    replica.step(2, append(5, (2, 1), 0, sent));
    replica.settle();
    assert_eq!(replica.sent(), [(2, accepted(5, 5))]);
    assert_eq!(replica.log_terms(), [1, 1, 4, 4, 4]);
    assert_eq!(replica.raft.batch_bounds(4), Some((4, 3, 4)));
}

#[test]
fn rule_3_what_agrees_is_kept_even_if_the_message_is_old() {
    let mut replica = Replica::of_three(5, vec![]);
    let both = vec![noop(5, 1), commands(5, 2, "ab")];
    replica.step(2, append(5, (0, 0), 0, both.clone()));
    replica.settle();
    replica.seen.clear();
    replica.step(2, append(5, (0, 0), 0, both[..1].to_vec()));
    replica.settle();
    assert_eq!(replica.written(), []);
    assert_eq!(
        replica.raft.last_index(),
        3,
        "a delayed message must not cut what was acknowledged since"
    );
}

#[test]
fn rule_4_only_what_is_missing_is_appended() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2]));
    replica
        .step(2, append(5, (0, 0), 0, vec![commands(1, 1, "x"), commands(2, 2, "x"), noop(5, 3)]));
    assert_eq!(replica.written(), [LogWrite::Append(noop(5, 3))]);
    replica.sync();
    assert_eq!(replica.sent(), [(2, accepted(5, 3))]);
}

#[test]
fn rule_5_commit_follows_the_leader_up_to_the_last_entry_it_sent() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2, 2]));
    replica.step(2, append(5, (1, 1), 3, vec![]));
    assert_eq!(replica.raft.commit(), 1, "entries 2 and 3 may be another leader's");
    replica.step(2, append(5, (1, 1), 2, vec![commands(2, 2, "x")]));
    assert_eq!(replica.raft.commit(), 2);
    replica.step(2, append(5, (1, 1), 1, vec![]));
    assert_eq!(replica.raft.commit(), 2, "and never goes back");
}

#[test]
fn rule_5_a_heartbeat_commits_only_what_this_leader_has_verified() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2]));
    replica.step(2, Message::Heartbeat { term: 5, commit: 2, round: 1 });
    assert_eq!(replica.raft.commit(), 0);
    replica.step(2, append(5, (2, 2), 0, vec![]));
    replica.step(2, Message::Heartbeat { term: 5, commit: 2, round: 2 });
    assert_eq!(replica.raft.commit(), 2);
    replica.step(3, Message::Heartbeat { term: 6, commit: 2, round: 1 });
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn an_acknowledgement_of_an_older_term_is_never_sent_late() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, append(5, (0, 0), 0, vec![noop(5, 1)]));
    replica.take();
    replica.step(3, append(6, (0, 0), 0, vec![noop(6, 1)]));
    replica.settle();
    assert_eq!(replica.sent(), [(3, accepted(6, 1))]);
}

#[test]
fn the_answer_to_a_heartbeat_tells_what_is_received_from_what_is_durable() {
    let mut replica = Replica::of_three(5, log_of_terms(&[5]));
    replica.step(2, append(5, (1, 5), 0, vec![noop(5, 2)]));
    replica.sent();
    let answer = |matched| Message::HeartbeatResponse { term: 5, round: 1, verified: 2, matched };
    replica.step(2, heartbeat(5));
    assert_eq!(replica.sent(), [(2, answer(1))]);
    replica.sync();
    replica.sent();
    replica.step(2, heartbeat(5));
    assert_eq!(replica.sent(), [(2, answer(2))]);
}

#[test]
fn acknowledgements_that_become_due_together_are_sent_as_one() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, append(5, (0, 0), 0, vec![noop(5, 1)]));
    replica.step(2, append(5, (1, 5), 0, vec![commands(5, 2, "ab")]));
    replica.take();
    replica.sync();
    assert_eq!(replica.sent(), [(2, accepted(5, 3))]);
}

#[test]
#[should_panic(expected = "is committed")]
fn replacing_what_is_committed_stops_the_node() {
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2]));
    replica.step(2, append(5, (2, 2), 2, vec![]));
    replica.step(3, append(6, (1, 1), 0, vec![noop(6, 2)]));
}

#[test]
#[should_panic(expected = "both lead term 5")]
fn two_leaders_in_a_term_stop_the_node() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, heartbeat(5));
    replica.step(3, heartbeat(5));
}
