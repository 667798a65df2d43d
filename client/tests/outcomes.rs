//! How writes end: success, definite failure, or unknown; and never twice.

mod support;

use doug_client::v1::{self, error_detail::Detail, stream_operation::Operation};
use doug_client::{Client, Fault, If, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Fake, Net, Reply, address, fixed, follower, hash_map, puts, willing};
use tokio::time::Instant;
use tonic::Code;

async fn without_sessions(net: &Net, voters: &[u64]) -> Client {
    let builder = net.builder().direct(fixed(&hash_map(&[voters]))).sessions(false);
    builder.connect().await.unwrap()
}

fn expired() -> Fault {
    Fault::new(Code::FailedPrecondition, "the session is not known")
        .with(Detail::SessionExpired(v1::SessionExpired { partition: 1, session_id: 77 }))
}

fn registrations(fake: &Fake) -> usize {
    let received = fake.received.lock().unwrap();
    received.iter().filter(|o| matches!(o.operation, Some(Operation::Register(_)))).count()
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_session_is_unknown_after_a_reset_and_not_sent_again() {
    let net = Net::default();
    let nodes = [
        net.serve(&address(1), puts(|_, _| Reply::Break)),
        net.serve(&address(2), puts(|_, o| willing(o))),
    ];
    let client = without_sessions(&net, &[1, 2]).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown() && !fault.is_not_executed(), "{fault:?}");
    assert_eq!((nodes[0].writes().len(), nodes[1].writes().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn unavailable_without_our_promise_makes_a_write_unknown() {
    let net = Net::default();
    let foreign = |_, _: &_| Reply::Fault(Fault::new(Code::Unavailable, "said a proxy"));
    let node = net.serve(&address(1), puts(foreign));
    let client = without_sessions(&net, &[1]).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown(), "{fault:?}");
    assert_eq!(node.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_with_a_session_is_sent_again_after_a_reset_with_the_same_sequence() {
    let net = Net::default();
    let first = net.serve(&address(1), puts(|_, _| Reply::Break));
    let second = net.serve(&address(2), willing);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    client.put("k", "v", If::Always).await.unwrap();
    let session = v1::Session { id: 77, sequence: 1, lowest_unanswered: 1 };
    assert_eq!(first.writes()[0].session, Some(session));
    assert_eq!(second.writes()[0].session, Some(session));
}

#[tokio::test(start_paused = true)]
async fn sequences_rise_and_answered_ones_are_let_go() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    for _ in 0..3 {
        client.put("k", "v", If::Always).await.unwrap();
    }
    let sessions: Vec<_> = node.writes().iter().map(|put| put.session.unwrap()).collect();
    let numbers: Vec<_> = sessions.iter().map(|s| (s.sequence, s.lowest_unanswered)).collect();
    assert_eq!(numbers, [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(registrations(&node), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_answers_is_unknown_at_the_deadline() {
    let net = Net::default();
    let node = net.serve(&address(1), puts(|_, _| Reply::Silence));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let began = Instant::now();
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert_eq!(fault.code, Code::DeadlineExceeded);
    assert!(fault.is_outcome_unknown() && !fault.is_not_executed(), "{fault:?}");
    assert!(began.elapsed() < Duration::from_millis(5_050), "the deadline is 5 s");
    assert_eq!(node.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_never_sent_is_not_executed_at_the_deadline() {
    let net = Net::default();
    let client = without_sessions(&net, &[1, 2]).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert_eq!(fault.code, Code::Unavailable);
    assert!(fault.is_not_executed() && !fault.is_outcome_unknown(), "{fault:?}");
    assert!(fault.message.contains("n1:7400") || fault.message.contains("n2:7400"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_all_refuse_is_not_tried_so_late_that_the_deadline_could_cut_it_off() {
    let net = Net::default();
    let last = Arc::new(Mutex::new(Instant::now()));
    let tried = last.clone();
    let script = move |_, _: &_| {
        *tried.lock().unwrap() = Instant::now();
        Reply::Fault(Fault::unavailable("an election is under way"))
    };
    let node = net.serve(&address(1), puts(script));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert_eq!(fault.code, Code::Unavailable);
    assert!(fault.is_not_executed() && !fault.is_outcome_unknown(), "{fault:?}");
    assert!(node.writes().len() > 10, "it goes on trying");
    assert!(*last.lock().unwrap() <= deadline - Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_future_is_named_at_the_deadline_and_can_be_let_go() {
    let net = Net::default();
    let ahead = |_, _: &_| Reply::Fault(Fault::clock_ahead(1, 7_200_000));
    let refusing = net.serve(&address(1), puts(ahead));
    let direct = net.builder().direct(fixed(&hash_map(&[&[1]])));
    let client = direct.sessions(false).track_session(true).connect().await.unwrap();
    client.get("k", Read::default()).await.unwrap();
    assert!(!client.session_token().is_empty());
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert_eq!(fault.clock_ahead_by(), Some(7_200_000), "{fault:?}");
    assert!(fault.is_not_executed() && !refusing.writes().is_empty());
    client.forget_session_token();
    assert!(client.session_token().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_attempt_followed_by_refusals_until_the_deadline_is_unknown() {
    let net = Net::default();
    let script = |number, _: &_| match number {
        1 => Reply::Break,
        _ => Reply::Fault(Fault::unavailable("an election is under way")),
    };
    let node = net.serve(&address(1), puts(script));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown() && !fault.is_not_executed(), "{fault:?}");
    assert!(node.writes().len() > 10, "it goes on trying");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expired_before_its_first_use_is_replaced() {
    let net = Net::default();
    let script = |number, operation: &v1::StreamOperation| match number {
        1 => Reply::Fault(expired()),
        _ => willing(operation),
    };
    let node = net.serve(&address(1), puts(script));
    let client = net.direct(&hash_map(&[&[1]])).await;
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!((registrations(&node), node.writes().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expired_after_a_lost_attempt_leaves_the_write_unknown() {
    let net = Net::default();
    let script = |number, operation: &v1::StreamOperation| match number {
        1 => Reply::Break,
        2 => Reply::Fault(expired()),
        _ => willing(operation),
    };
    let node = net.serve(&address(1), puts(script));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown() && fault.is_session_expired(), "{fault:?}");
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!(registrations(&node), 2, "the next write takes a new session");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_the_caller_is_forwarded_untouched_and_its_expiry_reported() {
    let net = Net::default();
    let node = net.serve(&address(1), puts(|_, _| Reply::Fault(expired())));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let session = v1::Session { id: 9, sequence: 5, lowest_unanswered: 3 };
    let put = v1::PutRequest {
        key: "k".into(),
        session: Some(session),
        target: Some(v1::Target { partition: 1, ..Default::default() }),
        ..Default::default()
    };
    let fault = client.execute(Operation::Put(put), client.deadline()).await.unwrap_err();
    assert!(fault.is_session_expired() && fault.is_not_executed(), "sent just once: {fault:?}");
    assert_eq!(node.writes()[0].session, Some(session));
    assert_eq!(registrations(&node), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_partition_is_not_used() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    let put = v1::PutRequest {
        key: "k".into(),
        session: Some(v1::Session { id: 9, sequence: 5, lowest_unanswered: 3 }),
        target: Some(v1::Target { partition: 2, ..Default::default() }),
        ..Default::default()
    };
    let fault = client.execute(Operation::Put(put), client.deadline()).await.unwrap_err();
    assert!(fault.is_not_executed() && fault.wrong_partition().is_some(), "{fault:?}");
    assert_eq!(node.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_another_database_is_refused() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    let target = v1::Target { database: "0123456789ab".into(), ..Default::default() };
    let get = v1::GetRequest { key: "k".into(), target: Some(target), ..Default::default() };
    let fault = client.execute(Operation::Get(get), client.deadline()).await.unwrap_err();
    assert!(fault.message.contains("0000000000db") && fault.is_not_executed(), "{fault}");
    assert_eq!(node.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_goes_silent_another_replica_is_asked_meanwhile() {
    let net = Net::default();
    let silent = net.serve(&address(1), |_| Reply::Silence);
    let leader = net.serve(&address(2), willing);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    let began = Instant::now();
    client.get("k", Read::Linearizable).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(200), "patience is 150 ms");
    assert_eq!((silent.count(), leader.count()), (1, 1));
    client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!((silent.count(), leader.count()), (1, 2), "and it is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_write_with_a_session_is_given_to_another_replica_when_the_leader_is_silent() {
    let net = Net::default();
    let silent = net.serve(&address(1), puts(|_, _| Reply::Silence));
    let leader = net.serve(&address(2), willing);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!(silent.writes()[0].session, leader.writes()[0].session);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_session_waits_for_a_silent_leader_alone() {
    let net = Net::default();
    net.serve(&address(1), |_| Reply::Silence);
    let other = net.serve(&address(2), willing);
    let client = without_sessions(&net, &[1, 2]).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown(), "{fault:?}");
    assert_eq!(other.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_silent_leader_that_wakes_up_is_taken() {
    let net = Net::default();
    let slow = net.serve(&address(1), |_| Reply::After(Duration::from_millis(400)));
    net.serve(&address(2), follower(Some(1)));
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!(slow.count(), 1, "the first attempt was not given up");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_1024_writes_of_one_session_are_unanswered() {
    let net = Net::default();
    let node = net.serve(&address(1), puts(|_, _| Reply::After(Duration::from_millis(100))));
    let client = net.direct(&hash_map(&[&[1]])).await;
    let puts = (0..3_000).map(|_| client.put("k", "v", If::Always));
    futures::future::try_join_all(puts).await.unwrap();
    for put in node.writes() {
        let session = put.session.unwrap();
        assert!(session.sequence - session.lowest_unanswered < 1_024, "{session:?}");
    }
    assert_eq!(node.writes().len(), 3_000);
}

#[tokio::test(start_paused = true)]
async fn operations_beyond_the_bounds_of_a_connection_wait_and_then_say_so() {
    let net = Net::default();
    let node = net.serve(&address(1), |_| Reply::Silence);
    let map = fixed(&hash_map(&[&[1]]));
    let builder = net.builder().direct(map).sessions(false).max_in_flight(2, 1 << 20);
    let client = builder.connect().await.unwrap();
    let puts = (0..3).map(|_| client.put("k", "v", If::Always));
    let results = futures::future::join_all(puts).await;
    let faults: Vec<_> = results.into_iter().map(|result| result.unwrap_err()).collect();
    assert!(faults[0].is_outcome_unknown() && faults[1].is_outcome_unknown());
    assert_eq!(faults[2].code, Code::ResourceExhausted, "{:?}", faults[2]);
    assert!(faults[2].is_not_executed());
    assert_eq!(node.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_asked_ever_more_rarely_until_it_has_room() {
    let net = Net::default();
    let full = || Reply::Fault(Fault::exhausted("this node has too much to do"));
    let node = net.serve(&address(1), puts(move |_, _| full()));
    let client = without_sessions(&net, &[1]).await;
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert_eq!(fault.code, Code::ResourceExhausted);
    assert!(fault.is_not_executed());
    let tries = node.writes().len();
    assert!((5..30).contains(&tries), "{tries} tries in five seconds");

    let net = Net::default();
    let node = net.serve(
        &address(1),
        puts(move |number, operation| if number < 8 { full() } else { willing(operation) }),
    );
    let client = without_sessions(&net, &[1]).await;
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!(node.writes().len(), 8);
}
