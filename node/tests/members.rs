//! Members that come and go, seen from outside: hosts on six nodes, a partition
//! that moves from three of them to the others while a client writes.

#[path = "support/moving.rs"]
mod moving;
#[path = "support/votes.rs"]
mod votes;

use doug_node::host::{Event, Reply};
use doug_node::work::RequestId;
use doug_proto::map::Goal;
use doug_storage::ReplicaKey;
use moving::{Database, SECOND, goal, node};
use std::collections::BTreeSet;

#[test]
fn a_partition_moves_to_other_nodes_and_no_write_fails() {
    let mut database = Database::ready();
    database.ask_for(goal(&[3, 4, 5]));
    for _ in 0..200 {
        database.write();
        database.turn();
    }
    assert!(database.is_at_rest(), "{:?}", database.map);
    assert_eq!(database.nodes(), [3, 4, 5]);
    assert_eq!(database.map.cluster, "b");
    assert_eq!(database.removed.len(), 3);
}

#[test]
fn a_goal_is_answered_once_it_is_committed() {
    let mut database = Database::ready();
    let request = database.ask_for(goal(&[3, 4, 5]));
    let reply = &database.replies[&request];
    let Ok(Reply::Goal(descriptor)) = reply else { panic!("{reply:?}") };
    assert_eq!(descriptor.goal, Some(goal(&[3, 4, 5])));
}

#[test]
fn a_move_ends_though_its_leader_is_cut_off_at_any_step() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        database.cut = database.leader().into_iter().collect();
        database.pass(2 * SECOND);
        database.cut.clear();
        database.pass(10 * SECOND);
        assert!(database.is_at_rest(), "cut after {turns} turns: {:?}", database.map);
        assert_eq!(database.nodes(), [3, 4, 5], "cut after {turns} turns");
        database.write();
    }
}

#[test]
fn a_goal_that_is_replaced_at_any_moment_gives_way_to_the_next() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        let back = Goal { cluster: "a".into(), ..goal(&[0, 1, 3]) };
        let request = database.ask_for(back);
        database.pass(10 * SECOND);
        let reply = database.replies.get(&request);
        let not_leader = matches!(reply, Some(Err(fault)) if fault.is_not_executed());
        let expected: &[usize] = if not_leader { &[3, 4, 5] } else { &[0, 1, 3] };
        assert!(database.is_at_rest(), "replaced after {turns} turns: {:?}", database.map);
        assert_eq!(database.nodes(), expected, "replaced after {turns} turns");
    }
}

#[test]
fn a_goal_given_up_leaves_the_members_as_they_were_or_as_they_were_about_to_be() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        database.ask_for(Goal { nodes: vec![], cluster: String::new(), discarded: vec![] });
        database.pass(10 * SECOND);
        assert!(database.is_at_rest(), "given up after {turns} turns: {:?}", database.map);
        assert!([vec![0, 1, 2], vec![3, 4, 5]].contains(&database.nodes()));
        database.write();
    }
}

/// A map may leave a replica out while it still applies what clients wait for.
fn moved_before_node_0_has_applied() -> Database {
    let mut database = Database::ready();
    database.applies_late = Some(0);
    database.write();
    database.ask_for(goal(&[3, 4, 5]));
    database.pass(5 * SECOND);
    database
}

#[test]
fn a_replica_that_leaves_is_gone_once_it_has_applied_what_was_given_out() {
    let mut database = moved_before_node_0_has_applied();
    assert_eq!((database.removed.len(), database.confirmed()), (3, 2));
    database.catch_up_with_applying();
    assert_eq!(database.confirmed(), 3);
}

#[test]
fn whoever_asks_again_for_a_replica_to_leave_waits_for_nothing() {
    let mut database = moved_before_node_0_has_applied();
    let (request, replica) = (RequestId(99_999), ReplicaKey { partition: 1, replica: 1 });
    database.hosts[0].step(database.now, Event::Remove { request, replica });
    database.turn();
    assert_eq!(database.confirmed(), 4);
}

#[test]
fn a_discarded_replica_is_replaced_on_its_own_node_under_a_new_id() {
    let mut database = Database::ready();
    let replace = Goal { cluster: "a".into(), discarded: vec![3], ..goal(&[0, 1, 2]) };
    database.ask_for(replace);
    database.pass(5 * SECOND);
    assert!(database.is_at_rest(), "{:?}", database.map);
    let voters: Vec<u64> = database.map.voters.iter().map(|voter| voter.replica).collect();
    assert_eq!(voters, [1, 2, 4]);
    assert!(database.removed.contains(&(2, 3)));
}

#[test]
fn one_dead_learner_holds_the_move_up_and_costs_no_write() {
    let mut database = Database::ready();
    database.cut = BTreeSet::from([5]);
    database.ask_for(goal(&[3, 4, 5]));
    for _ in 0..50 {
        database.write();
        database.turn();
    }
    assert_eq!(database.nodes(), [0, 1, 2]);
    database.cut.clear();
    database.pass(5 * SECOND);
    assert_eq!(database.nodes(), [3, 4, 5]);
}

#[test]
fn a_node_without_the_replica_any_more_never_answers_for_it() {
    let mut database = Database::ready();
    database.ask_for(goal(&[3, 4, 5]));
    database.pass(5 * SECOND);
    database.sent.clear();
    // As a leader of old would ask that knows nothing of the move.
    let turn = votes::irresistible_vote_request();
    let now = database.now;
    database.hosts[0].step(now, Event::Turn { from: node(1), turn });
    database.pass(SECOND);
    assert_eq!(database.sent.get(&0), None);
}
