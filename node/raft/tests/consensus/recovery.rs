//! A group that has lost its quorum for good begins anew from one replica.

use bytes::Bytes;
use doug_raft::{
    Batch, BatchError, BatchKind, LogWrite, Membership, RECOVERY_INDEXES, RECOVERY_TERMS,
    RecoverError, Restored, Role,
};

use crate::support::replica::{Replica, hard_state, heartbeat, vote};
use crate::support::{MILLISECOND, PARTITION, config, id, log_of_terms, made_at, restored, voters};

const GAP: u64 = RECOVERY_INDEXES as u64;

fn alone() -> Membership {
    Membership { configuration: voters([1]), context: Bytes::from_static(b"survivor") }
}

/// Replica 1 of five, whose log has three entries, of which none is known committed.
fn survivor() -> Replica {
    Replica::new(config(1), restored(voters(1..=5), 4, log_of_terms(&[1, 2, 4])))
}

#[test]
fn all_of_its_log_is_committed_and_its_indexes_are_skipped_that_the_lost_may_have_used() {
    let mut replica = survivor();
    let at = replica.raft.recover(replica.now, (4, 3), alone()).expect("nobody leads");
    replica.settle();
    assert_eq!((at.term, at.base, at.count), (4 + RECOVERY_TERMS, 4, RECOVERY_INDEXES));
    let applied = replica.applying();
    let places: Vec<_> = applied.iter().map(|batch| (batch.kind, batch.last())).collect();
    let entry = BatchKind::Commands;
    assert_eq!(places, [(entry, 1), (entry, 2), (entry, 3), (BatchKind::Recovery, 3 + GAP)]);
    assert_eq!(replica.raft.role(), Role::Leader);
    let next = replica.raft.propose(replica.now, &[Bytes::from_static(b"new")]).unwrap();
    assert_eq!(next.base, 4 + GAP);
    replica.settle();
    assert_eq!(replica.raft.commit(), 4 + GAP);
}

#[test]
fn nobody_of_the_lost_group_is_told_anything() {
    let mut replica = survivor();
    replica.raft.recover(replica.now, (4, 3), alone()).unwrap();
    replica.settle();
    for _ in 0..100 {
        replica.wait(10 * MILLISECOND);
        replica.settle();
    }
    assert_eq!(replica.sent(), []);
    assert_eq!(replica.raft.role(), Role::Leader);
}

#[test]
fn it_leads_only_once_its_term_and_its_vote_for_itself_are_durable() {
    let mut replica = survivor();
    replica.raft.recover(replica.now, (4, 3), alone()).unwrap();
    assert_eq!(replica.written(), [hard_state(4 + RECOVERY_TERMS, Some(1))]);
    assert_eq!(replica.raft.role(), Role::Candidate);
    replica.sync();
    let [LogWrite::Append(batch)] = &replica.written()[..] else { panic!("one batch") };
    assert_eq!(batch.kind, BatchKind::Recovery);
    assert_eq!(replica.raft.commit(), 0, "it is not durable yet");
    replica.sync();
    replica.take();
    assert_eq!(replica.raft.commit(), 3 + GAP);
}

#[test]
fn after_a_crash_it_goes_on_alone_if_the_configuration_had_become_durable() {
    let term = 4 + RECOVERY_TERMS;
    let recovery =
        Batch::encode(PARTITION, BatchKind::Recovery, term, 4, made_at(4), &[alone().encode()]);
    let mut log = log_of_terms(&[1, 2, 4]);
    log.push(recovery);
    let found = restored(voters(1..=5), term, log);
    let mut replica = Replica::new(config(1), Restored { vote: Some(id(1)), ..found });
    replica.raft.campaign(replica.now);
    replica.settle();
    assert_eq!(replica.raft.role(), Role::Leader);
    assert_eq!(replica.raft.commit(), 4 + GAP, "the no-op follows the recovery");
    assert_eq!(replica.sent(), []);
}

#[test]
fn a_doubtful_end_of_its_log_is_in_doubt_no_more() {
    let found = restored(voters(1..=5), 4, log_of_terms(&[1, 2, 4]));
    let mut replica = Replica::new(config(1), Restored { ambiguous_tail: true, ..found });
    replica.raft.recover(replica.now, (4, 3), alone()).unwrap();
    replica.settle();
    assert!(!replica.raft.has_ambiguous_tail());
}

#[test]
fn a_learner_can_begin_the_group_anew() {
    let mut of_four = voters(2..=5);
    of_four.learners.insert(id(1));
    let mut replica = Replica::new(config(1), restored(of_four, 1, log_of_terms(&[1])));
    replica.raft.recover(replica.now, (1, 1), alone()).unwrap();
    replica.settle();
    assert_eq!(replica.raft.role(), Role::Leader);
}

#[test]
fn a_group_that_has_a_leader_is_left_alone() {
    let mut replica = survivor();
    replica.step(2, heartbeat(5));
    let refused = replica.raft.recover(replica.now, (4, 3), alone());
    assert_eq!(refused, Err(RecoverError::HasLeader { leader: id(2) }));
    assert_eq!(replica.raft.term(), 5);
}

#[test]
fn a_log_that_is_another_than_was_seen_is_refused() {
    let found = restored(voters(1..=5), 5, log_of_terms(&[1, 2, 4, 5]));
    let mut replica = Replica::new(config(1), found);
    let refused = replica.raft.recover(replica.now, (4, 3), alone());
    assert_eq!(refused, Err(RecoverError::LogDiffers { last_index: 4, last_term: 5 }));
    replica.settle();
    assert_eq!(replica.raft.role(), Role::Follower);
}

#[test]
fn only_the_one_replica_may_be_in_the_new_group() {
    let mut replica = survivor();
    for others in [voters([1, 2]), voters([2])] {
        let refused = replica.raft.recover(replica.now, (4, 3), Membership::of(others));
        assert_eq!(refused, Err(RecoverError::NotAlone));
    }
}

#[test]
fn whoever_speaks_in_a_later_term_before_it_leads_ends_the_attempt() {
    let mut replica = survivor();
    replica.raft.recover(replica.now, (4, 3), alone()).unwrap();
    replica.take();
    replica.step(2, vote(5 + RECOVERY_TERMS, 4, 3));
    replica.settle();
    assert_eq!(replica.raft.role(), Role::Follower);
    assert_eq!(replica.log_terms(), [1, 2, 4]);
}

#[test]
fn a_recovery_takes_its_indexes_whatever_a_batch_says() {
    let encoded =
        Batch::encode(PARTITION, BatchKind::Recovery, 9, 4, made_at(4), &[alone().encode()]);
    assert_eq!((encoded.count, encoded.commands().len()), (RECOVERY_INDEXES, 1));
    assert_eq!(Batch::decode(encoded.encoded.clone()), Ok(encoded.clone()));
    let mut bytes = encoded.encoded.to_vec();
    bytes[12..16].copy_from_slice(&1u32.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(Batch::decode(bytes.into()), Err(BatchError::Malformed(_))));
}
