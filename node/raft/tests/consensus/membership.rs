//! Changes of the membership: joint consensus (paper, §6; thesis, 4.3).

use bytes::Bytes;
use doug_raft::{
    Batch, BatchError, BatchKind, ChangeError, Configuration, MEMBERSHIP_FORMAT_VERSION,
    Membership, MembershipError, Message, ProposeError, Role, TransferError,
};
use proptest::prelude::*;

use crate::support::replica::{Replica, append, heartbeat, rejected, vote, vote_response};
use crate::support::{
    MILLISECOND, PARTITION, change, command, commands, config, id, joint, made_at, noop, restored,
    voters,
};

fn with_learners(mut configuration: Configuration, learners: &[u64]) -> Configuration {
    configuration.learners = learners.iter().copied().map(id).collect();
    configuration
}

fn propose(replica: &mut Replica, to: Configuration) -> Result<u64, ChangeError> {
    let now = replica.now;
    replica.raft.propose_membership(now, Membership::of(to)).map(|proposed| proposed.base)
}

fn peers(replica: &Replica) -> Vec<u64> {
    replica.raft.peers().iter().map(|peer| peer.id.0).collect()
}

/// A leader of 1, 2, 3 whose move to 4, 5, 6 stands between the two: the joint configuration is
/// committed at index 2.
fn half_moved() -> Replica {
    let mut replica = Replica::leader();
    propose(&mut replica, joint([1, 2, 3], [4, 5, 6])).expect("it is legal");
    replica.settle();
    for peer in [2, 4, 5] {
        replica.acknowledge(peer, 2);
    }
    replica.settle();
    assert!(replica.raft.membership_is_committed());
    replica.seen.clear();
    replica
}

mod encoding {
    use super::*;

    fn membership() -> Membership {
        let configuration = with_learners(joint([1, 2], [2, 0x0103]), &[4]);
        Membership { configuration, context: command("descriptor") }
    }

    #[test]
    fn the_layout_never_changes() {
        let lines: Vec<String> =
            membership().encode().chunks(8).map(|chunk| format!("{chunk:02x?}")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn every_cut_is_noticed_and_so_is_what_follows() {
        let good = membership().encode();
        for length in 0..good.len() {
            let error = Membership::decode(&good.slice(..length)).expect_err("it was cut");
            assert!(matches!(error, MembershipError::Length { .. }), "{length} bytes: {error}");
        }
        let longer = Bytes::from([&good[..], &[0]].concat());
        assert!(matches!(Membership::decode(&longer), Err(MembershipError::Length { .. })));
    }

    #[test]
    fn a_newer_format_is_named_before_anything_else_in_it_is_judged() {
        let mut bytes = membership().encode().to_vec();
        bytes[0] = 2;
        bytes[2..].fill(0xff);
        let error = Membership::decode(&bytes.into()).expect_err("it is newer");
        let supported = MEMBERSHIP_FORMAT_VERSION;
        assert_eq!(error, MembershipError::NewerFormat { found: 2, supported });
    }

    #[test]
    fn ids_that_do_not_ascend_are_refused() {
        for ids in [[2, 2], [2, 1], [0, 1]] {
            let mut bytes = Membership::of(voters([1, 2])).encode().to_vec();
            (bytes[20], bytes[28]) = (ids[0], ids[1]);
            let error = Membership::decode(&bytes.into()).expect_err("they do not ascend");
            assert!(matches!(error, MembershipError::Malformed(_)), "{ids:?}: {error}");
        }
    }

    #[test]
    fn a_batch_whose_membership_cannot_be_read_is_refused() {
        let nonsense = [command("who?")];
        let batch = Batch::encode(PARTITION, BatchKind::Configuration, 1, 1, made_at(1), &nonsense);
        let error = Batch::decode(batch.encoded).expect_err("it is nonsense");
        assert!(matches!(error, BatchError::Membership(_)), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            ids in prop::array::uniform3(prop::collection::btree_set(1..u64::MAX, 0..9)),
            context in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let [voters, outgoing, learners] =
                ids.map(|ids| ids.into_iter().map(id).collect());
            let configuration = Configuration { voters, outgoing, learners };
            let membership = Membership { configuration, context: context.into() };
            prop_assert_eq!(Membership::decode(&membership.encode()), Ok(membership));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_without_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..100),
            sensible: bool,
        ) {
            if sensible && bytes.len() >= 20 {
                bytes[..20].fill(0);
                (bytes[0], bytes[4], bytes[16]) = (1, 1, (bytes.len() as u8).saturating_sub(28));
            }
            let bytes = Bytes::from(bytes);
            if let Ok(membership) = Membership::decode(&bytes) {
                prop_assert_eq!(membership.encode(), bytes);
            }
        }
    }
}

mod what_is_refused {
    use super::*;

    #[test]
    fn a_change_at_a_replica_that_does_not_lead() {
        let mut replica = Replica::of_three(1, vec![]);
        replica.step(2, heartbeat(1));
        let refused = propose(&mut replica, voters([1, 2, 3]));
        assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(id(2)) }.into()));
    }

    #[test]
    fn a_change_before_the_leader_has_committed_anything_of_its_term() {
        let mut replica = Replica::of_three(0, vec![]);
        replica.win();
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        let refused = propose(&mut replica, learner.clone());
        assert_eq!(refused, Err(ChangeError::TermNotCommitted { term: 1 }));
        replica.acknowledge(2, 1);
        assert_eq!(propose(&mut replica, learner), Ok(2));
    }

    #[test]
    fn a_change_while_the_one_before_is_not_committed() {
        let mut replica = Replica::leader();
        assert_eq!(propose(&mut replica, with_learners(voters([1, 2, 3]), &[4])), Ok(2));
        let refused = propose(&mut replica, voters([1, 2, 3]));
        assert_eq!(refused, Err(ChangeError::ChangeInProgress { index: 2 }));
        replica.settle();
        replica.acknowledge(2, 2);
        assert_eq!(propose(&mut replica, voters([1, 2, 3])), Ok(3));
    }

    #[test]
    fn a_change_while_leadership_is_handed_over() {
        let mut replica = Replica::leader();
        replica.raft.transfer(replica.now, id(3)).expect("3 votes");
        let refused = propose(&mut replica, with_learners(voters([1, 2, 3]), &[4]));
        assert_eq!(refused, Err(ProposeError::TransferInProgress { to: id(3) }.into()));
    }

    #[test]
    fn a_step_that_skips_the_joint_configuration() {
        let mut replica = Replica::leader();
        let mut refused = |to| propose(&mut replica, to).expect_err("it is illegal");
        assert_eq!(refused(voters([1, 2, 3, 4])), ChangeError::NotJoint);
        assert_eq!(refused(voters([1, 2])), ChangeError::NotJoint);
        assert_eq!(refused(joint([1, 2], [1, 2, 4])), ChangeError::OutgoingDiffers);
        let mut replica = half_moved();
        let mut refused = |to| propose(&mut replica, to).expect_err("it is illegal");
        assert_eq!(refused(joint([1, 2, 3], [4, 5])), ChangeError::AlreadyJoint);
        assert_eq!(refused(voters([4, 5])), ChangeError::VotersDiffer);
        assert_eq!(refused(voters([1, 2, 3])), ChangeError::VotersDiffer);
    }

    #[test]
    fn a_configuration_that_makes_no_sense() {
        let mut replica = Replica::leader();
        let mut refused = |to| propose(&mut replica, to).expect_err("it makes no sense");
        assert_eq!(refused(joint([1, 2, 3], [])), ChangeError::NoVoters);
        assert_eq!(refused(joint([1, 2, 3], [0])), ChangeError::ZeroId);
        let both = with_learners(voters([1, 2, 3]), &[3]);
        assert_eq!(refused(both), ChangeError::VotingLearner(id(3)));
    }

    #[test]
    fn a_hand_over_to_a_voter_that_is_left_behind() {
        let mut replica = half_moved();
        assert_eq!(replica.raft.transfer(replica.now, id(2)), Err(TransferError::Outgoing(id(2))));
        assert_eq!(replica.raft.transfer(replica.now, id(4)), Ok(()));
        let refused = replica.raft.propose(replica.now, &[command("a")]);
        assert_eq!(refused, Err(ProposeError::TransferInProgress { to: id(4) }));
    }
}

mod the_log {
    use super::*;

    #[test]
    fn a_configuration_is_in_force_as_soon_as_it_is_in_the_log() {
        let mut replica = Replica::of_three(1, vec![]);
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        replica.step(2, append(1, (0, 0), 0, vec![noop(1, 1), change(1, 2, learner.clone())]));
        assert_eq!(replica.raft.configuration(), &learner);
        assert_eq!(replica.raft.membership_index(), 2);
        assert!(!replica.raft.membership_is_committed());
        replica.step(2, append(1, (2, 1), 2, vec![]));
        assert!(replica.raft.membership_is_committed());
    }

    #[test]
    fn cutting_the_log_brings_the_configuration_before_back() {
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        let log =
            vec![noop(1, 1), change(1, 2, learner.clone()), change(2, 3, joint([1, 2, 3], [4]))];
        let mut replica = Replica::of_three(2, log);
        assert!(replica.raft.configuration().is_joint());
        replica.step(3, append(3, (2, 1), 0, vec![noop(3, 3)]));
        assert_eq!(replica.raft.configuration(), &learner);
        replica.step(2, append(4, (1, 1), 0, vec![noop(4, 2)]));
        assert_eq!(replica.raft.configuration(), &voters([1, 2, 3]));
    }

    #[test]
    fn compaction_keeps_the_configuration_of_what_it_forgets() {
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        let log = vec![change(1, 1, learner.clone()), commands(1, 2, "a"), commands(1, 3, "b")];
        let mut replica = Replica::of_three(1, vec![]);
        replica.step(2, append(1, (0, 0), 2, log));
        replica.settle();
        replica.raft.applied(2);
        replica.raft.compact(2);
        assert_eq!(replica.raft.configuration(), &learner);
        assert!(replica.raft.membership_is_committed());
        replica.step(2, append(2, (2, 1), 0, vec![noop(2, 3)]));
        assert_eq!(replica.raft.configuration(), &learner, "what follows it was cut, not it");
    }

    #[test]
    fn a_configuration_found_in_the_log_replaces_the_one_of_the_state_machine() {
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        let mut state = restored(voters([1, 2, 3]), 5, vec![change(4, 8, learner.clone())]);
        (state.snapshot, state.applied) = ((7, 3), 7);
        let replica = Replica::new(config(1), state);
        assert_eq!(replica.raft.configuration(), &learner);
    }

    #[test]
    fn a_snapshot_brings_its_configuration_to_a_log_that_disagrees() {
        let mut replica = Replica::of_three(2, vec![noop(1, 1), change(1, 2, voters([1, 2]))]);
        replica.raft.restore(
            replica.now,
            (2, 2),
            made_at(2),
            Membership::of(voters([1, 2, 3, 4, 5])),
        );
        assert_eq!(replica.raft.configuration(), &voters([1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_snapshot_leaves_the_later_configuration_of_a_log_that_agrees() {
        let later = joint([1, 2, 3], [4, 5, 6]);
        let log = vec![noop(1, 1), change(1, 2, later.clone())];
        let mut replica = Replica::new(config(4), restored(voters([]), 1, log));
        replica.raft.restore(replica.now, (1, 1), made_at(1), Membership::of(voters([1, 2, 3])));
        assert_eq!(replica.raft.configuration(), &later);
        replica.step(1, append(2, (1, 1), 0, vec![noop(2, 2)]));
        assert_eq!(
            replica.raft.configuration(),
            &voters([1, 2, 3]),
            "it knows it only by the snapshot: the group's first members stand in no log"
        );
    }
}

mod counting {
    use super::*;

    #[test]
    fn a_joint_configuration_commits_only_with_both_majorities() {
        let mut replica = Replica::leader();
        propose(&mut replica, joint([1, 2, 3], [4, 5, 6])).expect("it is legal");
        replica.settle();
        for peer in [4, 5, 6] {
            replica.acknowledge(peer, 2);
        }
        assert_eq!(replica.raft.commit(), 1, "4 of 6, but only 1 of the outgoing");
        replica.acknowledge(2, 2);
        assert_eq!(replica.raft.commit(), 2);
    }

    #[test]
    fn the_final_configuration_commits_without_those_it_leaves_behind() {
        let mut replica = half_moved();
        assert_eq!(propose(&mut replica, voters([4, 5, 6])), Ok(3));
        replica.settle();
        replica.acknowledge(2, 3);
        replica.acknowledge(3, 3);
        replica.acknowledge(4, 3);
        assert_eq!(replica.raft.commit(), 2, "the leader does not count itself either");
        replica.acknowledge(5, 3);
        assert_eq!(replica.raft.commit(), 3);
    }

    #[test]
    fn a_learner_does_not_count_before_its_promotion() {
        let mut replica = Replica::leader();
        propose(&mut replica, with_learners(voters([1, 2, 3]), &[4])).expect("it is legal");
        replica.settle();
        replica.acknowledge(4, 2);
        assert_eq!(replica.raft.commit(), 1);
    }

    #[test]
    fn a_read_needs_both_majorities() {
        let mut replica = half_moved();
        replica.raft.read(replica.now, doug_raft::ReadId(1));
        replica.take();
        let round = replica
            .sent()
            .iter()
            .find_map(|(_, message)| match message {
                Message::Heartbeat { round, .. } => Some(*round),
                _ => None,
            })
            .expect("a round has begun");
        let answer = Message::HeartbeatResponse { term: 1, round, verified: 2, matched: 2 };
        for peer in [4, 5, 6] {
            replica.step(peer, answer.clone());
        }
        assert_eq!(replica.others(), []);
        replica.step(3, answer);
        assert_eq!(replica.others().len(), 1);
    }

    #[test]
    fn an_election_needs_both_majorities() {
        let mut replica = Replica::of_three(1, vec![change(1, 1, joint([1, 2, 3], [3, 4, 5]))]);
        replica.raft.campaign(replica.now);
        for peer in [2, 3, 4, 5] {
            let granted = Message::PreVoteResponse {
                term: 1,
                asked: 2,
                granted: [2, 4].contains(&peer),
                ambiguous: false,
            };
            replica.step(peer, granted);
            if peer == 2 {
                assert_eq!(replica.raft.role(), Role::PreCandidate, "2 of 3 outgoing, 0 incoming");
            }
        }
        assert_eq!(replica.raft.role(), Role::Follower, "3 and 5 are two of three incoming");
    }
}

mod unknown_peers {
    use super::*;

    #[test]
    fn new_members_are_sent_to_at_once() {
        let mut replica = Replica::leader();
        propose(&mut replica, with_learners(voters([1, 2, 3]), &[4])).expect("it is legal");
        let configuration = with_learners(voters([1, 2, 3]), &[4]);
        let batch = change(1, 2, configuration);
        assert_eq!(replica.sent_to(4), [append(1, (1, 1), 1, vec![batch.clone()])]);
        replica.step(4, rejected(1, 1, 0, 1));
        assert_eq!(replica.sent_to(4), [append(1, (0, 0), 1, vec![noop(1, 1), batch])]);
    }

    #[test]
    fn a_replica_without_members_takes_the_log_of_whoever_leads() {
        let mut replica = Replica::new(config(4), restored(voters([]), 0, vec![]));
        let log = vec![noop(1, 1), change(1, 2, with_learners(voters([1, 2, 3]), &[4]))];
        replica.step(1, append(1, (0, 0), 2, log));
        replica.settle();
        assert_eq!(replica.applying().len(), 2);
        assert_eq!(replica.raft.configuration().voters.len(), 3);
    }

    #[test]
    fn a_replica_without_members_never_campaigns() {
        let mut replica = Replica::new(config(4), restored(voters([]), 0, vec![]));
        replica.wait(1_000 * MILLISECOND);
        replica.raft.campaign(replica.now);
        assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Follower, 0));
    }

    #[test]
    fn a_learner_votes_when_asked_by_one_who_knows_of_its_promotion() {
        let learner = with_learners(voters([1, 2, 3]), &[4]);
        let mut replica = Replica::new(config(4), restored(learner, 1, vec![]));
        replica.step(2, vote(2, 1, 2));
        replica.settle();
        assert_eq!(replica.sent(), [(2, vote_response(2, true))]);
    }

    #[test]
    fn those_left_out_are_told_that_the_change_is_committed_and_then_nothing_more() {
        let mut replica = half_moved();
        propose(&mut replica, voters([4, 5, 6])).expect("it is legal");
        replica.settle();
        assert_eq!(peers(&replica), [2, 3, 4, 5, 6], "2 and 3 have yet to learn of it");
        replica.acknowledge(3, 3);
        replica.seen.clear();
        replica.acknowledge(4, 3);
        replica.acknowledge(5, 3);
        let told = Message::Heartbeat { term: 1, commit: 3, round: 0 };
        assert!(replica.sent_to(3).contains(&told));
    }

    #[test]
    fn those_left_out_that_do_not_answer_are_given_up() {
        let mut replica = Replica::leader();
        propose(&mut replica, joint([1, 2, 3], [1, 2])).expect("it is legal");
        replica.settle();
        replica.acknowledge(2, 2);
        replica.settle();
        propose(&mut replica, voters([1, 2])).expect("it is legal");
        replica.settle();
        replica.acknowledge(2, 3);
        replica.take();
        assert_eq!(peers(&replica), [2, 3]);
        for _ in 0..6 {
            replica.wait(50 * MILLISECOND);
            replica.acknowledge(2, 3);
            replica.take();
        }
        assert_eq!(peers(&replica), [2]);
    }
}

mod a_removed_leader {
    use super::*;

    #[test]
    fn leads_until_its_removal_is_committed_then_tells_so_and_steps_down() {
        let mut replica = half_moved();
        propose(&mut replica, voters([4, 5, 6])).expect("it is legal");
        replica.settle();
        assert_eq!(replica.raft.role(), Role::Leader);
        replica.acknowledge(4, 3);
        replica.acknowledge(5, 3);
        replica.seen.clear();
        let sent = replica.sent();
        for peer in [4, 5] {
            let told = Message::Heartbeat { term: 1, commit: 3, round: 0 };
            assert!(sent.contains(&(peer, told)), "{peer}: {sent:?}");
        }
        assert!(sent.contains(&(5, Message::TimeoutNow { term: 1 })), "{sent:?}");
        assert_eq!((replica.raft.role(), replica.raft.leader()), (Role::Follower, None));
        replica.wait(1_000 * MILLISECOND);
        assert_eq!(replica.raft.role(), Role::Follower, "it never campaigns again");
    }

    #[test]
    fn steps_down_when_it_becomes_a_learner_too() {
        let mut replica = Replica::leader();
        propose(&mut replica, joint([1, 2, 3], [2, 3])).expect("it is legal");
        replica.settle();
        replica.acknowledge(2, 2);
        replica.acknowledge(3, 2);
        replica.settle();
        propose(&mut replica, with_learners(voters([2, 3]), &[1])).expect("it is legal");
        replica.settle();
        replica.acknowledge(2, 3);
        replica.acknowledge(3, 3);
        replica.take();
        assert_eq!(replica.raft.role(), Role::Follower);
    }

    #[test]
    fn campaigns_once_more_if_it_alone_may_hold_its_removal() {
        let log = vec![change(1, 1, joint([1, 2, 3], [4, 5, 6])), change(1, 2, voters([4, 5, 6]))];
        let mut replica = Replica::of_three(1, log.clone());
        replica.win();
        assert_eq!(replica.raft.role(), Role::Leader, "by the votes of 4, 5 and 6");
        let mut state = restored(voters([1, 2, 3]), 1, log);
        state.commit = 2;
        let mut told = Replica::new(config(1), state);
        told.raft.campaign(told.now);
        assert_eq!(told.raft.role(), Role::Follower, "its removal is committed");
    }
}
