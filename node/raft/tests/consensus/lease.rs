//! Reads without a round, while a quorum has promised to elect nobody (thesis, 6.4.1).

use doug_raft::{Configuration, Effect, LeaseConfig, Message, ReadId, Role};

use crate::support::replica::{Replica, heartbeat, vote, vote_response};
use crate::support::{
    MICROSECOND, MILLISECOND, command, config, id, joint, log_of_terms, restored, voters,
};

/// A tenth: of the 150 ms for which a voter that heard a heartbeat votes for nobody, a leader
/// counts on 135.
const LEASE: LeaseConfig = LeaseConfig { max_drift_ppm: 100_000 };

const TIMEOUT_NOW: Message = Message::TimeoutNow { term: 1 };

fn replica(number: u64, configuration: Configuration, term: u64) -> Replica {
    let mut config = config(number);
    config.lease = Some(LEASE);
    let log = log_of_terms(&vec![term; usize::from(term > 0)]);
    Replica::new(config, restored(configuration, term, log))
}

/// Replica 1 of 1, 2, 3 leads term 1, and its first entry is committed. No heartbeat has left yet.
fn leader() -> Replica {
    let mut replica = replica(1, voters([1, 2, 3]), 0);
    replica.wait(150 * MILLISECOND);
    replica.win();
    replica.acknowledge(2, 1);
    replica.settle();
    replica.seen.clear();
    replica
}

fn answer(replica: &mut Replica, from: u64, round: u64) {
    let (term, matched) = (replica.raft.term(), replica.raft.commit());
    replica.step(from, Message::HeartbeatResponse { term, round, verified: matched, matched });
}

/// Whether a read asked for now is answered at once. Otherwise it begins a round, which stays
/// unanswered.
fn reads_at_once(replica: &mut Replica) -> bool {
    replica.raft.read(replica.now, ReadId(replica.now.0));
    let ready = |effect: &Effect| matches!(effect, Effect::ReadReady { .. });
    replica.others().iter().any(ready)
}

#[test]
fn a_leader_reads_at_once_while_a_quorum_has_answered_a_heartbeat_lately() {
    let mut replica = leader();
    assert!(!reads_at_once(&mut replica), "nobody has answered a heartbeat of this term");
    replica.wait(50 * MILLISECOND);
    replica.take();
    answer(&mut replica, 2, 2);
    assert!(reads_at_once(&mut replica));
}

#[test]
fn the_lease_is_measured_from_when_the_heartbeat_left_and_shortened_by_the_drift() {
    let mut replica = leader();
    replica.wait(50 * MILLISECOND);
    replica.take();
    replica.now = replica.now.after(100 * MILLISECOND);
    answer(&mut replica, 2, 1);
    replica.now = replica.now.after(35 * MILLISECOND - MICROSECOND);
    assert!(reads_at_once(&mut replica));
    replica.now = replica.now.after(MICROSECOND);
    assert!(!reads_at_once(&mut replica));
}

#[test]
fn a_new_leader_reads_nothing_before_its_own_entry_is_committed() {
    let mut replica = replica(1, voters([1, 2, 3]), 0);
    replica.wait(150 * MILLISECOND);
    replica.win();
    replica.wait(50 * MILLISECOND);
    replica.take();
    answer(&mut replica, 2, 1);
    assert!(!reads_at_once(&mut replica));
}

#[test]
fn between_two_configurations_a_quorum_of_each_has_to_answer() {
    let mut replica = replica(1, joint([1, 2, 3], [4, 5, 6]), 0);
    replica.wait(150 * MILLISECOND);
    replica.win();
    for peer in [2, 4, 5] {
        replica.acknowledge(peer, 1);
    }
    replica.wait(50 * MILLISECOND);
    replica.take();
    answer(&mut replica, 4, 1);
    answer(&mut replica, 5, 1);
    assert!(!reads_at_once(&mut replica));
    answer(&mut replica, 3, 1);
    assert!(reads_at_once(&mut replica));
}

#[test]
fn nobody_votes_within_an_election_timeout_of_hearing_the_leader_even_if_it_is_suspected() {
    let mut replica = replica(1, voters([1, 2, 3]), 1);
    replica.step(2, heartbeat(1));
    replica.raft.suspect(replica.now, id(2));
    replica.wait(150 * MILLISECOND - MICROSECOND);
    assert_eq!(replica.raft.role(), Role::Follower, "it does not vote for itself either");
    replica.sent();
    replica.step(3, vote(2, 1, 1));
    assert_eq!((replica.sent_to(3), replica.raft.term()), (vec![], 1));
    replica.step(3, Message::PreVote { term: 2, last_index: 1, last_term: 1 });
    let refused = Message::PreVoteResponse { term: 1, asked: 2, granted: false, ambiguous: false };
    assert_eq!(replica.sent_to(3), [refused]);
    replica.now = replica.now.after(MICROSECOND);
    replica.step(3, vote(2, 1, 1));
    replica.settle();
    assert_eq!(replica.sent_to(3), [vote_response(2, true)]);
}

#[test]
fn a_newer_term_does_not_end_the_promise() {
    let mut replica = replica(1, voters([1, 2, 3]), 1);
    replica.step(2, heartbeat(1));
    replica.step(3, vote_response(2, false));
    assert_eq!(replica.raft.term(), 2);
    replica.step(3, vote(2, 1, 1));
    replica.settle();
    assert_eq!(replica.sent_to(3), [vote_response(2, false)]);
}

#[test]
fn nobody_votes_within_an_election_timeout_of_its_start() {
    let mut replica = replica(1, voters([1, 2, 3]), 1);
    replica.raft.campaign(replica.now);
    assert_eq!(replica.raft.role(), Role::Follower);
    replica.step(3, vote(2, 1, 1));
    assert_eq!(replica.sent_to(3), []);
    replica.now = replica.now.after(150 * MILLISECOND);
    replica.step(3, vote(2, 1, 1));
    replica.settle();
    assert_eq!(replica.sent_to(3), [vote_response(2, true)]);
}

#[test]
fn a_vote_that_the_leader_itself_asked_for_is_given_at_once() {
    let mut replica = replica(1, voters([1, 2, 3]), 1);
    replica.step(2, heartbeat(1));
    let proposed = Message::Vote { term: 2, last_index: 1, last_term: 1, transfer: true };
    replica.step(3, proposed);
    replica.settle();
    assert_eq!(replica.sent_to(3), [vote_response(2, true)]);
}

#[test]
fn a_hand_over_ends_the_lease_before_the_target_is_told() {
    let mut replica = leader();
    replica.wait(50 * MILLISECOND);
    replica.take();
    answer(&mut replica, 2, 1);
    assert!(reads_at_once(&mut replica));
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    assert!(!replica.sent().contains(&(3, TIMEOUT_NOW)), "3 has nothing yet");
    assert!(!reads_at_once(&mut replica));
}

#[test]
fn a_hand_over_given_up_before_the_target_was_told_gives_the_lease_back() {
    let mut replica = leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.settle();
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    for round in 1..=6 {
        replica.wait(50 * MILLISECOND);
        replica.take();
        answer(&mut replica, 2, round);
    }
    assert_eq!(replica.raft.transferring_to(), None);
    assert!(reads_at_once(&mut replica));
}

#[test]
fn a_hand_over_given_up_after_the_target_was_told_leaves_no_lease_in_this_term() {
    let mut replica = leader();
    replica.acknowledge(3, 1);
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    assert!(replica.sent().contains(&(3, TIMEOUT_NOW)));
    for round in 1..=6 {
        replica.wait(50 * MILLISECOND);
        replica.take();
        answer(&mut replica, 2, round);
    }
    assert_eq!(replica.raft.transferring_to(), None);
    assert!(!reads_at_once(&mut replica), "3 may get the message late, and win at once");
}

#[test]
fn without_the_option_every_read_takes_a_round() {
    let mut replica = Replica::leader();
    replica.wait(50 * MILLISECOND);
    replica.take();
    answer(&mut replica, 2, 1);
    assert!(!reads_at_once(&mut replica));
}
