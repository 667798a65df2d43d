//! What clients of a facade may rely on, through either door.

mod support;

use bytes::Bytes;
use doug_facade::{Config, Facade, MapOrigin};
use doug_proto::error::Fault;
use doug_proto::v1::error_detail::Detail;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::*;
use std::collections::BTreeMap;
use support::{FakeNode, Running, map};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

async fn facade_of(nodes: &[&FakeNode]) -> Running {
    let listed: Vec<_> = nodes.iter().map(|node| &node.node).collect();
    nodes[0].map.send_replace(Some(map(1, &listed)));
    let seed = format!("127.0.0.1:{}", nodes[0].node.ports.doug);
    let facade = Running::start(MapOrigin::Nodes(vec![seed])).await;
    facade.until_page("/readyz", "ready: partition map").await;
    facade
}

fn put(key: &'static str, value: Bytes) -> PutRequest {
    PutRequest { key: key.into(), value, ..Default::default() }
}

fn get(key: &'static str) -> GetRequest {
    GetRequest { key: key.into(), ..Default::default() }
}

fn operation(id: u64, operation: Operation) -> StreamOperation {
    StreamOperation { id, operation: Some(operation), timeout_milliseconds: 0 }
}

fn limit_of(fault: &Fault) -> Option<&LimitExceeded> {
    fault.details.iter().find_map(|detail| match detail {
        Detail::LimitExceeded(limit) => Some(limit),
        _ => None,
    })
}

/// Sends all requests, closes, and gives the answers by id.
async fn over_stream(facade: &Running, requests: Vec<StreamRequest>) -> BTreeMap<u64, Answer> {
    let mut client = facade.client().await;
    let mut responses = client.stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut answers = BTreeMap::new();
    while let Some(response) = responses.message().await.unwrap() {
        for answer in response.answers {
            let twice = answers.insert(answer.id, answer.answer.unwrap());
            assert!(twice.is_none(), "operation {} was answered twice", answer.id);
        }
    }
    answers
}

#[tokio::test]
async fn each_key_goes_to_the_leader_of_its_partition() {
    let (one, two) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let facade = facade_of(&[&one, &two]).await;
    let mut client = facade.client().await;
    for (key, node) in [("apple", &one), ("banana", &two)] {
        client.put(put(key, "v".into())).await.unwrap();
        let answer = client.get(get(key)).await.unwrap().into_inner();
        assert_eq!(answer.header.unwrap().served_by, node.node.id.to_string());
        assert_eq!(&answer.value[..], b"v");
    }
}

#[tokio::test]
async fn a_stream_answers_every_operation_once_and_errors_stay_inside() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let operations = vec![
        operation(1, Operation::Put(put("k", "v".into()))),
        operation(2, Operation::Get(GetRequest::default())),
        StreamOperation { id: 3, ..Default::default() },
        operation(4, Operation::Get(get("missing"))),
    ];
    let answers = over_stream(&facade, vec![StreamRequest { operations }]).await;
    assert_eq!(answers.len(), 4);
    assert!(matches!(&answers[&1], Answer::Put(put) if put.condition_met));
    assert!(matches!(&answers[&2], Answer::Error(error) if error.message.contains("key is empty")));
    assert!(matches!(&answers[&3], Answer::Error(error) if error.message.contains("empty")));
    assert!(matches!(&answers[&4], Answer::Get(get) if !get.found));
}

#[tokio::test]
async fn many_operations_on_one_stream_are_all_answered() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let requests = (0..50).map(|request| StreamRequest {
        operations: (0..200)
            .map(|n| operation(request * 200 + n, Operation::Put(put("k", "v".into()))))
            .collect(),
    });
    let answers = over_stream(&facade, requests.collect()).await;
    assert_eq!(answers.len(), 10_000);
    assert!(answers.values().all(|answer| matches!(answer, Answer::Put(_))));
}

#[tokio::test]
async fn beyond_a_limit_the_answer_names_it_through_either_door() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let large = || put("k", vec![0; (2 << 20) + 1].into());
    let status = facade.client().await.put(large()).await.unwrap_err();
    let fault = Fault::from_status(&status);
    assert_eq!(fault.code, Code::InvalidArgument);
    assert_eq!(limit_of(&fault).unwrap().limit, 2 << 20);
    assert!(fault.is_not_executed());

    let operations = vec![operation(1, Operation::Put(large()))];
    let answers = over_stream(&facade, vec![StreamRequest { operations }]).await;
    let Answer::Error(error) = answers[&1].clone() else { panic!("{answers:?}") };
    assert_eq!(limit_of(&Fault::from_wire(error)).unwrap().what, "value bytes");
}

#[tokio::test]
async fn a_request_too_large_to_be_read_is_refused_as_any_other_beyond_a_limit() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let huge = put("k", vec![0; 9 << 20].into());
    let status = facade.client().await.put(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(Fault::from_status(&status).is_not_executed());
}

#[tokio::test]
async fn operations_together_beyond_the_request_limit_are_all_refused() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let large = || Operation::Put(put("k", vec![0; 1 << 20].into()));
    let operations = (1..=4).map(|id| operation(id, large())).collect();
    let answers = over_stream(&facade, vec![StreamRequest { operations }]).await;
    for answer in answers.into_values() {
        let Answer::Error(error) = answer else { panic!("{answer:?}") };
        assert_eq!(limit_of(&Fault::from_wire(error)).unwrap().what, "request bytes");
    }
}

#[tokio::test]
async fn the_sessions_of_end_clients_are_forwarded_and_others_get_the_facades() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let mut client = facade.client().await;
    let session = Session { id: 4_711, sequence: 1, lowest_unanswered: 1 };
    client.put(PutRequest { session: Some(session), ..put("k", "v".into()) }).await.unwrap();
    client.put(put("k", "w".into())).await.unwrap();
    assert_eq!(*node.sessions.lock().unwrap(), [4_711, 77]);
}

#[tokio::test]
async fn while_one_cluster_is_down_the_keys_of_the_other_are_served() {
    let (one, two) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let facade = facade_of(&[&one, &two]).await;
    two.kill();
    let mut client = facade.client().await;
    let mut down = tonic::Request::new(put("banana", "v".into()));
    down.set_timeout(std::time::Duration::from_millis(400));
    let status = client.put(down).await.unwrap_err();
    let fault = Fault::from_status(&status);
    assert_eq!(fault.code, Code::Unavailable, "{fault:?}");
    assert!(fault.is_not_executed() && fault.leader_hint().is_none(), "{fault:?}");
    client.put(put("apple", "v".into())).await.unwrap();
}

#[tokio::test]
async fn status_lists_nodes_that_do_not_answer_with_the_reason() {
    let (one, two) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let facade = facade_of(&[&one, &two]).await;
    two.kill();
    let mut client = facade.client().await;
    let status = client.status(StatusRequest::default()).await.unwrap().into_inner();
    let states: Vec<NodeState> = status.nodes.iter().map(NodeStatus::state).collect();
    assert_eq!(states, [NodeState::Ready, NodeState::Unreachable]);
    assert!(!status.nodes[1].message.is_empty());
}

#[tokio::test]
async fn on_shutdown_open_streams_end_in_order() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let (requests, received) = tokio::sync::mpsc::channel(1);
    let mut client = facade.client().await;
    let mut responses = client.stream(ReceiverStream::new(received)).await.unwrap().into_inner();
    let operations = vec![operation(1, Operation::Put(put("k", "v".into())))];
    requests.send(StreamRequest { operations }).await.unwrap();
    assert_eq!(responses.message().await.unwrap().unwrap().answers.len(), 1);
    drop(client);
    facade.stop().await.unwrap();
    assert_eq!(responses.message().await.unwrap(), None);
}

#[tokio::test]
async fn on_shutdown_watches_that_wait_are_sent_elsewhere() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let (requests, received) = tokio::sync::mpsc::channel(1);
    let mut client = facade.client().await;
    let mut responses = client.stream(ReceiverStream::new(received)).await.unwrap().into_inner();
    let target = Some(Target { partition: 1, ..Default::default() });
    let watch = WatchRequest { target, wait_milliseconds: 30_000, ..Default::default() };
    // The answer to the put says that the watch, which comes before it, has begun.
    let operations = vec![
        operation(1, Operation::Watch(watch)),
        operation(2, Operation::Put(put("apple", "v".into()))),
    ];
    requests.send(StreamRequest { operations }).await.unwrap();
    let answers = responses.message().await.unwrap().unwrap().answers;
    assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [2]);
    drop(client);
    let stopping = tokio::spawn(facade.stop());
    let answers = responses.message().await.unwrap().unwrap().answers;
    let [StreamAnswer { id: 1, answer: Some(Answer::Error(error)) }] = &answers[..] else {
        panic!("{answers:?}")
    };
    let fault = Fault::from_wire(error.clone());
    assert!(fault.code == Code::Unavailable && fault.is_not_executed(), "{fault:?}");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let map = MapOrigin::Nodes(vec!["127.0.0.1:1".into()]);
    let config =
        Config { listen: address, http: any, map, memory_budget: 16 << 20, max_connections: None };
    let error = format!("{:#}", Facade::bind(config).await.err().unwrap());
    assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn health_and_metrics_tell_what_a_probe_and_a_dashboard_need() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    facade.client().await.get(get("k")).await.unwrap();
    facade
        .until_page("/metrics", r#"requests_total{op="get",code="OK",keyspace="default"} 1"#)
        .await;

    let mut health = tonic_health::pb::health_client::HealthClient::new(facade.channel().await);
    let service = "dougdb.v1.Doug".to_owned();
    let request = tonic_health::pb::HealthCheckRequest { service };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
}

#[tokio::test]
async fn tools_learn_the_services_by_reflection() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};

    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let mut reflection = ServerReflectionClient::new(facade.channel().await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { message_request, ..Default::default() };
    let requests = tokio_stream::iter([request]);
    let mut answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(ListServiceResponse { service }) = answer else {
        panic!("{answer:?}")
    };
    assert!(service.iter().any(|service| service.name == "dougdb.v1.Doug"), "{service:?}");
}

#[tokio::test]
async fn a_value_of_exactly_2_mib_is_written_and_read_through_both_doors_and_no_byte_more() {
    const MOST: usize = 2 << 20;
    let node = FakeNode::start(1, "a").await;
    let facade = facade_of(&[&node]).await;
    let mut client = facade.client().await.max_decoding_message_size(5 << 20);
    let largest = Bytes::from(vec![b'v'; MOST]);
    let too_large = Bytes::from(vec![b'v'; MOST + 1]);

    client.put(put("unary", largest.clone())).await.unwrap();
    let answer = client.get(get("unary")).await.unwrap().into_inner();
    assert!(answer.value == largest, "{} bytes came back", answer.value.len());
    let fault = Fault::from_status(&client.put(put("unary", too_large.clone())).await.unwrap_err());
    assert_eq!(limit_of(&fault).map(|limit| &limit.what[..]), Some("value bytes"));

    let request = |operation: StreamOperation| StreamRequest { operations: vec![operation] };
    let answers = over_stream(
        &facade,
        vec![
            request(operation(1, Operation::Put(put("stream", largest.clone())))),
            request(operation(2, Operation::Put(put("stream", too_large)))),
            request(operation(3, Operation::Get(get("unary")))),
        ],
    )
    .await;
    assert!(matches!(answers[&1], Answer::Put(_)));
    let Answer::Error(error) = &answers[&2] else { panic!("one byte too many was taken") };
    let fault = Fault::from_wire(error.clone());
    assert_eq!(limit_of(&fault).map(|limit| &limit.what[..]), Some("value bytes"));
    let Answer::Get(get) = &answers[&3] else { panic!("{:?}", answers[&3]) };
    assert!(get.value == largest);
}
