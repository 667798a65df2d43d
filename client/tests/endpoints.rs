//! Clients that stay on the endpoints they were given.

mod support;

use doug_client::v1::{self, NodeState, stream_answer::Answer};
use doug_client::{Builder, Client, Fault, If, Read};
use doug_proto::ids::NodeId;
use std::time::Duration;
use support::{Net, Reply, address, admin, follower, hash_map, puts, willing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tonic::Code;

#[tokio::test(start_paused = true)]
async fn operations_are_spread_over_the_endpoints() {
    let net = Net::default();
    let fakes = ["f1:7400", "f2:7400"].map(|address| net.serve(address, willing));
    let endpoints = ["f1:7400", "http://f2:7400"];
    let client = net.builder().endpoints(endpoints).connect().await.unwrap();
    for _ in 0..10 {
        client.get("k", Read::Linearizable).await.unwrap();
    }
    assert_eq!((fakes[0].count(), fakes[1].count()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_is_passed_over() {
    let net = Net::default();
    net.serve("f2:7400", willing);
    let endpoints = ["f1:7400", "f2:7400"];
    let client = net.builder().endpoints(endpoints).sessions(false).connect().await.unwrap();
    for _ in 0..4 {
        client.put("k", "v", If::Always).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_goes_silent_is_passed_over() {
    let net = Net::default();
    net.serve("f1:7400", |_| Reply::Silence);
    let alive = net.serve("f2:7400", willing);
    let client = net.builder().endpoints(["f1:7400", "f2:7400"]).connect().await.unwrap();
    for _ in 0..10 {
        client.get("k", Read::Linearizable).await.unwrap();
    }
    assert_eq!(alive.count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_write_through_an_endpoint_gets_a_session_of_its_partition() {
    let net = Net::default();
    let breaking_once = puts(|number, operation| match number {
        1 => Reply::Break,
        _ => willing(operation),
    });
    let facade = net.serve("f1:7400", breaking_once);
    *facade.map.lock().unwrap() = Some(hash_map(&[&[1]]));
    let client = net.builder().endpoints(["f1:7400"]).connect().await.unwrap();
    client.put("k", "v", If::Always).await.unwrap();
    let puts = facade.writes();
    assert_eq!(puts.len(), 2);
    assert_eq!(puts[0].session.unwrap().id, 77);
    assert_eq!(puts[0].session, puts[1].session);
    assert_eq!(puts[0].target.as_ref().unwrap().partition, 1);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_from_a_facade_that_may_have_tried_twice_is_unknown() {
    use doug_client::v1::{SessionExpired, error_detail::Detail};
    let net = Net::default();
    let expired = Fault::new(tonic::Code::FailedPrecondition, "the session is not known")
        .with(Detail::SessionExpired(SessionExpired { partition: 1, session_id: 77 }));
    let facade = net.serve("f1:7400", puts(move |_, _| Reply::Fault(expired.clone())));
    *facade.map.lock().unwrap() = Some(hash_map(&[&[1]]));
    let client = net.builder().endpoints(["f1:7400"]).connect().await.unwrap();
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_outcome_unknown(), "{fault:?}");
    assert_eq!(facade.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_stays_on_its_endpoints_even_if_they_are_nodes() {
    let net = Net::default();
    net.serve(&address(1), follower(Some(2)));
    let leader = net.serve(&address(2), willing);
    let elsewhere = [address(1)];
    let client = net.builder().endpoints(elsewhere).connect().await.unwrap();
    let fault = client.get("k", Read::Linearizable).await.unwrap_err();
    assert_eq!((fault.code, leader.count()), (tonic::Code::Unavailable, 0));
}

#[tokio::test(start_paused = true)]
async fn direct_mode_takes_the_map_from_the_endpoints_and_goes_to_the_nodes() {
    let net = Net::default();
    let facade = net.serve("f1:7400", willing);
    *facade.map.lock().unwrap() = Some(hash_map(&[&[1]]));
    let node = net.serve(&address(1), willing);
    let builder = net.builder().endpoints(["f1:7400"]).direct_from_endpoints();
    let client = builder.connect().await.unwrap();
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!((facade.count(), node.writes().len()), (0, 1));
    assert_eq!(client.map().await.unwrap().epoch, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_map_an_operation_waits_and_then_says_where_it_looked() {
    let net = Net::default();
    let builder = net.builder().endpoints(["f1:7400"]).direct_from_endpoints();
    let client = builder.connect().await.unwrap();
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_not_executed() && fault.message.contains("f1:7400"), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn the_status_of_all_lists_nodes_that_do_not_answer() {
    let net = Net::default();
    net.serve(&address(1), |_| Reply::Silence);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    let status = client.status().await.unwrap();
    let states: Vec<_> = status.nodes.iter().map(|node| (&node.name[..], node.state())).collect();
    assert_eq!(states, [("n1", NodeState::Unreachable), ("n2", NodeState::Unreachable)]);
    assert!(status.nodes[1].message.contains("n2:7400"), "{:?}", status.nodes[1]);
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_node_whose_address_another_one_has_says_which() {
    let net = Net::default();
    net.serve(&address(1), |_| {
        let id = NodeId::from_bits(9).to_string();
        let node = v1::NodeStatus { id, name: "old".into(), ..Default::default() };
        let nodes = vec![v1::NodeStatus { state: NodeState::Ready.into(), ..node }];
        Reply::Answer(Answer::Status(v1::StatusResponse { nodes, ..Default::default() }))
    });
    let client = net.direct(&hash_map(&[&[1]])).await;
    let status = client.status().await.unwrap();
    let listed = &status.nodes[0];
    assert_eq!((listed.id.as_str(), listed.state()), ("000000000001", NodeState::Unreachable));
    assert!(listed.message.contains("000000000009 (old)"), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_session_token_gathers_what_answers_have_seen() {
    let net = Net::default();
    net.serve("f1:7400", willing);
    let builder = net.builder().endpoints(["f1:7400"]).sessions(false).track_session(true);
    let client = builder.connect().await.unwrap();
    assert!(client.session_token().is_empty());
    client.put("k", "v", If::Always).await.unwrap();
    let token = doug_proto::token::SessionToken::from_bytes(&client.session_token()).unwrap();
    assert_eq!(token.revision(1), 6);
}

/// How long the operations of the tests below wait for endpoints that refuse.
const WAIT: Duration = Duration::from_secs(1);

/// How a read ends, and after how long.
async fn ends(builder: Builder) -> (Fault, Duration) {
    let client = builder.wait_for_ready(WAIT).connect().await.unwrap();
    let began = Instant::now();
    (client.get("k", Read::Linearizable).await.unwrap_err(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_refuse_connections_are_waited_for_as_long_as_was_asked() {
    let net = Net::default();
    for direct in [false, true] {
        let builder = net.builder().endpoints(["f1:7400", "f2:7400"]);
        let builder = if direct { builder.direct_from_endpoints() } else { builder };
        let (fault, took) = ends(builder).await;
        assert!(fault.is_not_executed() && fault.code == Code::Unavailable, "{fault:?}");
        assert!(fault.message.contains("f1:7400") && fault.message.contains("f2:7400"), "{fault}");
        assert!((WAIT..WAIT * 2).contains(&took), "{direct}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_starts_while_it_is_waited_for_serves() {
    let net = Net::default();
    let builder = net.builder().endpoints(["f1:7400"]).sessions(false).wait_for_ready(WAIT);
    let client = builder.connect().await.unwrap();
    let put = tokio::spawn(async move { client.put("k", "v", If::Always).await });
    tokio::time::sleep(WAIT / 2).await;
    net.serve("f1:7400", willing);
    put.await.unwrap().unwrap();
}

/// A server that answers every connection with these bytes.
fn says(net: &Net, address: &str, bytes: &'static [u8]) {
    net.accept(address, move |mut connection| {
        tokio::spawn(async move {
            let mut preface = [0; 24];
            let _ = connection.read_exact(&mut preface).await;
            let _ = connection.write_all(bytes).await;
        });
    });
}

#[tokio::test(start_paused = true)]
async fn a_port_that_speaks_another_protocol_is_told_at_once() {
    let net = Net::default();
    says(&net, "f1:7400", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    says(&net, "f2:7400", b"SSH-2.0-OpenSSH_9.6\r\n");
    for (endpoint, protocol) in [("f1:7400", "HTTP/1.1"), ("f2:7400", "another protocol")] {
        for direct in [false, true] {
            let builder = net.builder().endpoints([endpoint]);
            let builder = if direct { builder.direct_from_endpoints() } else { builder };
            let (fault, took) = ends(builder).await;
            assert!(fault.is_not_executed() && fault.code == Code::Unimplemented, "{fault:?}");
            assert!(fault.message.contains(endpoint) && fault.message.contains(protocol));
            assert_eq!(took, Duration::ZERO);
        }
    }
}

#[tokio::test]
async fn a_grpc_port_without_our_service_is_told_at_once_also_to_a_write() {
    let (_, address) = admin::serve(1).await;
    let long = Duration::from_secs(600);
    let builder = || Client::builder().endpoints([address.to_string()]).timeout(long);
    let (fault, took) = ends(builder()).await;
    assert_eq!(fault.code, Code::Unimplemented);
    assert!(took < long / 10, "{took:?}");
    let client = builder().sessions(false).wait_for_ready(WAIT).connect().await.unwrap();
    let fault = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(fault.is_not_executed() && !fault.is_outcome_unknown(), "{fault:?}");
    assert!(fault.message.contains("admin port"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_endpoint_does_not_keep_from_one_that_serves() {
    let net = Net::default();
    says(&net, "f1:7400", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    net.serve("f3:7400", willing);
    let builder = net.builder().endpoints(["f1:7400", "f2:7400", "f3:7400"]).sessions(false);
    let client = builder.wait_for_ready(Duration::ZERO).connect().await.unwrap();
    for _ in 0..6 {
        client.put("k", "v", If::Always).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_to_hurry_an_operation_waits_for_a_wrong_endpoint_to_become_right() {
    let net = Net::default();
    says(&net, "f1:7400", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let client = net.builder().endpoints(["f1:7400"]).sessions(false).connect().await.unwrap();
    let put = tokio::spawn(async move { client.put("k", "v", If::Always).await });
    tokio::time::sleep(WAIT).await;
    net.serve("f1:7400", willing);
    put.await.unwrap().unwrap();
}

/// A facade whose partition has no leader: it says so once its own time is over.
#[tokio::test(start_paused = true)]
async fn what_a_facade_says_at_its_deadline_is_heard_and_told_as_it_is() {
    let net = Net::default();
    let headless = "no leader of partition 3 (cluster a) was found within the deadline";
    net.serve("f1:7400", move |_| Reply::AtItsDeadline(Fault::unavailable(headless)));
    let builder = net.builder().endpoints(["f1:7400"]).sessions(false);
    let client = builder.connect().await.unwrap();
    let began = Instant::now();
    let read = client.get("k", Read::Linearizable).await.unwrap_err();
    assert_eq!((read.code, &*read.message), (Code::Unavailable, headless));
    let write = client.put("k", "v", If::Always).await.unwrap_err();
    assert!(write.is_not_executed(), "{write:?}");
    assert_eq!((write.code, &*write.message), (Code::Unavailable, headless));
    assert!(began.elapsed() < Duration::from_secs(10), "each within its deadline of 5 s");
}

/// It would only be cut off by the deadline, and make a definite refusal an unknown outcome.
#[tokio::test(start_paused = true)]
async fn what_a_facade_refused_at_its_deadline_is_not_tried_again_however_short_that_is() {
    let net = Net::default();
    let refusal = || Fault::unavailable("nobody took the write").not_executed();
    let refuses = |address| net.serve(address, move |_| Reply::AtItsDeadline(refusal()));
    let (one, other) = (refuses("f1:7400"), refuses("f2:7400"));
    for (done, milliseconds) in (130..150).chain([1_000, 5_000]).enumerate() {
        let builder = net.builder().endpoints(["f1:7400", "f2:7400"]).sessions(false);
        let builder = builder.timeout(Duration::from_millis(milliseconds)).seed(milliseconds);
        let client = builder.connect().await.unwrap();
        let fault = client.put("k", "v", If::Always).await.unwrap_err();
        assert!(fault.is_not_executed(), "{milliseconds} ms: {fault:?}");
        assert_eq!(one.count() + other.count(), done + 1, "{milliseconds} ms");
    }
}
