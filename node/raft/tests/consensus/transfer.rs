//! Leadership handed over.

use doug_raft::{Message, ProposeError, Role, TransferError};

use crate::support::replica::{Replica, heartbeat, rejected};
use crate::support::{MILLISECOND, command, config, id, restored, voters};

const TIMEOUT_NOW: Message = Message::TimeoutNow { term: 1 };

#[test]
fn a_target_that_has_everything_is_told_at_once() {
    let mut replica = Replica::leader();
    assert_eq!(replica.raft.transfer(replica.now, id(3)), Ok(()));
    assert_eq!(replica.sent(), [(3, TIMEOUT_NOW)]);
    assert_eq!(replica.raft.transferring_to(), Some(id(3)));
}

#[test]
fn a_target_that_lags_is_brought_up_to_date_first() {
    let mut replica = Replica::leader();
    replica.raft.propose(replica.now, &[command("a")]).expect("it leads");
    replica.settle();
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    assert!(!replica.sent().contains(&(3, TIMEOUT_NOW)));
    replica.acknowledge(2, 2);
    assert!(!replica.sent().contains(&(3, TIMEOUT_NOW)), "2 is not the one");
    replica.acknowledge(3, 2);
    assert!(replica.sent().contains(&(3, TIMEOUT_NOW)));
}

#[test]
fn commands_are_refused_while_leadership_is_handed_over() {
    let mut replica = Replica::leader();
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    let refused = replica.raft.propose(replica.now, &[command("a")]);
    assert_eq!(refused, Err(ProposeError::TransferInProgress { to: id(3) }));
}

#[test]
fn a_hand_over_that_does_not_happen_is_given_up() {
    let mut replica = Replica::leader();
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    for _ in 0..2 {
        replica.wait(150 * MILLISECOND);
        replica.step(2, Message::HeartbeatResponse { term: 1, round: 1, verified: 1, matched: 1 });
    }
    assert_eq!(replica.raft.transferring_to(), None);
    assert!(replica.raft.propose(replica.now, &[command("a")]).is_ok());
}

#[test]
fn a_target_that_cannot_lead_is_refused() {
    let mut configuration = voters([1, 2, 3]);
    configuration.learners = [id(4)].into();
    let mut replica = Replica::new(config(1), restored(configuration, 0, vec![]));
    let not_leader = TransferError::NotLeader { leader: None };
    assert_eq!(replica.raft.transfer(replica.now, id(2)), Err(not_leader));
    replica.win();
    let mut transfer = |to| replica.raft.transfer(replica.now, id(to));
    assert_eq!(transfer(1), Err(TransferError::AlreadyLeader(id(1))));
    assert_eq!(transfer(4), Err(TransferError::Learner(id(4))));
    assert_eq!(transfer(9), Err(TransferError::Unknown(id(9))));
    assert_eq!(transfer(2), Ok(()));
    assert_eq!(transfer(2), Ok(()), "asking again changes nothing");
    assert_eq!(transfer(3), Err(TransferError::InProgress(id(2))));
}

#[test]
fn the_target_campaigns_at_once_without_pre_vote() {
    let mut replica = Replica::of_three(1, vec![]);
    replica.step(2, heartbeat(1));
    replica.step(2, TIMEOUT_NOW);
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Candidate, 2));
    replica.settle();
    let asked = Message::Vote { term: 2, last_index: 0, last_term: 0, transfer: true };
    assert_eq!(replica.sent_to(3), [asked]);
}

#[test]
fn a_hand_over_of_an_older_term_is_ignored() {
    let mut replica = Replica::of_three(2, vec![]);
    replica.step(2, TIMEOUT_NOW);
    assert_eq!((replica.raft.role(), replica.raft.term()), (Role::Follower, 2));
}

#[test]
fn a_leader_that_steps_down_forgets_the_hand_over() {
    let mut replica = Replica::leader();
    replica.raft.transfer(replica.now, id(3)).expect("3 votes");
    replica.step(2, rejected(2, 0, 0, 0));
    assert_eq!((replica.raft.role(), replica.raft.transferring_to()), (Role::Follower, None));
    let refused = replica.raft.propose(replica.now, &[command("a")]);
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }));
}
