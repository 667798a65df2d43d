//! ReadIndex: many reads to a round, and no answer that a newer leader could contradict.

use doug_raft::{Effect, Message, ReadId, Role};

use crate::support::replica::{Replica, append, heartbeat};
use crate::support::{MILLISECOND, command, config, id, log_of_terms, noop, restored, voters};

fn ready(reads: &[u64], index: u64) -> Effect {
    Effect::ReadReady { reads: reads.iter().copied().map(ReadId).collect(), index }
}

fn aborted(reads: &[u64]) -> Effect {
    Effect::ReadAborted { reads: reads.iter().copied().map(ReadId).collect() }
}

fn beat_answer(round: u64) -> Message {
    Message::HeartbeatResponse { term: 1, round, verified: 1, matched: 1 }
}

fn rounds(messages: &[(u64, Message)]) -> Vec<(u64, u64)> {
    let round = |message: &Message| match message {
        Message::Heartbeat { round, .. } => Some(*round),
        _ => None,
    };
    messages.iter().filter_map(|(to, message)| round(message).map(|round| (*to, round))).collect()
}

#[test]
fn reads_of_one_turn_share_a_round() {
    let mut replica = Replica::leader();
    replica.raft.read(replica.now, ReadId(1));
    replica.raft.read(replica.now, ReadId(2));
    assert_eq!(rounds(&replica.sent()), [(2, 1), (3, 1)]);
    replica.step(2, beat_answer(1));
    assert_eq!(replica.others(), [ready(&[1, 2], 1)]);
}

#[test]
fn a_round_begun_before_the_read_proves_nothing() {
    let mut replica = Replica::leader();
    replica.wait(50 * MILLISECOND);
    assert_eq!(rounds(&replica.sent()), [(2, 1), (3, 1)]);
    replica.raft.read(replica.now, ReadId(1));
    assert_eq!(rounds(&replica.sent()), [(2, 2), (3, 2)]);
    replica.step(2, beat_answer(1));
    replica.step(3, beat_answer(1));
    assert_eq!(replica.others(), []);
    replica.step(3, beat_answer(2));
    assert_eq!(replica.others(), [ready(&[1], 1)]);
}

#[test]
fn an_answer_to_a_later_round_proves_the_earlier_ones_too() {
    let mut replica = Replica::leader();
    replica.raft.read(replica.now, ReadId(1));
    replica.take();
    replica.raft.read(replica.now, ReadId(2));
    replica.take();
    replica.step(3, beat_answer(2));
    assert_eq!(replica.others(), [ready(&[1], 1), ready(&[2], 1)]);
}

#[test]
fn reads_beyond_the_rounds_under_way_wait_and_share_the_next() {
    let mut replica = Replica::leader();
    for read in 1..=6 {
        replica.raft.read(replica.now, ReadId(read));
        replica.take();
    }
    assert_eq!(rounds(&replica.sent()).last(), Some(&(3, 4)), "four rounds at once");
    replica.step(2, beat_answer(4));
    replica.take();
    replica.step(2, beat_answer(5));
    assert_eq!(replica.others().last(), Some(&ready(&[5, 6], 1)));
}

#[test]
fn a_new_leader_reads_only_after_its_own_term_has_committed() {
    let mut replica = Replica::of_three(1, log_of_terms(&[1]));
    replica.win();
    replica.raft.read(replica.now, ReadId(1));
    assert_eq!(
        rounds(&replica.sent()),
        [],
        "an earlier leader may have answered for entry 1, committed unknown to this one"
    );
    replica.acknowledge(3, 2);
    assert_eq!(rounds(&replica.sent()), [(2, 1), (3, 1)]);
    replica.step(3, Message::HeartbeatResponse { term: 2, round: 1, verified: 2, matched: 2 });
    assert_eq!(replica.others(), [ready(&[1], 2)]);
}

#[test]
fn a_read_gets_the_commit_index_of_its_rounds_beginning() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.settle();
    replica.acknowledge(2, 2);
    replica.raft.read(replica.now, ReadId(1));
    replica.take();
    replica.step(2, Message::HeartbeatResponse { term: 1, round: 1, verified: 2, matched: 2 });
    assert_eq!(replica.others(), [ready(&[1], 2)]);
}

#[test]
fn a_deposed_leader_aborts_its_reads_and_those_of_others() {
    let mut replica = Replica::leader();
    replica.raft.read(replica.now, ReadId(1));
    replica.step(3, Message::ReadIndexRequest { term: 1, request: 77 });
    replica.take();
    replica.raft.read(replica.now, ReadId(2));
    replica.sent();
    replica.step(2, heartbeat(2));
    assert_eq!(replica.others(), [aborted(&[1, 2])]);
    let refusal = Message::ReadIndexResponse { term: 2, request: 77, index: None };
    assert_eq!(replica.sent_to(3), [refusal]);
}

#[test]
fn a_follower_asks_the_leader_once_for_all_reads_of_a_turn() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(3, append(5, (0, 0), 0, vec![noop(5, 1)]));
    replica.settle();
    replica.sent();
    replica.raft.read(replica.now, ReadId(1));
    replica.raft.read(replica.now, ReadId(2));
    let sent = replica.sent();
    let [(3, Message::ReadIndexRequest { term: 5, request })] = sent[..] else {
        panic!("{sent:?}")
    };
    replica.step(3, Message::ReadIndexResponse { term: 5, request: request + 1, index: Some(9) });
    assert_eq!(
        replica.others(),
        [],
        "that answers another request, perhaps of this replica's former life"
    );
    replica.step(3, Message::ReadIndexResponse { term: 5, request, index: Some(1) });
    assert_eq!(replica.others(), [ready(&[1, 2], 1)]);
    replica.step(3, Message::ReadIndexResponse { term: 5, request, index: Some(1) });
    assert_eq!(replica.others(), [], "an answer that comes twice counts once");
}

#[test]
fn a_leader_answers_a_followers_request_like_a_read_of_its_own() {
    let mut replica = Replica::leader();
    replica.step(3, Message::ReadIndexRequest { term: 1, request: 77 });
    assert_eq!(rounds(&replica.sent()), [(2, 1), (3, 1)]);
    replica.step(2, beat_answer(1));
    assert_eq!(
        replica.sent(),
        [(3, Message::ReadIndexResponse { term: 1, request: 77, index: Some(1) })]
    );
}

#[test]
fn a_follower_aborts_its_reads_when_the_leader_changes_or_stays_silent_or_cannot_say() {
    let follower = || {
        let mut replica = Replica::of_three(5, vec![]);
        replica.step(3, heartbeat(5));
        replica.sent();
        replica.raft.read(replica.now, ReadId(1));
        let sent = replica.sent();
        let [(3, Message::ReadIndexRequest { request, .. })] = sent[..] else { panic!("{sent:?}") };
        (replica, request)
    };
    let (mut replica, _) = follower();
    replica.step(2, heartbeat(6));
    assert_eq!(replica.others(), [aborted(&[1])]);

    let (mut replica, request) = follower();
    replica.step(3, Message::ReadIndexResponse { term: 5, request, index: None });
    assert_eq!(replica.others(), [aborted(&[1])]);

    let (mut replica, _) = follower();
    for _ in 0..3 {
        replica.wait(99 * MILLISECOND);
        replica.step(3, heartbeat(5));
        assert_eq!(replica.others(), []);
    }
    replica.wait(3 * MILLISECOND);
    assert_eq!(
        replica.others(),
        [aborted(&[1])],
        "the leader lives, yet the request or its answer was lost"
    );
}

#[test]
fn without_a_leader_a_read_is_aborted_at_once() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.raft.read(replica.now, ReadId(1));
    assert_eq!(replica.others(), [aborted(&[1])]);
    replica.step(2, Message::ReadIndexRequest { term: 5, request: 77 });
    assert_eq!(
        replica.sent(),
        [(2, Message::ReadIndexResponse { term: 5, request: 77, index: None })]
    );
}

#[test]
fn reads_beyond_the_limit_are_aborted_at_once() {
    let mut config = config(1);
    config.max_waiting_reads = 2;
    let mut replica = Replica::new(config, restored(voters([1, 2, 3]), 0, vec![]));
    replica.win();
    for read in 1..=3 {
        replica.raft.read(replica.now, ReadId(read));
    }
    assert_eq!(replica.others(), [aborted(&[3])]);
}

#[test]
fn learners_do_not_confirm_a_round() {
    let mut configuration = voters([1, 2, 3]);
    configuration.learners = [id(4), id(5)].into();
    let mut replica = Replica::new(config(1), restored(configuration, 0, vec![]));
    replica.win();
    replica.acknowledge(2, 1);
    replica.raft.read(replica.now, ReadId(1));
    replica.take();
    replica.step(4, beat_answer(1));
    replica.step(5, beat_answer(1));
    assert_eq!(replica.others(), []);
    assert_eq!(replica.raft.role(), Role::Leader);
}
