//! State, All Servers, Followers, Candidates, Leaders.

use doug_raft::{Effect, LogWrite, Message, Role, Ticket};

use crate::support::replica::{
    Replica, accepted, append, hard_state, heartbeat, rejected, vote, vote_response,
};
use crate::support::{
    MILLISECOND, command, commands, config, id, log_of_terms, noop, restored, voters,
};

#[test]
fn state_a_vote_is_durable_before_it_is_answered() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, vote(2, 0, 0));
    assert_eq!(replica.sent(), [], "nothing is promised before the record is durable");
    assert_eq!(replica.written(), [hard_state(2, Some(2))]);
    replica.sync();
    assert_eq!(replica.sent(), [(2, vote_response(2, true))]);
}

#[test]
fn state_entries_and_term_are_durable_before_they_are_acknowledged() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, append(2, (0, 0), 0, vec![noop(2, 1)]));
    assert_eq!(replica.sent(), []);
    assert_eq!(
        replica.written(),
        [hard_state(2, None), LogWrite::Append(noop(2, 1))],
        "the term first"
    );
    replica.sync();
    assert_eq!(replica.sent(), [(2, accepted(2, 1))]);
}

#[test]
fn state_an_acknowledgement_covers_the_term_even_if_no_entry_is_new() {
    let mut replica = Replica::of_three(1, log_of_terms(&[1]));
    replica.step(2, append(2, (1, 1), 0, vec![]));
    assert_eq!(
        replica.sent(),
        [],
        "restarted in term 1, it could follow an older leader, who overwrites entry 1"
    );
    replica.step(2, heartbeat(2));
    let answer = Message::HeartbeatResponse { term: 2, round: 1, verified: 1, matched: 0 };
    assert_eq!(replica.sent(), [(2, answer)], "nor is it acknowledged on the side");
    replica.sync();
    assert_eq!(replica.sent(), [(2, accepted(2, 1))]);
}

#[test]
fn state_a_restarted_replica_keeps_term_vote_and_log() {
    let mut state = restored(voters([1, 2, 3]), 4, log_of_terms(&[1, 3]));
    state.vote = Some(id(3));
    let mut replica = Replica::new(config(1), state);
    assert_eq!(
        (replica.raft.term(), replica.raft.vote(), replica.raft.last_index()),
        (4, Some(id(3)), 2)
    );
    replica.step(2, vote(4, 9, 9));
    assert_eq!(replica.sent(), [(2, vote_response(4, false))]);
    replica.step(3, vote(4, 9, 9));
    assert_eq!(replica.sent(), [(3, vote_response(4, true))], "it may say so again");
}

#[test]
fn all_servers_apply_what_is_committed_in_order_and_once() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, append(1, (0, 0), 0, vec![noop(1, 1), commands(1, 2, "ab")]));
    replica.settle();
    assert_eq!(replica.applying(), [], "nothing is committed yet");
    replica.step(2, append(1, (3, 1), 3, vec![commands(1, 4, "c")]));
    replica.settle();
    assert_eq!(replica.applying(), [noop(1, 1), commands(1, 2, "ab")]);
    replica.step(2, append(1, (3, 1), 4, vec![commands(1, 4, "c")]));
    replica.settle();
    assert_eq!(replica.applying(), [commands(1, 4, "c")]);
}

#[test]
fn all_servers_apply_only_what_is_durable_here() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, append(1, (0, 0), 1, vec![noop(1, 1)]));
    assert_eq!(replica.applying(), []);
    assert_eq!(replica.raft.commit(), 1);
    replica.sync();
    assert_eq!(replica.applying(), [noop(1, 1)]);
}

#[test]
fn all_servers_apply_only_what_is_durable_of_the_log_as_it_is_now() {
    // Index 2 was durable, then it was replaced.
    let mut replica = Replica::of_three(5, log_of_terms(&[1, 2]));
    replica.step(2, append(5, (1, 1), 2, vec![noop(5, 2)]));
    assert_eq!(replica.applying(), [commands(1, 1, "x")]);
    replica.sync();
    assert_eq!(replica.applying(), [noop(5, 2)]);

    // Index 2 was being written, then it was replaced, then the first write was done.
    let mut replica = Replica::of_three(5, log_of_terms(&[1]));
    replica.step(2, append(5, (1, 1), 0, vec![noop(5, 2)]));
    replica.take();
    replica.step(3, append(6, (1, 1), 2, vec![noop(6, 2)]));
    replica.take();
    replica.raft.persisted(replica.now, Ticket(1));
    assert_eq!(
        replica.applying(),
        [commands(1, 1, "x")],
        "the write of another batch 2 says nothing"
    );
    replica.sync();
    assert_eq!(replica.applying(), [noop(6, 2)]);
}

#[test]
fn all_servers_apply_again_after_a_restart_from_what_the_state_machine_holds() {
    let mut state = restored(voters([1, 2, 3]), 1, log_of_terms(&[1, 1, 1, 1]));
    (state.applied, state.commit) = (2, 3);
    let mut replica = Replica::new(config(1), state);
    assert_eq!(replica.applying(), [commands(1, 3, "x")]);
}

#[test]
fn all_servers_become_followers_on_a_newer_term_in_any_message() {
    let newer: [Message; 5] = [
        vote_response(9, false),
        accepted(9, 1),
        rejected(9, 1, 0, 0),
        Message::HeartbeatResponse { term: 9, round: 0, verified: 0, matched: 0 },
        heartbeat(9),
    ];
    for message in newer {
        let mut replica = Replica::leader();
        replica.step(2, message.clone());
        assert_eq!(
            (replica.raft.role(), replica.raft.term(), replica.raft.vote()),
            (Role::Follower, 9, None)
        );
        assert_eq!(replica.written(), [hard_state(9, None)], "{message}");
    }
}

#[test]
fn followers_answer_candidates_and_leaders() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, vote(1, 0, 0));
    replica.settle();
    assert_eq!(replica.sent(), [(2, vote_response(1, true))]);
    replica.step(2, append(1, (0, 0), 0, vec![noop(1, 1)]));
    replica.settle();
    assert_eq!(replica.sent(), [(2, accepted(1, 1))]);
}

#[test]
fn followers_campaign_when_the_election_timeout_passes_in_silence() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.wait(149 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Follower, "no timeout is shorter than 150 ms");
    replica.wait(151 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate, "nor longer than 300 ms");
}

#[test]
fn followers_wait_anew_when_they_hear_the_leader_or_give_a_vote() {
    let mut replica = Replica::of_three(1, vec![]);
    for _ in 0..10 {
        replica.wait(149 * MILLISECOND);
        replica.step(2, heartbeat(1));
    }
    assert_eq!(replica.raft.role(), Role::Follower);
    let mut replica = Replica::of_three(1, vec![]);
    for term in 2..12 {
        replica.wait(149 * MILLISECOND);
        replica.step(2, vote(term, 0, 0));
    }
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn followers_do_not_wait_anew_for_a_vote_refused() {
    let mut replica = Replica::of_three(1, log_of_terms(&[1]));
    replica.wait(149 * MILLISECOND);
    replica.step(2, vote(2, 0, 0));
    replica.wait(151 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

fn candidate() -> Replica {
    let mut config = config(1);
    config.pre_vote = false;
    let mut replica = Replica::new(config, restored(voters([1, 2, 3]), 4, log_of_terms(&[1, 2])));
    replica.wait(300 * MILLISECOND);
    replica
}

#[test]
fn candidates_raise_the_term_vote_for_themselves_and_ask_everyone() {
    let mut replica = candidate();
    assert_eq!(
        (replica.raft.role(), replica.raft.term(), replica.raft.vote()),
        (Role::Candidate, 5, Some(id(1)))
    );
    assert_eq!(
        replica.sent(),
        [],
        "a restart would forget a vote that is not durable, and ask again with a shorter log"
    );
    assert_eq!(replica.written(), [hard_state(5, Some(1))]);
    replica.sync();
    assert_eq!(replica.sent(), [(2, vote(5, 2, 2)), (3, vote(5, 2, 2))]);
}

#[test]
fn candidates_lead_with_the_votes_of_a_majority() {
    let mut replica = candidate();
    replica.settle();
    replica.step(2, vote_response(5, false));
    assert_eq!(replica.raft.role(), Role::Candidate);
    replica.step(3, vote_response(5, true));
    assert_eq!((replica.raft.role(), replica.raft.leader()), (Role::Leader, Some(id(1))));
}

#[test]
fn candidates_do_not_count_a_vote_twice_or_of_another_term_or_of_a_stranger() {
    let mut config = config(1);
    config.pre_vote = false;
    let mut replica = Replica::new(config, restored(voters([1, 2, 3, 4, 5]), 4, vec![]));
    replica.wait(300 * MILLISECOND);
    replica.settle();
    replica.step(2, vote_response(5, true));
    replica.step(2, vote_response(5, true));
    replica.step(3, vote_response(4, true));
    replica.step(9, vote_response(5, true));
    assert_eq!(replica.raft.role(), Role::Candidate);
    replica.step(3, vote_response(5, true));
    assert_eq!(replica.raft.role(), Role::Leader);
}

#[test]
fn candidates_follow_a_leader_of_their_term() {
    let mut replica = candidate();
    replica.step(3, append(5, (0, 0), 0, vec![]));
    assert_eq!(
        (replica.raft.role(), replica.raft.leader(), replica.raft.term()),
        (Role::Follower, Some(id(3)), 5)
    );
}

#[test]
fn candidates_start_anew_when_the_election_timeout_passes() {
    let mut replica = candidate();
    replica.settle();
    replica.wait(300 * MILLISECOND);
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Candidate, 6));
}

#[test]
fn leaders_open_their_term_with_a_noop_and_beat_while_idle() {
    let mut replica = candidate();
    replica.settle();
    replica.seen.clear();
    replica.step(3, vote_response(5, true));
    assert_eq!(replica.written(), [LogWrite::Append(noop(5, 3))]);
    let first = append(5, (2, 2), 0, vec![noop(5, 3)]);
    assert_eq!(
        replica.sent(),
        [(2, first.clone()), (3, first)],
        "without waiting for the own disk"
    );
    replica.wait(50 * MILLISECOND);
    let beat = Message::Heartbeat { term: 5, commit: 0, round: 1 };
    assert_eq!(replica.sent(), [(2, beat.clone()), (3, beat)]);
}

#[test]
fn leaders_append_commands_and_answer_by_applying_them() {
    let mut replica = Replica::leader();
    let proposed =
        replica.raft.propose(replica.now, &[command("a"), command("b")]).expect("it leads");
    assert_eq!((proposed.term, proposed.base, proposed.count), (1, 2, 2));
    replica.settle();
    assert_eq!(replica.applying(), []);
    replica.acknowledge(3, 3);
    assert_eq!(replica.applying(), [commands(1, 2, "ab")]);
}

#[test]
fn leaders_send_each_follower_what_it_lacks_from_next_index_on() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.raft.propose(replica.now, &[command("b")]).expect("it leads");
    let both = append(1, (1, 1), 1, vec![commands(1, 2, "a"), commands(1, 3, "b")]);
    assert_eq!(replica.sent(), [(2, both.clone()), (3, both)], "together in one message");
    assert_eq!(replica.sent(), [], "and once");
}

#[test]
fn leaders_note_how_far_a_follower_came() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.take();
    replica.acknowledge(2, 2);
    let peer = replica.raft.peers()[0];
    assert_eq!((peer.id, peer.matched, peer.next), (id(2), 2, 3));
}

#[test]
fn leaders_go_back_and_try_again_when_a_follower_refuses() {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 1, 2]));
    replica.win();
    replica.sent();
    replica.step(2, rejected(3, 3, 0, 2));
    let again = append(3, (1, 1), 0, vec![commands(1, 2, "x"), commands(2, 3, "x"), noop(3, 4)]);
    assert_eq!(replica.sent_to(2), [again]);
}

#[test]
fn leaders_commit_by_counting_only_in_their_own_term() {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 2]));
    replica.win();
    replica.acknowledge(2, 2);
    replica.acknowledge(3, 2);
    assert_eq!(
        replica.raft.commit(),
        0,
        "figure 8: an entry of an older term on every disk may still be replaced"
    );
    replica.acknowledge(2, 3);
    assert_eq!(
        replica.raft.commit(),
        3,
        "what stands before an entry of the own term is committed with it"
    );
}

#[test]
fn leaders_ignore_answers_to_an_older_term_of_theirs() {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 2]));
    replica.win();
    replica.step(2, accepted(2, 3));
    replica.step(2, Message::HeartbeatResponse { term: 2, round: 9, verified: 3, matched: 3 });
    assert_eq!((replica.raft.commit(), replica.raft.peers()[0].matched), (0, 0));
}

#[test]
fn leaders_count_themselves_only_up_to_what_their_own_disk_holds() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.take();
    replica.acknowledge(2, 2);
    assert_eq!(replica.raft.commit(), 1);
    replica.sync();
    assert_eq!(replica.raft.commit(), 2);
}

#[test]
fn leaders_commit_without_their_own_disk_if_the_others_are_a_majority() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.take();
    replica.acknowledge(2, 2);
    replica.acknowledge(3, 2);
    assert_eq!(replica.raft.commit(), 2);
    assert_eq!(replica.applying(), [], "but apply it only once it is durable here");
}

#[test]
fn a_single_voter_elects_itself_and_commits_alone() {
    let mut replica = Replica::new(config(1), restored(voters([1]), 0, vec![]));
    replica.wait(300 * MILLISECOND);
    replica.take();
    assert_eq!(replica.raft.role(), Role::Candidate, "its own vote is not durable yet");
    replica.settle();
    assert_eq!((replica.raft.role(), replica.raft.commit()), (Role::Leader, 1));
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.settle();
    assert_eq!(replica.applying(), [noop(1, 1), commands(1, 2, "a")]);
    replica.raft.read(replica.now, doug_raft::ReadId(5));
    assert_eq!(
        replica.others(),
        [Effect::ReadReady { reads: vec![doug_raft::ReadId(5)], index: 2 }]
    );
    replica.wait(10_000 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Leader, "it is its own quorum");
}
