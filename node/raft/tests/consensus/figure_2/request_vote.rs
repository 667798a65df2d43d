//! RequestVote, receiver's side.

use doug_raft::Role;

use crate::support::replica::{Replica, vote, vote_response};
use crate::support::{config, id, log_of_terms, restored, voters};

#[test]
fn rule_1_an_older_term_is_refused_with_ours() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, vote(4, 9, 9));
    assert_eq!(replica.sent(), [(2, vote_response(5, false))]);
    assert_eq!((replica.raft.term(), replica.raft.vote()), (5, None));
}

#[test]
fn rule_2_the_vote_goes_to_the_first_who_asks_and_to_nobody_else_in_the_term() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, vote(5, 0, 0));
    replica.step(3, vote(5, 0, 0));
    replica.settle();
    assert_eq!(replica.sent(), [(3, vote_response(5, false)), (2, vote_response(5, true))]);
    replica.step(2, vote(5, 0, 0));
    replica.settle();
    assert_eq!(
        replica.sent(),
        [(2, vote_response(5, true))],
        "asked twice, given once, said twice"
    );
    replica.step(3, vote(6, 0, 0));
    replica.settle();
    assert_eq!(replica.sent(), [(3, vote_response(6, true))], "a new term, a new vote");
}

#[test]
fn rule_2_only_a_log_at_least_as_up_to_date_gets_the_vote() {
    let cases = [
        // (last term, last index) of the candidate against a log that ends at index 3 in term 4.
        ((4, 3), true),
        ((4, 4), true),
        ((5, 1), true),
        ((4, 2), false),
        ((3, 9), false),
        ((0, 0), false),
    ];
    for ((last_term, last_index), granted) in cases {
        let mut replica = Replica::of_three(5, log_of_terms(&[1, 1, 4]));
        replica.step(2, vote(6, last_term, last_index));
        replica.settle();
        assert_eq!(
            replica.sent(),
            [(2, vote_response(6, granted))],
            "a log ending at {last_index}, term {last_term}"
        );
        assert_eq!(replica.raft.vote(), granted.then_some(id(2)));
    }
}

#[test]
fn rule_2_a_candidate_keeps_its_vote() {
    let mut config = config(1);
    config.pre_vote = false;
    let mut replica = Replica::new(config, restored(voters([1, 2, 3]), 4, vec![]));
    replica.raft.campaign(replica.now);
    replica.settle();
    replica.sent();
    replica.step(2, vote(5, 9, 9));
    assert_eq!(replica.sent(), [(2, vote_response(5, false))]);
    assert_eq!(replica.raft.role(), Role::Candidate);
}

#[test]
fn a_vote_of_an_older_term_is_never_sent_late() {
    let mut replica = Replica::of_three(5, vec![]);
    replica.step(2, vote(5, 0, 0));
    replica.take();
    replica.step(3, vote(6, 0, 0));
    replica.settle();
    assert_eq!(replica.sent(), [(3, vote_response(6, true))]);
}
