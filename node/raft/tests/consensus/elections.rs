//! Pre-vote, check-quorum, suspicion.

use std::time::Duration;

use doug_raft::{Message, Role};

use crate::support::cluster::Cluster;
use crate::support::replica::{Replica, accepted, heartbeat, vote, vote_response};
use crate::support::{MICROSECOND, MILLISECOND, config, id, log_of_terms, restored, voters};

fn pre_vote(term: u64) -> Message {
    Message::PreVote { term, last_index: 9, last_term: 9 }
}

fn pre_vote_response(term: u64, asked: u64, granted: bool) -> Message {
    Message::PreVoteResponse { term, asked, granted, ambiguous: false }
}

#[test]
fn a_pre_vote_changes_nothing_at_whoever_is_asked() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, pre_vote(8));
    assert_eq!(replica.sent(), [(2, pre_vote_response(5, 8, true))]);
    assert_eq!((replica.raft.term(), replica.raft.vote()), (5, None));
    assert_eq!(replica.written(), []);
    replica.step(3, pre_vote(8));
    assert_eq!(
        replica.sent(),
        [(3, pre_vote_response(5, 8, true))],
        "it is no promise, so both may hear yes"
    );
}

#[test]
fn a_pre_vote_is_refused_to_a_worse_log_or_an_old_term() {
    let mut replica = Replica::of_three(5, log_of_terms(&[5]));
    replica.step(2, Message::PreVote { term: 6, last_index: 9, last_term: 4 });
    assert_eq!(replica.sent(), [(2, pre_vote_response(5, 6, false))]);
    replica.step(2, pre_vote(5));
    assert_eq!(replica.sent(), [(2, pre_vote_response(5, 5, false))], "and our term with it");
}

#[test]
fn a_pre_vote_is_refused_while_a_leader_is_heard() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(3, heartbeat(5));
    replica.sent();
    replica.wait(149 * MILLISECOND);
    replica.step(2, pre_vote(6));
    assert_eq!(replica.sent_to(2), [pre_vote_response(5, 6, false)]);
    replica.wait(MILLISECOND);
    replica.step(2, pre_vote(6));
    assert_eq!(replica.sent_to(2), [pre_vote_response(5, 6, true)]);
}

#[test]
fn a_pre_candidate_keeps_its_term_until_a_majority_would_vote_for_it() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.wait(300 * MILLISECOND);
    let asked = Message::PreVote { term: 6, last_index: 0, last_term: 0 };
    assert_eq!(replica.sent(), [(2, asked.clone()), (3, asked)]);
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::PreCandidate, 5));
    replica.step(2, pre_vote_response(5, 6, true));
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Candidate, 6));
}

#[test]
fn a_pre_candidate_that_cannot_win_goes_back_to_listening() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.wait(300 * MILLISECOND);
    replica.step(2, pre_vote_response(5, 6, false));
    replica.step(3, pre_vote_response(5, 6, false));
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Follower, 5));
}

#[test]
fn a_pre_candidate_learns_a_newer_term_from_a_refusal() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.wait(300 * MILLISECOND);
    replica.step(2, pre_vote_response(9, 6, false));
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Follower, 9));
}

#[test]
fn a_late_pre_vote_elects_nobody() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.wait(300 * MILLISECOND);
    replica.step(2, heartbeat(7));
    replica.step(3, pre_vote_response(5, 6, true));
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Follower, 7));
    replica.wait(300 * MILLISECOND);
    replica.step(3, pre_vote_response(5, 6, true));
    assert_eq!(replica.raft.role(), Role::PreCandidate, "that was about term 6, this is about 8");
}

#[test]
fn a_replica_cut_off_and_back_again_disturbs_nobody() {
    let mut cluster = Cluster::new(voters([1, 2, 3]), 1, |_| {});
    let leader = cluster.run_until_leader(1_000 * MILLISECOND);
    let term = cluster.raft(leader).term();
    let lonely = if leader == 1 { 2 } else { 1 };
    cluster.isolate(&[lonely]);
    cluster.run_for(3_000 * MILLISECOND);
    assert_eq!(cluster.raft(lonely).term(), term, "it asks in vain, and raises no term");
    cluster.heal();
    cluster.run_for(3_000 * MILLISECOND);
    assert_eq!((cluster.leader(), cluster.raft(leader).term()), (Some(leader), term));
}

#[test]
fn a_vote_is_not_even_considered_while_a_leader_is_heard() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(3, heartbeat(5));
    replica.sent();
    replica.step(2, vote(6, 9, 9));
    assert_eq!(replica.sent(), []);
    assert_eq!(replica.raft.term(), 5);
    let proposed = Message::Vote { term: 6, last_index: 9, last_term: 9, transfer: true };
    replica.step(2, proposed);
    replica.settle();
    assert_eq!(
        replica.sent(),
        [(2, vote_response(6, true))],
        "unless the leader itself asked for it"
    );
}

#[test]
fn a_leader_without_a_quorum_steps_down_after_the_longest_election_timeout() {
    let mut replica = Replica::leader();
    replica.wait(300 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Leader);
    replica.wait(MICROSECOND);
    assert_eq!(
        (replica.raft.role(), replica.raft.leader(), replica.raft.term()),
        (Role::Follower, None, 1)
    );
}

#[test]
fn a_leader_with_a_quorum_stays() {
    let mut replica = Replica::leader();
    for _ in 0..20 {
        replica.wait(200 * MILLISECOND);
        replica.step(3, accepted(1, 1));
    }
    assert_eq!(replica.raft.role(), Role::Leader);
    let active: Vec<bool> = replica.raft.peers().iter().map(|peer| peer.recently_active).collect();
    assert_eq!(active, [false, true]);
}

#[test]
fn learners_neither_campaign_nor_keep_a_leader_in_office() {
    let mut configuration = voters([1, 2, 3]);
    configuration.learners = [id(4)].into();
    let mut learner = Replica::new(config(4), restored(configuration.clone(), 0, vec![]));
    learner.wait(10_000 * MILLISECOND);
    learner.raft.campaign(learner.now);
    assert_eq!((learner.raft.role(), learner.raft.term()), (Role::Follower, 0));

    let mut leader = Replica::new(config(1), restored(configuration, 0, vec![]));
    leader.win();
    leader.wait(200 * MILLISECOND);
    leader.step(4, accepted(1, 1));
    leader.wait(101 * MILLISECOND);
    assert_eq!(leader.raft.role(), Role::Follower);
}

#[test]
fn learners_receive_the_log_and_never_count() {
    let mut configuration = voters([1, 2, 3]);
    configuration.learners = [id(4)].into();
    let mut leader = Replica::new(config(1), restored(configuration, 0, vec![]));
    leader.win();
    assert_eq!(leader.sent_to(4).len(), 1, "the no-op");
    leader.acknowledge(4, 1);
    assert_eq!(leader.raft.commit(), 0);
    leader.acknowledge(2, 1);
    assert_eq!(leader.raft.commit(), 1);
    assert_eq!(
        leader.raft.peers().iter().map(|peer| peer.learner).collect::<Vec<_>>(),
        [false, false, true]
    );
}

fn follower_of_three() -> Replica {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(3, heartbeat(5));
    replica.sent();
    replica
}

#[test]
fn who_suspects_its_leader_campaigns_soon_and_grants_pre_votes() {
    let mut replica = follower_of_three();
    replica.raft.suspect(replica.now, id(3));
    replica.step(2, pre_vote(6));
    assert_eq!(replica.sent_to(2), [pre_vote_response(5, 6, true)]);
    replica.wait(15 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn suspecting_anyone_but_the_leader_means_nothing() {
    let mut replica = follower_of_three();
    replica.raft.suspect(replica.now, id(2));
    replica.step(2, pre_vote(6));
    assert_eq!(replica.sent_to(2), [pre_vote_response(5, 6, false)]);
    replica.wait(149 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn a_suspect_that_speaks_is_followed_again() {
    let mut replica = follower_of_three();
    replica.raft.suspect(replica.now, id(3));
    replica.step(3, heartbeat(5));
    replica.sent();
    replica.wait(149 * MILLISECOND);
    assert_eq!((replica.raft.role(), replica.raft.leader()), (Role::Follower, Some(id(3))));
}

#[test]
fn suspicion_makes_no_vote_cheaper() {
    let mut replica = Replica::of_three(5, log_of_terms(&[5]));
    replica.step(2, vote(6, 5, 1));
    replica.settle();
    replica.step(2, heartbeat(6));
    replica.raft.suspect(replica.now, id(2));
    replica.sent();
    replica.step(3, vote(6, 9, 9));
    assert_eq!(replica.sent_to(3), [vote_response(6, false)], "its vote in this term is given");
    replica.step(3, vote(7, 0, 0));
    assert_eq!(
        replica.sent_to(3),
        [vote_response(7, false)],
        "and a worse log gets none in the next"
    );
}

#[test]
fn a_group_whose_leader_died_and_is_suspected_has_another_within_a_hundred_milliseconds() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(voters([1, 2, 3, 4, 5]), seed, |_| {});
        let leader = cluster.run_until_leader(3_000 * MILLISECOND);
        cluster.run_for(100 * MILLISECOND);
        cluster.crash(leader, 0);
        for number in cluster.running() {
            cluster.with(number, |raft, now| raft.suspect(now, id(leader)));
        }
        cluster.run_until_leader(100 * MILLISECOND);
    }
}

#[test]
fn a_group_in_silence_has_another_leader_within_four_hundred_milliseconds_at_the_median() {
    let mut gaps: Vec<Duration> = (0..51)
        .map(|seed| {
            let mut cluster = Cluster::new(voters([1, 2, 3, 4, 5]), seed, |_| {});
            let leader = cluster.run_until_leader(3_000 * MILLISECOND);
            cluster.isolate(&[leader]);
            let before = cluster.now;
            let term = cluster.raft(leader).term();
            let succeeded = |cluster: &Cluster| {
                cluster.leader().is_some_and(|number| {
                    let raft = cluster.raft(number);
                    raft.term() > term && raft.term_at(raft.commit()) == Some(raft.term())
                })
            };
            cluster.run_until(3_000 * MILLISECOND, succeeded);
            cluster.now.since(before)
        })
        .collect();
    gaps.sort_unstable();
    assert!(gaps[25] <= 400 * MILLISECOND, "{gaps:?}");
}

#[test]
fn a_leader_whose_process_stood_still_gives_its_peers_time_to_answer() {
    let mut replica = Replica::leader();
    replica.now = replica.now.after(10_000 * MILLISECOND);
    replica.raft.compensate_pause(replica.now, 10_000 * MILLISECOND);
    replica.wait(300 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Leader);
    replica.wait(MICROSECOND);
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn a_follower_whose_process_stood_still_waits_for_the_leaders_messages() {
    let mut replica = follower_of_three();
    replica.now = replica.now.after(10_000 * MILLISECOND);
    replica.raft.compensate_pause(replica.now, 10_000 * MILLISECOND);
    replica.wait(100 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Follower);
    replica.wait(300 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn a_follower_whose_ticks_are_always_late_campaigns_all_the_same() {
    let mut replica = follower_of_three();
    // Each pause is shorter than the shortest election timeout, and nobody is heard in any of them.
    let mut waited = 0;
    while replica.raft.role() == Role::Follower {
        waited += 100;
        assert!(waited <= 700, "two election timeouts are over, and it has not campaigned");
        pause(&mut replica, 100 * MILLISECOND);
    }
    assert!(waited > 300, "one election timeout is put off");
}

#[test]
fn a_tick_on_time_lets_the_next_pause_be_compensated() {
    let mut replica = follower_of_three();
    pause(&mut replica, 300 * MILLISECOND);
    replica.wait(MILLISECOND);
    pause(&mut replica, 10_000 * MILLISECOND);
    replica.wait(100 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn a_leader_whose_ticks_are_always_late_notices_that_it_has_no_quorum() {
    let mut replica = Replica::leader();
    let mut waited = 0;
    while replica.raft.role() == Role::Leader {
        waited += 100;
        assert!(waited <= 700, "two election timeouts are over, and it leads without a quorum");
        pause(&mut replica, 100 * MILLISECOND);
    }
}

/// A tick that comes so late.
fn pause(replica: &mut Replica, pause: Duration) {
    let now = replica.now.after(pause);
    replica.raft.compensate_pause(now, pause);
    replica.wait(pause);
}
