//! A replica whose log was cut where a record had been begun: it may have lost what it
//! acknowledged.

use std::time::Duration;

use doug_raft::{Effect, Message, Restored, Role};

use crate::support::cluster::Cluster;
use crate::support::replica::{Replica, append, heartbeat, rejected, vote};
use crate::support::{MILLISECOND, command, commands, config, id, log_of_terms, restored, voters};

const SECOND: Duration = Duration::from_secs(1);

/// Replica 1 of a group of `size`, restarted in term 2 with two entries and an ambiguous tail.
fn ambiguous_of(size: u64) -> Replica {
    let found = restored(voters(1..=size), 2, log_of_terms(&[1, 2]));
    Replica::new(config(1), Restored { ambiguous_tail: true, ..found })
}

fn pre_vote_granted(asked: u64, ambiguous: bool) -> Message {
    Message::PreVoteResponse { term: asked - 1, asked, granted: true, ambiguous }
}

fn vote_granted(term: u64, ambiguous: bool) -> Message {
    Message::VoteResponse { term, granted: true, ambiguous }
}

/// Replica 1 campaigns, and these would vote for it and do if they are asked.
fn campaign_with_votes_of(replica: &mut Replica, others: impl Iterator<Item = u64> + Clone) {
    replica.raft.campaign(replica.now);
    replica.settle();
    for other in others.clone() {
        replica.step(other, pre_vote_granted(3, false));
    }
    replica.settle();
    if replica.raft.role() == Role::Candidate {
        for other in others {
            replica.step(other, vote_granted(3, false));
        }
        replica.settle();
    }
}

/// The answer to the last request for the leader's log end.
fn log_end(replica: &mut Replica, last_index: u64) -> Message {
    let asked = replica.sent().into_iter().rev().find_map(|(_, message)| match message {
        Message::LogEndRequest { term, request, .. } => Some((term, request)),
        _ => None,
    });
    let (term, request) = asked.expect("it asks the leader where its log ends");
    Message::LogEndResponse { term, request, last_index }
}

#[test]
fn its_votes_are_marked() {
    let mut replica = ambiguous_of(3);
    replica.wait(Duration::ZERO);
    replica.step(2, Message::PreVote { term: 3, last_index: 2, last_term: 2 });
    assert_eq!(replica.sent_to(2), [pre_vote_granted(3, true)]);
    replica.step(2, vote(3, 2, 2));
    replica.settle();
    assert_eq!(replica.sent_to(2), [vote_granted(3, true)]);
}

#[test]
fn its_refusals_are_not() {
    let mut replica = ambiguous_of(3);
    replica.step(2, vote(3, 1, 1));
    replica.settle();
    let refused = Message::VoteResponse { term: 3, granted: false, ambiguous: false };
    assert_eq!(replica.sent_to(2), [refused]);
}

#[test]
fn of_five_three_votes_are_too_few_if_one_is_its_own() {
    let mut replica = ambiguous_of(5);
    campaign_with_votes_of(&mut replica, 2..=3);
    assert_eq!(replica.raft.role(), Role::PreCandidate);
    let mut replica = ambiguous_of(5);
    campaign_with_votes_of(&mut replica, 2..=4);
    assert_eq!(replica.raft.role(), Role::Leader);
    assert!(!replica.raft.has_ambiguous_tail(), "it holds all that is committed");
}

#[test]
fn a_candidate_needs_one_vote_more_than_a_majority_if_one_of_them_is_marked() {
    let mut replica = Replica::new(config(1), restored(voters(1..=5), 2, log_of_terms(&[1, 2])));
    replica.raft.campaign(replica.now);
    replica.settle();
    for (other, ambiguous) in [(2, false), (3, true)] {
        replica.step(other, pre_vote_granted(3, ambiguous));
    }
    assert_eq!(replica.raft.role(), Role::PreCandidate);
    replica.step(4, pre_vote_granted(3, false));
    assert_eq!(replica.raft.role(), Role::Candidate);
    replica.settle();
    for (other, ambiguous) in [(2, false), (3, true)] {
        replica.step(other, vote_granted(3, ambiguous));
    }
    assert_eq!(replica.raft.role(), Role::Candidate);
    replica.step(4, vote_granted(3, true));
    assert_eq!(replica.raft.role(), Role::Leader);
}

#[test]
fn alone_in_its_group_it_leads_at_once() {
    let mut replica = ambiguous_of(1);
    replica.raft.campaign(replica.now);
    replica.settle();
    assert_eq!(replica.raft.role(), Role::Leader);
}

#[test]
fn it_is_repaired_once_it_holds_what_its_leader_held_after_its_start() {
    let mut replica = ambiguous_of(3);
    replica.step(2, heartbeat(2));
    let end = log_end(&mut replica, 3);
    replica.step(2, end);
    replica.step(2, append(2, (2, 2), 0, vec![]));
    replica.settle();
    assert!(replica.raft.has_ambiguous_tail(), "it lacks the third entry");
    replica.step(2, append(2, (2, 2), 0, vec![commands(2, 3, "x")]));
    replica.take();
    assert!(replica.raft.has_ambiguous_tail(), "the third entry is not durable");
    replica.settle();
    assert!(!replica.raft.has_ambiguous_tail());
    assert!(replica.others().contains(&Effect::TailRepaired));
}

#[test]
fn an_answer_to_a_former_life_or_of_a_former_term_repairs_nothing() {
    let mut replica = ambiguous_of(3);
    replica.step(2, heartbeat(2));
    let Message::LogEndResponse { term, request, .. } = log_end(&mut replica, 2) else {
        unreachable!()
    };
    let stray = Message::LogEndResponse { term, request: request + 1, last_index: 2 };
    replica.step(2, stray);
    replica.step(2, append(2, (2, 2), 0, vec![]));
    replica.settle();
    assert!(replica.raft.has_ambiguous_tail());
    replica.step(3, append(4, (2, 2), 0, vec![]));
    replica.step(2, Message::LogEndResponse { term, request, last_index: 2 });
    replica.settle();
    assert!(replica.raft.has_ambiguous_tail(), "another leads");
}

#[test]
fn a_leader_sends_again_what_was_acknowledged_and_is_lost() {
    let mut leader = Replica::leader();
    leader.raft.propose(leader.now, &[command("a")]).expect("it leads");
    leader.raft.propose(leader.now, &[command("b")]).expect("it leads");
    leader.settle();
    leader.acknowledge(2, 3);
    leader.sent();
    leader.step(2, Message::LogEndRequest { term: 1, request: 7, last_index: 2 });
    let mut sent = leader.sent_to(2);
    let answer = Message::LogEndResponse { term: 1, request: 7, last_index: 3 };
    assert_eq!(sent.remove(0), answer);
    let resent = |message: &Message| match message {
        Message::Append { prev_index: 2, batches, .. } => batches.iter().any(|b| b.base == 3),
        _ => false,
    };
    assert!(sent.iter().any(resent), "{sent:?}");
}

#[test]
fn a_refusal_is_not_taken_for_an_old_one_if_the_acknowledgement_is_older() {
    let mut replica = ambiguous_of(3);
    replica.step(2, heartbeat(2));
    let end = log_end(&mut replica, 5);
    replica.step(2, end);
    replica.step(2, heartbeat(2));
    replica.sent();
    // An acknowledgement of its former life arrived late: the leader believes that it has 5.
    replica.step(2, append(2, (5, 2), 0, vec![]));
    let sent = replica.sent_to(2);
    assert_eq!(sent[0], rejected(2, 5, 0, 3));
    assert!(matches!(sent[1], Message::LogEndRequest { last_index: 2, .. }), "{sent:?}");
}

#[test]
fn whatever_does_not_fit_it_asks_for_the_log_s_end_once_a_heartbeat() {
    let mut replica = ambiguous_of(3);
    replica.step(2, heartbeat(2));
    let end = log_end(&mut replica, 5);
    replica.step(2, end);
    let asked = |replica: &mut Replica| {
        replica.step(2, append(2, (5, 2), 0, vec![]));
        let sent = replica.sent_to(2);
        sent.iter().filter(|message| matches!(message, Message::LogEndRequest { .. })).count()
    };
    replica.sent();
    assert_eq!([asked(&mut replica), asked(&mut replica)], [0, 0], "asked after the heartbeat");
    replica.step(2, heartbeat(2));
    replica.sent();
    assert_eq!([asked(&mut replica), asked(&mut replica)], [1, 0]);
}

#[test]
fn after_a_while_without_a_leader_its_vote_counts_like_any_other() {
    let mut replica = ambiguous_of(3);
    let patience = config(1).ambiguity_patience;
    for _ in 0..patience.as_secs() {
        replica.wait(SECOND);
        replica.settle();
    }
    replica.sent();
    let asked = replica.raft.term() + 1;
    replica.step(2, vote(asked, 2, 2));
    replica.settle();
    assert!(replica.sent_to(2).contains(&vote_granted(asked, false)));
    assert!(replica.raft.has_ambiguous_tail(), "a leader has yet to repair it");
}

/// Replicas 1, 2 and 3; 1 leads and has committed an entry with 2 alone, which 3 lacks. Then 2
/// loses it, and 1 is away.
fn only_the_leader_away_has_what_was_committed() -> Cluster {
    let mut cluster = Cluster::new(voters(1..=3), 5, |_| {});
    cluster.with(1, |raft, now| raft.campaign(now));
    cluster.run_until_leader(SECOND);
    cluster.run_for(100 * MILLISECOND);
    cluster.isolate(&[3]);
    let proposed = cluster.propose(1, &[command("committed")]).expect("it leads");
    cluster.run_until(SECOND, |cluster| cluster.raft(1).commit() >= proposed.base);
    cluster.crash(1, 0);
    cluster.crash(2, 0);
    assert!(cluster.lose_tail(2));
    cluster.heal();
    cluster.start(2);
    cluster
}

#[test]
fn what_was_committed_with_a_replica_that_lost_it_is_not_replaced() {
    let mut cluster = only_the_leader_away_has_what_was_committed();
    cluster.run_for(10 * SECOND);
    assert_eq!(cluster.leader(), None, "2 and 3 lack what was committed");
    cluster.start(1);
    let leader = cluster.run_until_leader(SECOND);
    cluster.run_until(SECOND, |cluster| !cluster.raft(2).has_ambiguous_tail());
    let proposed = cluster.propose(leader, &[command("next")]).expect("it leads");
    cluster.run_until(SECOND, |cluster| {
        cluster.nodes.values().all(|node| node.machine.applied >= proposed.base)
    });
}

#[test]
#[cfg(feature = "mutants")]
#[should_panic(expected = "lacks committed index")]
fn it_would_be_if_its_vote_counted_like_any_other() {
    let mut cluster = only_the_leader_away_has_what_was_committed();
    for number in [2, 3] {
        let mutant = Some(doug_raft::Mutant::AmbiguousVoteCounted);
        if cluster.nodes[&number].raft.is_some() {
            cluster.crash(number, 0);
        }
        cluster.node(number).configure(|config| config.mutant = mutant);
        cluster.start(number);
    }
    let leader = cluster.run_until_leader(5 * SECOND);
    cluster.propose(leader, &[command("other")]).expect("it leads");
    cluster.run_for(SECOND);
}

/// A group of so many that had a leader and lost its power; every log was cut while it wrote.
fn without_power(size: u64) -> Cluster {
    let mut cluster = Cluster::new(voters(1..=size), 9, |_| {});
    cluster.with(1, |raft, now| raft.campaign(now));
    cluster.run_until_leader(SECOND);
    for number in 1..=size {
        cluster.crash(number, 0);
        cluster.node(number).disk.ambiguous = true;
    }
    cluster
}

#[test]
fn a_group_that_lost_its_power_goes_on_once_more_than_a_majority_is_back() {
    let mut cluster = without_power(5);
    (1..=3).for_each(|number| cluster.start(number));
    cluster.run_for(10 * SECOND);
    assert_eq!(cluster.leader(), None, "what one of them lost may be with the other two");
    cluster.start(4);
    cluster.run_until_leader(2 * SECOND);
    cluster.start(5);
    cluster.run_until(SECOND, |cluster| cluster.nodes.values().all(|node| !node.disk.ambiguous));
}

#[test]
fn a_group_of_which_a_bare_majority_is_left_waits_and_then_goes_on() {
    let mut cluster = without_power(3);
    (1..=2).for_each(|number| cluster.start(number));
    cluster.run_for(config(1).ambiguity_patience - SECOND);
    assert_eq!(cluster.leader(), None);
    cluster.run_until_leader(3 * SECOND);
    assert!(cluster.raft(1).configuration().is_voter(id(3)), "3 is away for good");
}
