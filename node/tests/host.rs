//! What a host does with events, seen from outside: three hosts, a network
//! that can be cut, and logs that are durable at once.

#[path = "support/three_nodes.rs"]
mod three_nodes;
#[path = "support/trio.rs"]
mod trio;
#[path = "support/votes.rs"]
mod votes;

use bytes::Bytes;
use doug_node::host::{Event, ReadKind, Reply};
use doug_node::work::RequestId;
use doug_proto::ids::NodeId;
use doug_proto::v1::error_detail::Detail;
use doug_raft::{Clock, ReplicaId, Stamp};
use doug_storage::ReplicaKey;
use std::collections::BTreeSet;
use std::time::Duration;
use three_nodes::{MILLISECOND, NEVER, SECOND, node};
use trio::{BACKLOG, BEARABLE, HOUR, PAYLOADS, Trio};

#[test]
fn a_leader_whose_own_clock_is_an_hour_ahead_follows_the_majority() {
    let mut trio = Trio::new();
    trio.write(0, 1, NEVER);
    let now = trio.wall(1);
    let clock = trio.last_time(0).clock;
    assert!(clock.since(now) < SECOND && now.since(clock) < SECOND, "{clock} at {now}");
    assert_eq!(trio.last_time(1), trio.last_time(0));
}

#[test]
fn every_host_knows_by_how_much_its_clock_is_off() {
    let trio = Trio::new();
    let offsets = [0, 1, 2].map(|host: usize| trio.hosts[host].clock_offset(trio.now));
    assert!(offsets[0] > HOUR as i64 - 1_000, "{offsets:?}");
    assert!(offsets[1].abs() < 1_000 && offsets[2].abs() < 1_000, "{offsets:?}");
}

#[test]
fn a_write_is_stamped_later_than_what_its_client_has_seen_elsewhere() {
    let mut trio = Trio::new();
    let seen = Stamp::first_of(Clock(trio.wall(1).0 + 9_000));
    trio.write_after(0, 1, seen, NEVER);
    assert_eq!(trio.seen.applied, [RequestId(1)]);
    assert!(trio.last_time(0).stamp > seen);
    assert!(trio.last_time(0).clock.since(trio.wall(1)) < SECOND, "the clock does not follow");
}

#[test]
fn a_token_more_than_ten_seconds_ahead_is_refused_with_the_reason() {
    let mut trio = Trio::new();
    let before = trio.last_time(0);
    let seen = Stamp::first_of(Clock(trio.wall(1).0 + 12_000));
    trio.write_after(0, 1, seen, NEVER);
    let fault = trio.fault(1);
    assert!(fault.is_not_executed() && fault.code == tonic::Code::Unavailable, "{fault:?}");
    let by = fault.details.iter().find_map(|detail| match detail {
        Detail::ClockAhead(ahead) => Some(ahead.by_milliseconds),
        _ => None,
    });
    assert!(by.is_some_and(|by| (11_000..13_000).contains(&by)), "{fault:?}");
    assert_eq!(trio.last_time(0), before, "nothing was proposed");
}

#[test]
fn a_write_is_handed_on_with_its_batch_once_it_is_committed() {
    let mut trio = Trio::new();
    trio.write(0, 1, NEVER);
    assert_eq!(trio.seen.applied, [RequestId(1)]);
}

#[test]
fn a_write_to_a_follower_is_refused_with_the_leaders_name() {
    let mut trio = Trio::new();
    trio.write(1, 1, NEVER);
    let fault = trio.fault(1);
    assert!(fault.is_not_executed());
    assert_eq!(fault.leader_hint().unwrap().leader_node, node(0).to_string());
}

#[test]
fn a_write_without_a_majority_ends_unknown_at_its_deadline() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([1, 2]);
    let deadline = trio.now.after(100 * MILLISECOND);
    trio.write(0, 1, deadline);
    trio.pass(90 * MILLISECOND);
    assert!(trio.seen.replies.is_empty());
    trio.pass(20 * MILLISECOND);
    assert!(trio.fault(1).is_outcome_unknown());
    assert!(!trio.fault(1).is_not_executed());
}

#[test]
fn a_write_that_was_never_proposed_is_promised_never_to_be_executed() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([1, 2]);
    let deadline = trio.now.after(100 * MILLISECOND);
    for request in 1..=4 {
        trio.write(0, request, deadline);
    }
    trio.pass(110 * MILLISECOND);
    assert!(trio.fault(1).is_outcome_unknown());
    assert!(trio.fault(4).is_not_executed(), "it waited behind the others");
}

#[test]
fn writes_gather_while_earlier_batches_wait_for_their_commit() {
    let mut trio = Trio::new();
    trio.stalled = BTreeSet::from([0, 1, 2]);
    for request in 1..=10 {
        trio.write(0, request, NEVER);
    }
    assert_eq!(trio.hosts[0].raft(1).unwrap().last_index(), 3, "the no-op and two writes");
    trio.stalled.clear();
    (0..3).for_each(|host| trio.persisted(host));
    trio.settle();
    assert_eq!(trio.seen.applied.len(), 10);
}

#[test]
fn a_write_that_another_leader_replaced_is_promised_never_to_be_executed() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([0]);
    trio.write(0, 1, NEVER);
    trio.pass(SECOND);
    let leader = *trio.leaders().iter().find(|leader| **leader != 0).unwrap();
    trio.write(leader, 2, NEVER);
    trio.cut.clear();
    trio.pass(SECOND);
    assert_eq!(trio.seen.applied, [RequestId(2)]);
    assert!(trio.fault(1).is_not_executed());
}

#[test]
fn a_committed_write_that_is_not_applied_ends_unknown_at_its_deadline() {
    let mut trio = Trio::new();
    trio.applies_nothing = true;
    let deadline = trio.now.after(100 * MILLISECOND);
    trio.write(0, 1, deadline);
    assert_eq!(trio.seen.applied, [RequestId(1)], "it is committed, and handed to apply");
    trio.pass(90 * MILLISECOND);
    assert!(trio.seen.replies.is_empty());
    trio.pass(20 * MILLISECOND);
    assert!(trio.fault(1).is_outcome_unknown());
    assert!(!trio.fault(1).is_not_executed());
}

/// As many writes as fill what may wait for a log, and some more.
fn flood(trio: &mut Trio) -> u64 {
    let command = Bytes::from(vec![0; 100 << 10]);
    let writes = BACKLOG / command.len() as u64 + 8;
    for request in 1..=writes {
        let (request, command) = (RequestId(request), command.clone());
        trio.tell(
            0,
            Event::Write { request, partition: 1, command, seen: Stamp(0), deadline: NEVER },
        );
    }
    writes
}

#[test]
fn a_leader_whose_log_stands_still_refuses_writes_and_leads_on() {
    let mut trio = Trio::new();
    trio.stalled = BTreeSet::from([0]);
    let writes = flood(&mut trio);
    let fault = trio.fault(writes);
    assert_eq!(fault.code, tonic::Code::ResourceExhausted);
    assert!(fault.is_not_executed());
    assert!(trio.hosts[0].log_backlog() <= BACKLOG + (1 << 20));
    trio.pass(SECOND);
    assert_eq!(trio.leaders(), [0], "heartbeats go on");
    trio.stalled.clear();
    trio.persisted(0);
    trio.settle();
    trio.write(0, writes + 1, NEVER);
    assert!(trio.seen.applied.contains(&RequestId(writes + 1)));
}

#[test]
fn a_follower_whose_log_stands_still_takes_in_no_more_than_its_bound_and_catches_up() {
    let mut trio = Trio::new();
    trio.stalled = BTreeSet::from([1]);
    let writes = flood(&mut trio);
    trio.pass(SECOND);
    assert!(trio.hosts[1].log_backlog() <= BACKLOG + (1 << 20));
    assert_eq!(trio.leaders(), [0], "it hears its leader");
    assert!(trio.seen.applied.contains(&RequestId(writes)), "the other two have a majority");
    trio.stalled.clear();
    trio.persisted(1);
    trio.pass(5 * SECOND);
    let (leader, follower) = (trio.hosts[0].raft(1).unwrap(), trio.hosts[1].raft(1).unwrap());
    assert_eq!(follower.last_index(), leader.last_index());
}

#[test]
fn leaders_propose_no_more_without_a_majority_than_their_share_of_what_the_log_bears() {
    let mut trio = Trio::with_partitions(15);
    let led = |trio: &Trio| {
        let leads = |p: &u64| trio.hosts[0].raft(*p).unwrap().leader() == Some(ReplicaId(1));
        (1..=15).filter(leads).collect::<Vec<u64>>()
    };
    let led = led(&trio);
    assert!(led.len() > 4, "{led:?}");
    trio.cut = BTreeSet::from([0]);
    let command = Bytes::from(vec![0; 100 << 10]);
    let mut request = 0;
    for partition in led.iter().flat_map(|partition| [*partition; 40]) {
        request += 1;
        let (id, command) = (RequestId(request), command.clone());
        let write =
            Event::Write { request: id, partition, command, seen: Stamp(0), deadline: NEVER };
        trio.tell(0, write);
    }
    let bytes = |p: &u64| trio.hosts[0].raft(*p).unwrap().uncommitted_bytes();
    let total: u64 = led.iter().map(bytes).sum();
    assert!(total <= BEARABLE / 6 + (2 << 20), "{total} bytes wait for a majority");
    assert!(led.iter().filter(|p| bytes(p) > 0).count() > 1, "one leaves room to another");
    let fault = trio.fault(request);
    assert_eq!(fault.code, tonic::Code::ResourceExhausted);
    assert!(fault.is_not_executed());
    trio.cut.clear();
    trio.pass(5 * SECOND);
    let total: u64 = (0..3)
        .flat_map(|host| led.iter().map(move |p| (host, *p)))
        .map(|(host, p)| trio.hosts[host].raft(p).unwrap().uncommitted_bytes())
        .sum();
    assert_eq!(total, 0, "with a majority all is committed");
}

#[test]
fn what_has_no_majority_is_on_disk_alone_where_memory_has_no_room_and_is_applied_from_there() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([0]);
    let command = Bytes::from(vec![0; 100 << 10]);
    for request in (1..=15).map(RequestId) {
        let (command, seen, deadline) = (command.clone(), Stamp(0), NEVER);
        trio.tell(0, Event::Write { request, partition: 1, command, seen, deadline });
    }
    let raft = |trio: &Trio| {
        let raft = trio.hosts[0].raft(1).expect("it holds a replica");
        (raft.uncommitted_bytes(), raft.payload_bytes())
    };
    let (uncommitted, in_memory) = raft(&trio);
    assert!(uncommitted > PAYLOADS, "{uncommitted} bytes wait for a majority");
    assert!(in_memory <= PAYLOADS, "{in_memory} bytes are in memory");
    trio.cut.clear();
    trio.pass(SECOND);
    assert!(raft(&trio).1 <= PAYLOADS);
    let applied: Vec<u64> = trio.seen.applied.iter().map(|request| request.0).collect();
    assert_eq!(applied, (1..=15).collect::<Vec<u64>>(), "once, in order");
}

#[test]
fn a_batch_larger_than_a_segment_of_the_log_is_not_taken_from_a_leader() {
    let mut trio = Trio::new();
    let end = trio.hosts[1].raft(1).unwrap().last_index();
    let command = Bytes::from(vec![0; 9 << 20]);
    let (request, partition) = (RequestId(1), 1);
    let write = Event::Write { request, partition, command, seen: Stamp(0), deadline: NEVER };
    trio.tell(0, write);
    assert_eq!(trio.hosts[0].raft(1).unwrap().last_index(), end + 1);
    assert_eq!(trio.hosts[1].raft(1).unwrap().last_index(), end, "its log could not hold it");
}

#[test]
fn a_leader_does_not_count_itself_before_its_own_log_is_durable() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([2]);
    trio.stalled = BTreeSet::from([0]);
    trio.write(0, 1, NEVER);
    assert!(trio.seen.applied.is_empty(), "only one of three has it durably");
}

#[test]
fn a_linearizable_read_is_served_by_the_leader_alone_and_only_with_a_majority() {
    let mut trio = Trio::new();
    trio.read(0, 1, ReadKind::Linearizable);
    assert!(trio.is_ready(1));
    trio.read(1, 2, ReadKind::Linearizable);
    assert!(trio.fault(2).is_not_executed());
    trio.cut = BTreeSet::from([1, 2]);
    trio.read(0, 3, ReadKind::Linearizable);
    assert!(!trio.is_ready(3), "it may have been deposed without knowing");
}

#[test]
fn a_read_that_waited_is_as_stale_as_it_was_when_it_came() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([1, 2]);
    trio.read(0, 1, ReadKind::Linearizable);
    trio.pass(50 * MILLISECOND);
    assert!(!trio.is_ready(1), "nobody has confirmed the leader");
    trio.cut.clear();
    trio.pass(100 * MILLISECOND);
    let ready = trio.seen.ready.iter().find(|ready| ready.request == RequestId(1));
    assert_eq!(ready.expect("its round ended").staleness, Some(Duration::ZERO));
}

#[test]
fn a_host_without_the_replica_says_that_another_try_may_succeed() {
    let mut trio = Trio::new();
    let replica = ReplicaKey { partition: 1, replica: 2 };
    trio.hosts[1].step(trio.now, Event::Remove { request: RequestId(9), replica });
    trio.read(1, 1, ReadKind::Linearizable);
    trio.write(1, 2, NEVER);
    for request in [1, 2] {
        let fault = trio.fault(request);
        assert_eq!(fault.code, tonic::Code::Unavailable);
        assert!(fault.is_not_executed() && fault.message.contains("holds no replica"), "{fault}");
    }
}

#[test]
fn a_follower_serves_a_bounded_read_from_what_it_knows_to_be_fresh() {
    let mut trio = Trio::new();
    trio.read(1, 1, ReadKind::Bounded { max_lag: SECOND });
    assert!(trio.is_ready(1));
    trio.seen.turns.clear();
    trio.read(1, 2, ReadKind::Bounded { max_lag: SECOND });
    assert!(trio.is_ready(2));
    assert!(trio.seen.turns.is_empty(), "the second needs no question");
    trio.cut = BTreeSet::from([1]);
    trio.pass(2 * SECOND);
    trio.read(1, 3, ReadKind::Bounded { max_lag: SECOND });
    assert!(!trio.is_ready(3), "nothing proves its freshness any more");
}

#[test]
fn a_read_of_a_token_waits_until_its_index_is_applied() {
    let mut trio = Trio::new();
    trio.write(0, 1, NEVER);
    trio.pass(100 * MILLISECOND);
    trio.read(1, 2, ReadKind::Applied { index: 2 });
    assert!(trio.is_ready(2));
    trio.read(1, 3, ReadKind::Applied { index: 3 });
    assert!(!trio.is_ready(3));
    trio.write(0, 4, NEVER);
    trio.pass(100 * MILLISECOND);
    assert!(trio.is_ready(3));
}

#[test]
fn all_partitions_of_a_pair_share_one_message_a_turn() {
    let mut trio = Trio::with_partitions(6);
    assert_eq!(trio.leaders(), [0, 1, 2]);
    trio.seen.turns.clear();
    trio.pass(10 * SECOND);
    let most = trio.seen.turns.iter().map(|(_, _, heartbeats)| *heartbeats).max();
    assert_eq!(most, Some(2), "each leads two partitions, and both heartbeats leave together");
}

#[test]
fn a_message_from_a_node_that_is_no_member_is_ignored() {
    let mut trio = Trio::new();
    let turn = votes::irresistible_vote_request();
    // Replica 2 lives on node 2; this comes from a node that took its address.
    trio.tell(0, Event::Turn { from: NodeId::from_bits(77), turn: turn.clone() });
    assert!(trio.hosts[0].raft(1).unwrap().term() < 1_000);
    trio.tell(0, Event::Turn { from: node(1), turn });
    assert_eq!(trio.hosts[0].raft(1).unwrap().term(), 1_000);
}

#[test]
fn a_stopping_host_hands_its_leaderships_over_and_a_healthy_group_gives_them_back() {
    let mut trio = Trio::new();
    trio.tell(0, Event::HandOver);
    trio.pass(100 * MILLISECOND);
    let leaders = trio.leaders();
    assert!(leaders.len() == 1 && leaders != [0], "{leaders:?}");
}

#[test]
fn the_preferred_voter_gets_its_leadership_back() {
    let mut trio = Trio::new();
    trio.cut = BTreeSet::from([0]);
    trio.pass(SECOND);
    trio.cut.clear();
    trio.pass(10 * SECOND);
    assert_eq!(trio.leaders(), [0]);
}

#[test]
fn a_told_hand_over_is_answered_with_the_new_leader() {
    let mut trio = Trio::new();
    let to = Some(node(2));
    trio.tell(0, Event::Transfer { request: RequestId(1), partition: 1, to, deadline: NEVER });
    trio.pass(100 * MILLISECOND);
    let reply = &trio.seen.replies[&RequestId(1)];
    assert!(matches!(reply, Ok(Reply::Transferred(leader)) if *leader == node(2)), "{reply:?}");
}

#[test]
fn a_hand_over_that_the_group_gives_up_is_answered_at_once_and_may_be_tried_again() {
    let mut trio = Trio::new();
    trio.loses_hand_overs = true;
    let transfer = |request, to| {
        let to = Some(node(to));
        Event::Transfer { request: RequestId(request), partition: 1, to, deadline: NEVER }
    };
    trio.tell(0, transfer(1, 1));
    trio.tell(0, transfer(2, 2));
    assert_eq!(trio.fault(2).code, tonic::Code::Unavailable, "one after the other");
    trio.pass(SECOND);
    assert_eq!(trio.fault(1).code, tonic::Code::DeadlineExceeded);
    trio.loses_hand_overs = false;
    trio.tell(0, transfer(3, 2));
    trio.pass(100 * MILLISECOND);
    assert!(matches!(trio.seen.replies[&RequestId(3)], Ok(Reply::Transferred(leader))
        if leader == node(2)));
}

#[test]
fn a_preferred_voter_that_cannot_take_over_is_tried_less_and_less_often() {
    let mut trio = Trio::new();
    let deadline = trio.now.after(SECOND);
    let (request, partition, to) = (RequestId(7), 1, Some(node(1)));
    trio.tell(0, Event::Transfer { request, partition, to, deadline });
    trio.pass(SECOND);
    assert_eq!(trio.leaders(), [1]);
    trio.loses_hand_overs = true;
    trio.pass(60 * SECOND);
    assert_eq!(trio.leaders(), [1]);
    // After 5, 15 and 35 seconds: each costs writes an election timeout.
    assert_eq!(trio.seen.hand_overs_lost, 3);
    trio.loses_hand_overs = false;
    trio.pass(60 * SECOND);
    assert_eq!(trio.leaders(), [0], "it is tried again, and leads");
}
