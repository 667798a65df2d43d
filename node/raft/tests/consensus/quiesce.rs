//! Idle groups fall silent, and what ends that.

use std::time::Duration;

use doug_raft::{
    Configuration, Effect, LeaseConfig, LivenessEpoch, Message, ReadId, Role, Time, UnquiesceCause,
};

use crate::support::replica::{Replica, accepted, append, heartbeat, vote};
use crate::support::{
    MILLISECOND, command, commands, config, id, joint, log_of_terms, restored, voters,
};

const LIVENESS: LivenessEpoch = LivenessEpoch { incarnation: 1, epoch: 0 };
const LONG: Duration = Duration::from_secs(10);

fn proposal(replica: &Replica, round: u64) -> Message {
    let (term, commit) = (replica.raft.term(), replica.raft.commit());
    Message::Quiesce { term, commit, round, liveness: LIVENESS }
}

fn answer(term: u64, round: u64, agreed: bool) -> Message {
    Message::QuiesceResponse { term, round, agreed }
}

/// The leader of three has proposed to quiesce, in its first round.
fn asking() -> Replica {
    let mut leader = Replica::leader();
    assert!(leader.raft.propose_quiesce(leader.now, LIVENESS));
    leader
}

fn quiesced_leader() -> Replica {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.step(3, answer(1, 1, true));
    leader.take();
    leader.seen.clear();
    assert!(leader.raft.is_quiesced());
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

/// It has agreed to the proposal of round 5.
fn quiesced_follower() -> Replica {
    let mut replica = follower();
    let proposal = proposal(&replica, 5);
    replica.step(2, proposal);
    assert_eq!(replica.sent(), [(2, answer(2, 5, true))]);
    assert!(replica.raft.is_quiesced());
    replica.seen.clear();
    replica
}

fn causes(replica: &mut Replica) -> Vec<UnquiesceCause> {
    let others = replica.others();
    let causes = others.into_iter().filter_map(|effect| match effect {
        Effect::Unquiesced { cause } => Some(cause),
        _ => None,
    });
    causes.collect()
}

#[test]
fn a_leader_quiesces_once_every_voter_has_agreed_and_is_silent_then() {
    let mut leader = asking();
    let proposal = proposal(&leader, 1);
    assert_eq!(leader.sent(), [(2, proposal.clone()), (3, proposal)]);
    leader.step(2, answer(1, 1, true));
    assert!(!leader.raft.is_quiesced(), "3 has not agreed");
    leader.step(3, answer(1, 1, true));
    assert!(leader.raft.is_quiesced());
    leader.wait(LONG);
    assert_eq!(leader.sent(), []);
    assert_eq!(leader.raft.role(), Role::Leader);
}

#[test]
fn a_voter_that_does_not_answer_keeps_its_group_active() {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.sent();
    leader.wait(50 * MILLISECOND);
    let beat = Message::Heartbeat { term: 1, commit: 1, round: 2 };
    assert_eq!(leader.sent(), [(2, beat.clone()), (3, beat)]);
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_quiesced(), "2 has been told to go on");
}

#[test]
fn a_voter_that_disagrees_keeps_its_group_active() {
    let mut leader = asking();
    leader.step(3, answer(1, 1, false));
    leader.step(2, answer(1, 1, true));
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_quiesced());
}

/// A voter that started again is verified anew only because it answers a heartbeat.
#[test]
fn a_heartbeat_goes_between_two_quiesce_proposals() {
    let mut leader = asking();
    leader.sent();
    leader.step(3, answer(1, 1, false));
    assert!(!leader.raft.propose_quiesce(leader.now, LIVENESS));
    leader.wait(Duration::ZERO);
    let beat = Message::Heartbeat { term: 1, commit: 1, round: 2 };
    assert_eq!(leader.sent(), [(2, beat.clone()), (3, beat)], "and at once, for 2 may be quiesced");
    assert!(leader.raft.propose_quiesce(leader.now, LIVENESS));
}

#[test]
fn an_answer_to_an_earlier_proposal_does_not_count() {
    let mut leader = asking();
    leader.wait(50 * MILLISECOND);
    assert!(leader.raft.propose_quiesce(leader.now, LIVENESS));
    leader.step(2, answer(1, 3, true));
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_quiesced());
    leader.step(3, answer(1, 3, true));
    assert!(leader.raft.is_quiesced());
}

#[test]
fn a_leader_with_anything_left_to_do_asks_nobody() {
    let mut busy = Replica::leader();
    busy.raft.propose(busy.now, &[command("a")]).expect("it leads");
    busy.settle();
    assert!(!busy.raft.propose_quiesce(busy.now, LIVENESS), "nobody has acknowledged");
    busy.acknowledge(2, 2);
    busy.settle();
    busy.raft.applied(2);
    assert!(!busy.raft.propose_quiesce(busy.now, LIVENESS), "3 has not acknowledged");
    busy.acknowledge(3, 2);
    assert!(!busy.raft.propose_quiesce(busy.now, LIVENESS), "3 does not know that it is committed");
    busy.settle();
    assert!(busy.raft.propose_quiesce(busy.now, LIVENESS));
}

#[test]
fn a_proposal_between_the_quiesce_proposal_and_the_answers_keeps_the_leader_active() {
    let mut leader = asking();
    leader.step(2, answer(1, 1, true));
    leader.raft.propose(leader.now, &[command("a")]).expect("it leads");
    leader.step(3, answer(1, 1, true));
    assert!(!leader.raft.is_quiesced());
}

#[test]
fn learners_and_joint_configurations_do_not_quiesce() {
    let with_learner =
        Configuration { learners: voters([3]).voters, ..Configuration::of_voters([id(1), id(2)]) };
    for configuration in [with_learner, joint([1, 2, 3], [1, 2])] {
        let mut leader = Replica::new(config(1), restored(configuration, 0, vec![]));
        leader.win();
        leader.acknowledge(2, 1);
        leader.acknowledge(3, 1);
        leader.settle();
        leader.raft.applied(1);
        assert!(!leader.raft.propose_quiesce(leader.now, LIVENESS));
    }
}

#[test]
fn a_follower_agrees_only_to_all_it_has() {
    let mut replica = follower();
    let less = Message::Quiesce { term: 2, commit: 1, round: 5, liveness: LIVENESS };
    replica.step(2, less);
    assert_eq!(replica.sent(), [(2, answer(2, 5, false))], "it holds more than that");
    replica.step(2, append(2, (2, 2), 2, vec![commands(2, 3, "a")]));
    replica.settle();
    replica.sent();
    replica.step(2, Message::Quiesce { term: 2, commit: 3, round: 6, liveness: LIVENESS });
    assert_eq!(replica.sent(), [(2, answer(2, 6, false))], "it has not applied that");
    assert!(!replica.raft.is_quiesced());
}

#[test]
fn a_follower_that_restarted_does_not_agree_before_its_log_is_verified() {
    let mut replica = Replica::of_three(2, log_of_terms(&[1, 2]));
    replica.step(2, Message::Quiesce { term: 2, commit: 2, round: 5, liveness: LIVENESS });
    assert_eq!(replica.sent(), [(2, answer(2, 5, false))]);
}

#[test]
fn a_quiesced_follower_does_not_campaign() {
    let mut replica = quiesced_follower();
    replica.wait(LONG);
    assert_eq!(replica.sent(), []);
    assert_eq!(replica.raft.leader(), Some(id(2)));
}

#[test]
fn a_quiesce_proposal_that_comes_late_quiesces_nobody() {
    let mut replica = follower();
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 6 });
    replica.sent();
    let late = proposal(&replica, 5);
    replica.step(2, late);
    assert!(!replica.raft.is_quiesced(), "its leader has spoken since");
    replica.step(3, heartbeat(3));
    let older_term = Message::Quiesce { term: 2, commit: 2, round: 7, liveness: LIVENESS };
    replica.step(2, older_term);
    assert!(!replica.raft.is_quiesced(), "it has another leader");
}

#[test]
fn a_heartbeat_that_comes_late_unquiesces_nobody_and_a_new_one_does() {
    let mut replica = quiesced_follower();
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 4 });
    assert_eq!(replica.sent(), []);
    assert!(replica.raft.is_quiesced());
    replica.step(2, Message::Heartbeat { term: 2, commit: 2, round: 6 });
    assert_eq!(causes(&mut replica), [UnquiesceCause::Message]);
}

#[test]
fn an_append_and_a_newer_term_unquiesces_a_follower() {
    for message in [append(2, (2, 2), 2, vec![commands(2, 3, "a")]), heartbeat(3)] {
        let mut replica = quiesced_follower();
        let from = message.term();
        replica.step(from, message);
        assert_eq!(causes(&mut replica), [UnquiesceCause::Message]);
    }
}

/// Whoever asks does not hear the leader. If this one stayed quiesced and refused, nobody might
/// ever win.
#[test]
fn a_candidate_unquiesces_a_follower_which_tells_its_leader_and_would_vote_itself_a_little_later() {
    let mut replica = quiesced_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.leader_heard(replica.now);
    replica.step(3, Message::PreVote { term: 3, last_index: 2, last_term: 2 });
    let refused = Message::PreVoteResponse { term: 2, asked: 3, granted: false, ambiguous: false };
    assert_eq!(replica.sent(), [(2, answer(2, 5, false)), (3, refused)]);
    replica.wait(300 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn a_follower_whose_leaders_node_is_silent_lets_others_campaign_and_campaigns_itself() {
    let mut replica = quiesced_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.unquiesce(replica.now, UnquiesceCause::Silence);
    replica.step(3, Message::PreVote { term: 3, last_index: 2, last_term: 2 });
    let granted = Message::PreVoteResponse { term: 2, asked: 3, granted: true, ambiguous: false };
    assert_eq!(replica.sent(), [(3, granted)]);
    replica.wait(150 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn another_process_of_the_leaders_node_unquiesces_its_followers() {
    let mut replica = quiesced_follower();
    replica.raft.leader_liveness_seen(replica.now, LIVENESS);
    assert!(replica.raft.is_quiesced());
    replica.raft.leader_liveness_seen(replica.now, LivenessEpoch { epoch: 1, ..LIVENESS });
    assert_eq!(causes(&mut replica), [UnquiesceCause::Restart]);
}

#[test]
fn a_leaders_process_seen_to_go_makes_its_quiesced_followers_campaign_soon() {
    let mut replica = quiesced_follower();
    replica.now = replica.now.after(LONG);
    replica.raft.suspect(replica.now, id(3));
    assert!(replica.raft.is_quiesced(), "3 does not lead");
    replica.raft.suspect(replica.now, id(2));
    replica.wait(15 * MILLISECOND);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
}

#[test]
fn a_read_at_a_quiesced_follower_unquiesces_both() {
    let mut replica = quiesced_follower();
    replica.raft.read(replica.now, ReadId(1));
    let sent = replica.sent();
    assert!(matches!(sent[..], [(2, Message::ReadIndexRequest { term: 2, .. })]), "{sent:?}");
    let mut leader = quiesced_leader();
    leader.step(2, Message::ReadIndexRequest { term: 1, request: 7 });
    assert_eq!(causes(&mut leader), [UnquiesceCause::Message]);
}

#[test]
fn a_read_at_a_quiesced_leader_waits_for_a_round() {
    let mut leader = quiesced_leader();
    leader.raft.read(leader.now, ReadId(1));
    assert_eq!(leader.others(), [Effect::Unquiesced { cause: UnquiesceCause::Request }]);
    leader.step(2, Message::HeartbeatResponse { term: 1, round: 2, verified: 1, matched: 1 });
    assert_eq!(leader.others(), [Effect::ReadReady { reads: vec![ReadId(1)], index: 1 }]);
}

#[test]
fn a_lease_ends_when_its_leader_quiesces() {
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
    assert!(leader.raft.propose_quiesce(leader.now, LIVENESS));
    leader.step(2, answer(1, 2, true));
    leader.step(3, answer(1, 2, true));
    assert!(leader.raft.is_quiesced());
    leader.seen.clear();
    leader.raft.read(leader.now, ReadId(1));
    let answered = |effect: &Effect| matches!(effect, Effect::ReadReady { .. });
    assert!(
        !leader.others().iter().any(answered),
        "its last round is a moment ago, and counts no more"
    );
}

#[test]
fn whatever_is_asked_of_a_quiesced_leader_unquiesces_it() {
    let asked: [fn(&mut Replica); 5] = [
        |leader| assert!(leader.raft.propose(leader.now, &[command("a")]).is_ok()),
        |leader| leader.raft.read(leader.now, ReadId(1)),
        |leader| assert_eq!(leader.raft.transfer(leader.now, id(2)), Ok(())),
        |leader| leader.step(2, Message::PreVote { term: 2, last_index: 1, last_term: 1 }),
        |leader| leader.step(2, vote(2, 1, 1)),
    ];
    for ask in asked {
        let mut leader = quiesced_leader();
        ask(&mut leader);
        assert!(!leader.raft.is_quiesced());
    }
}

#[test]
fn a_leader_that_unquiesces_has_the_usual_time_to_hear_a_quorum_and_speaks_at_once() {
    let mut leader = quiesced_leader();
    leader.now = leader.now.after(LONG);
    leader.raft.unquiesce(leader.now, UnquiesceCause::Silence);
    assert_eq!(leader.raft.next_tick(), leader.now);
    leader.wait(Duration::ZERO);
    let told: Vec<u64> = leader.sent().into_iter().map(|(to, _)| to).collect();
    assert_eq!((leader.raft.role(), told), (Role::Leader, vec![2, 3]));
    leader.wait(301 * MILLISECOND);
    assert_eq!(leader.raft.role(), Role::Follower);
}

#[test]
fn a_voter_that_takes_its_agreement_back_unquiesces_its_leader() {
    let mut leader = quiesced_leader();
    leader.step(3, answer(1, 0, false));
    assert!(leader.raft.is_quiesced(), "that was about an earlier proposal");
    leader.step(3, answer(1, 1, false));
    assert_eq!(causes(&mut leader), [UnquiesceCause::Message]);
}

#[test]
fn answers_that_come_late_unquiesces_nobody() {
    let mut leader = quiesced_leader();
    leader.step(2, accepted(1, 1));
    leader.step(3, Message::HeartbeatResponse { term: 1, round: 0, verified: 1, matched: 1 });
    leader.step(3, answer(1, 1, true));
    assert!(leader.raft.is_quiesced());
    assert_eq!(leader.sent(), []);
}

#[test]
fn others_may_stay_quiesced_under_a_leader_until_they_answer_a_later_round() {
    let mut leader = quiesced_leader();
    assert!(leader.raft.may_have_quiesced_followers());
    leader.raft.unquiesce(leader.now, UnquiesceCause::Request);
    leader.wait(Duration::ZERO);
    leader.take();
    let active = Message::HeartbeatResponse { term: 1, round: 2, verified: 1, matched: 1 };
    leader.step(2, active.clone());
    assert!(leader.raft.may_have_quiesced_followers(), "3 may not have heard");
    leader.step(3, active);
    assert!(!leader.raft.may_have_quiesced_followers());
}

#[test]
fn a_quiesced_replica_needs_no_tick() {
    assert_eq!(quiesced_follower().raft.next_tick(), Time(u64::MAX));
    assert_eq!(quiesced_leader().raft.next_tick(), Time(u64::MAX));
}
