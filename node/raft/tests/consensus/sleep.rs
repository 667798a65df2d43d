//! Idle groups fall silent, and what ends that.

use doug_raft::{
    Configuration, Effect, LeaseConfig, Message, ReadId, Role, Time, Vouch, WakeCause,
};

use crate::support::replica::{Replica, accepted, append, heartbeat, vote};
use crate::support::{
    MILLISECOND, command, commands, config, id, joint, log_of_terms, restored, voters,
};

const VOUCH: Vouch = Vouch { incarnation: 1, epoch: 0 };
const LONG: u64 = 10_000 * MILLISECOND;

fn wish(replica: &Replica, round: u64) -> Message {
    let (term, commit) = (replica.raft.term(), replica.raft.commit());
    Message::Sleep { term, commit, round, vouch: VOUCH }
}

fn answer(term: u64, round: u64, agreed: bool) -> Message {
    Message::SleepResponse { term, round, agreed }
}

/// The leader of three has asked for sleep, in its first round.
fn asking() -> Replica {
    let mut leader = Replica::leader();
    assert!(leader.raft.propose_sleep(leader.now, VOUCH));
    leader
}

fn sleeping_leader() -> Replica {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.step(3, answer(1, 1, true));
    leader.take();
    leader.seen.clear();
    assert!(leader.raft.is_asleep());
    leader
}

/// Replica 1 follows 2 in term 2, holds two entries, knows them committed and has applied them.
fn follower() -> Replica {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 2]));
    replica.step(2, append(2, (2, 2), 2, vec![]));
    replica.settle();
    replica.raft.applied(2);
    replica.seen.clear();
    replica
}

/// It has agreed to the wish of round 5.
fn sleeping_follower() -> Replica {
    let mut replica = follower();
    let wish = wish(&replica, 5);
    replica.step(2, wish);
    assert_eq!(replica.sent(), [(2, answer(2, 5, true))]);
    assert!(replica.raft.is_asleep());
    replica.seen.clear();
    replica
}

fn causes(replica: &mut Replica) -> Vec<WakeCause> {
    let others = replica.others();
    let causes = others.into_iter().filter_map(|effect| match effect {
        Effect::Woke { cause } => Some(cause),
        _ => None,
    });
    causes.collect()
}

#[test]
fn a_leader_sleeps_once_every_voter_has_agreed_and_is_silent_then() {
    let mut leader = asking();
    let wish = wish(&leader, 1);
    assert_eq!(leader.sent(), [(2, wish.clone()), (3, wish)]);
    leader.step(2, answer(1, 1, true));
    assert!(!leader.raft.is_asleep(), "3 has not agreed");
    leader.step(3, answer(1, 1, true));
    assert!(leader.raft.is_asleep());
    leader.wait(LONG);
    assert_eq!(leader.sent(), []);
    assert_eq!(leader.raft.role(), Role::Leader);
}

#[test]
fn a_voter_that_does_not_answer_keeps_its_group_awake() {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.sent();
    leader.wait(50 * MILLISECOND);
    let beat = Message::Heartbeat { term: 1, commit: 1, round: 2 };
    assert_eq!(leader.sent(), [(2, beat.clone()), (3, beat)]);
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_asleep(), "2 has been told to go on");
}

#[test]
fn a_voter_that_disagrees_keeps_its_group_awake() {
    let mut leader = asking();
    leader.step(3, answer(1, 1, false));
    leader.step(2, answer(1, 1, true));
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_asleep());
}

/// A voter that started again is verified anew only because it answers a heartbeat.
#[test]
fn a_heartbeat_goes_between_two_wishes() {
    let mut leader = asking();
    leader.sent();
    leader.step(3, answer(1, 1, false));
    assert!(!leader.raft.propose_sleep(leader.now, VOUCH));
    leader.wait(0);
    let beat = Message::Heartbeat { term: 1, commit: 1, round: 2 };
    assert_eq!(leader.sent(), [(2, beat.clone()), (3, beat)], "and at once, for 2 may sleep");
    assert!(leader.raft.propose_sleep(leader.now, VOUCH));
}

#[test]
fn an_answer_to_an_earlier_wish_does_not_count() {
    let mut leader = asking();
    leader.wait(50 * MILLISECOND);
    assert!(leader.raft.propose_sleep(leader.now, VOUCH));
    leader.step(2, answer(1, 3, true));
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_asleep());
    leader.step(3, answer(1, 3, true));
    assert!(leader.raft.is_asleep());
}

#[test]
fn a_leader_with_anything_left_to_do_asks_nobody() {
    let mut busy = Replica::leader();
    busy.raft.propose(busy.now, &[command("a")]).expect("it leads");
    busy.settle();
    assert!(!busy.raft.propose_sleep(busy.now, VOUCH), "nobody has acknowledged");
    busy.acknowledge(2, 2);
    busy.settle();
    busy.raft.applied(2);
    assert!(!busy.raft.propose_sleep(busy.now, VOUCH), "3 has not acknowledged");
    busy.acknowledge(3, 2);
    assert!(!busy.raft.propose_sleep(busy.now, VOUCH), "3 does not know that it is committed");
    busy.settle();
    assert!(busy.raft.propose_sleep(busy.now, VOUCH));
}

#[test]
fn a_proposal_between_the_wish_and_the_answers_keeps_the_leader_awake() {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.raft.propose(leader.now, &[command("a")]).expect("it leads");
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_asleep());
}

#[test]
fn learners_and_joint_configurations_do_not_sleep() {
    let with_learner =
        Configuration { learners: voters([3]).voters, ..Configuration::of_voters([id(1), id(2)]) };
    for configuration in [with_learner, joint([1, 2, 3], [1, 2])] {
        let mut leader = Replica::new(config(1), restored(configuration, 0, vec![]));
        leader.win();
        leader.acknowledge(2, 1);
        leader.acknowledge(3, 1);
        leader.settle();
        leader.raft.applied(1);
        assert!(!leader.raft.propose_sleep(leader.now, VOUCH));
    }
}

#[test]
fn a_follower_agrees_only_to_all_it_has() {
    let mut replica = follower();
    let less = Message::Sleep { term: 2, commit: 1, round: 5, vouch: VOUCH };
    replica.step(2, less);
    assert_eq!(replica.sent(), [(2, answer(2, 5, false))], "it holds more than that");
    replica.step(2, append(2, (2, 2), 2, vec![commands(2, 3, "a")]));
    replica.settle();
    replica.sent();
    replica.step(2, Message::Sleep { term: 2, commit: 3, round: 6, vouch: VOUCH });
    assert_eq!(replica.sent(), [(2, answer(2, 6, false))], "it has not applied that");
    assert!(!replica.raft.is_asleep());
}

#[test]
fn a_follower_that_restarted_does_not_agree_before_its_log_is_verified() {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 2]));
    replica.step(2, Message::Sleep { term: 2, commit: 2, round: 5, vouch: VOUCH });
    assert_eq!(replica.sent(), [(2, answer(2, 5, false))]);
}

#[test]
fn a_sleeping_follower_does_not_campaign() {
    let mut replica = sleeping_follower();
    replica.wait(LONG);
    assert_eq!(replica.sent(), []);
    assert_eq!(replica.raft.leader(), Some(id(2)));
}

#[test]
fn a_wish_that_comes_late_puts_nobody_to_sleep() {
    let mut replica = follower();
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 6 });
    replica.sent();
    let late = wish(&replica, 5);
    replica.step(2, late);
    assert!(!replica.raft.is_asleep(), "its leader has spoken since");
    replica.step(3, heartbeat(3));
    let older_term = Message::Sleep { term: 2, commit: 2, round: 7, vouch: VOUCH };
    replica.step(2, older_term);
    assert!(!replica.raft.is_asleep(), "it has another leader");
}

#[test]
fn a_heartbeat_that_comes_late_wakes_nobody_and_a_new_one_does() {
    let mut replica = sleeping_follower();
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 4 });
    assert_eq!(replica.sent(), []);
    assert!(replica.raft.is_asleep());
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 6 });
    assert_eq!(causes(&mut replica), [WakeCause::Message]);
}

#[test]
fn an_append_and_a_newer_term_wake_a_follower() {
    for message in [append(2, (2, 2), 2, vec![commands(2, 3, "a")]), heartbeat(3)] {
        let mut replica = sleeping_follower();
        let from = message.term();
        replica.step(from, message);
        assert_eq!(causes(&mut replica), [WakeCause::Message]);
    }
}

/// Whoever asks does not hear the leader. If this one slept on and refused, nobody might ever win.
#[test]
fn a_candidate_wakes_a_follower_which_tells_its_leader_and_would_vote_itself_a_little_later() {
    let mut replica = sleeping_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.leader_heard(replica.now);
    replica.step(3, Message::PreVote { term: 3, last_index: 2, last_term: 2 });
    let refused = Message::PreVoteResponse { term: 2, asked: 3, granted: false };
    assert_eq!(replica.sent(), [(2, answer(2, 5, false)), (3, refused)]);
    replica.wait(300 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn a_follower_whose_leaders_node_is_silent_lets_others_campaign_and_campaigns_itself() {
    let mut replica = sleeping_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.wake(replica.now, WakeCause::Silence);
    replica.step(3, Message::PreVote { term: 3, last_index: 2, last_term: 2 });
    let granted = Message::PreVoteResponse { term: 2, asked: 3, granted: true };
    assert_eq!(replica.sent(), [(3, granted)]);
    replica.wait(150 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn another_process_of_the_leaders_node_wakes_its_followers() {
    let mut replica = sleeping_follower();
    replica.raft.vouched(replica.now, VOUCH);
    assert!(replica.raft.is_asleep());
    replica.raft.vouched(replica.now, Vouch { epoch: 1, ..VOUCH });
    assert_eq!(causes(&mut replica), [WakeCause::Restart]);
}

#[test]
fn a_leaders_process_seen_to_go_makes_its_sleeping_followers_campaign_soon() {
    let mut replica = sleeping_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.suspect(replica.now, id(3));
    assert!(replica.raft.is_asleep(), "3 does not lead");
    replica.raft.suspect(replica.now, id(2));
    replica.wait(15 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn a_read_at_a_sleeping_follower_wakes_both() {
    let mut replica = sleeping_follower();
    replica.raft.read(replica.now, ReadId(1));
    let sent = replica.sent();
    assert!(matches!(sent[..], [(2, Message::ReadIndexRequest { term: 2, .. })]), "{sent:?}");
    let mut leader = sleeping_leader();
    leader.step(2, Message::ReadIndexRequest { term: 1, request: 7 });
    assert_eq!(causes(&mut leader), [WakeCause::Message]);
}

#[test]
fn a_read_at_a_sleeping_leader_waits_for_a_round() {
    let mut leader = sleeping_leader();
    leader.raft.read(leader.now, ReadId(1));
    assert_eq!(leader.others(), [Effect::Woke { cause: WakeCause::Request }]);
    leader.step(2, Message::HeartbeatResponse { term: 1, round: 2, verified: 1, matched: 1 });
    assert_eq!(leader.others(), [Effect::ReadReady { reads: vec![ReadId(1)], index: 1 }]);
}

#[test]
fn a_lease_ends_when_its_leader_falls_asleep() {
    let mut config = config(1);
    config.lease = Some(LeaseConfig { max_drift_ppm: 0 });
    let mut leader = Replica::new(config, restored(voters([1, 2, 3]), 0, vec![]));
    leader.wait(150 * MILLISECOND);
    leader.win();
    leader.acknowledge(2, 1);
    leader.acknowledge(3, 1);
    leader.settle();
    leader.raft.applied(1);
    leader.wait(50 * MILLISECOND);
    leader.take();
    let beat = Message::HeartbeatResponse { term: 1, round: 1, verified: 1, matched: 1 };
    leader.step(2, beat.clone());
    leader.step(3, beat);
    assert!(leader.raft.propose_sleep(leader.now, VOUCH));
    leader.step(2, answer(1, 2, true));
    leader.step(3, answer(1, 2, true));
    assert!(leader.raft.is_asleep());
    leader.seen.clear();
    leader.raft.read(leader.now, ReadId(1));
    let answered = |effect: &Effect| matches!(effect, Effect::ReadReady { .. });
    assert!(
        !leader.others().iter().any(answered),
        "its last round is a moment ago, and counts no more"
    );
}

#[test]
fn whatever_is_asked_of_a_sleeping_leader_wakes_it() {
    let asked: [fn(&mut Replica); 5] = [
        |leader| assert!(leader.raft.propose(leader.now, &[command("a")]).is_ok()),
        |leader| leader.raft.read(leader.now, ReadId(1)),
        |leader| assert_eq!(leader.raft.transfer(leader.now, id(2)), Ok(())),
        |leader| leader.step(2, Message::PreVote { term: 2, last_index: 1, last_term: 1 }),
        |leader| leader.step(2, vote(2, 1, 1)),
    ];
    for ask in asked {
        let mut leader = sleeping_leader();
        ask(&mut leader);
        assert!(!leader.raft.is_asleep());
    }
}

#[test]
fn a_leader_that_wakes_has_the_usual_time_to_hear_a_quorum_and_speaks_at_once() {
    let mut leader = sleeping_leader();
    leader.now = leader.now.after(LONG);
    leader.raft.wake(leader.now, WakeCause::Silence);
    assert_eq!(leader.raft.next_tick(), leader.now);
    leader.wait(0);
    let told: Vec<u64> = leader.sent().into_iter().map(|(to, _)| to).collect();
    assert_eq!((leader.raft.role(), told), (Role::Leader, vec![2, 3]));
    leader.wait(301 * MILLISECOND);
    assert_eq!(leader.raft.role(), Role::Follower);
}

#[test]
fn a_voter_that_takes_its_agreement_back_wakes_its_leader() {
    let mut leader = sleeping_leader();
    leader.step(3, answer(1, 0, false));
    assert!(leader.raft.is_asleep(), "that was about an earlier wish");
    leader.step(3, answer(1, 1, false));
    assert_eq!(causes(&mut leader), [WakeCause::Message]);
}

#[test]
fn answers_that_come_late_wake_nobody() {
    let mut leader = sleeping_leader();
    leader.step(2, accepted(1, 1));
    leader.step(3, Message::HeartbeatResponse { term: 1, round: 0, verified: 1, matched: 1 });
    leader.step(3, answer(1, 1, true));
    assert!(leader.raft.is_asleep());
    assert_eq!(leader.sent(), []);
}

#[test]
fn others_may_sleep_under_a_leader_until_they_answer_a_later_round() {
    let mut leader = sleeping_leader();
    assert!(leader.raft.may_be_slept_under());
    leader.raft.wake(leader.now, WakeCause::Request);
    leader.wait(0);
    leader.take();
    let awake = Message::HeartbeatResponse { term: 1, round: 2, verified: 1, matched: 1 };
    leader.step(2, awake.clone());
    assert!(leader.raft.may_be_slept_under(), "3 may not have heard");
    leader.step(3, awake);
    assert!(!leader.raft.may_be_slept_under());
}

#[test]
fn a_sleeping_replica_needs_no_tick() {
    assert_eq!(sleeping_follower().raft.next_tick(), Time(u64::MAX));
    assert_eq!(sleeping_leader().raft.next_tick(), Time(u64::MAX));
}
