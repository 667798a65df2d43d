//! Clients that ask and do not read, and more clients than there is room for.

mod support;

use doug_facade::MapOrigin;
use doug_proto::error::Fault;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::{GetRequest, PutRequest, StreamOperation, StreamRequest};
use futures::stream::{self, StreamExt};
use std::collections::BTreeSet;
use support::{FakeNode, Running, map};
use tonic::codegen::http;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

/// What the facades of these tests may hold for clients: half of their budget.
const ANSWERS: usize = 8 << 20;
const VALUE: usize = 1 << 20;
const GETS: u64 = 600;

async fn facade_over(node: &FakeNode, max_connections: Option<usize>) -> Running {
    node.map.send_replace(Some(map(1, &[&node.node])));
    let seed = format!("127.0.0.1:{}", node.node.ports.doug);
    let facade = Running::limited(MapOrigin::Nodes(vec![seed]), max_connections).await;
    facade.until_page("/readyz", "ready: partition map").await;
    facade
}

fn get(key: &'static str) -> GetRequest {
    GetRequest { key: key.into(), ..Default::default() }
}

fn many_gets() -> StreamRequest {
    let operation = |id| StreamOperation {
        id,
        operation: Some(Operation::Get(get("large"))),
        timeout_milliseconds: 60_000,
    };
    StreamRequest { operations: (1..=GETS).map(operation).collect() }
}

async fn metric(facade: &Running, name: &str) -> usize {
    let page = facade.page("/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).trim().parse().unwrap()
}

/// Memory of this process that is in use: what is not counted shows here.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_takes_a_bounded_share_and_others_are_served() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_over(&node, None).await;
    let mut other = facade.client().await;
    let large =
        PutRequest { key: "large".into(), value: vec![b'v'; VALUE].into(), ..Default::default() };
    other.put(large).await.unwrap();
    let before = resident_bytes();

    // Three streams, each with 600 MiB of answers to come, and nobody reads them.
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut greedy = facade.client().await;
        let requests = tokio_stream::iter([many_gets()]);
        unread.push(greedy.stream(requests).await.unwrap().into_inner());
    }
    for _ in 0..50 {
        let answer = other.get(get("large")).await.unwrap().into_inner();
        assert_eq!(answer.value.len(), VALUE);
        let held = metric(&facade, "dougdb_facade_answer_bytes").await;
        assert!(held <= ANSWERS + VALUE, "{held} bytes of answers are held");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more are in use");

    // Once it reads, every operation is answered exactly once: with the value, or, where
    // the first of them came in faster than expected, with the advice to ask for less.
    let mut answered = BTreeSet::new();
    let mut values = 0;
    while let Some(response) = unread[0].message().await.unwrap() {
        for answer in response.answers {
            assert!(answered.insert(answer.id), "{} was answered twice", answer.id);
            match answer.answer.unwrap() {
                Answer::Get(get) => {
                    assert_eq!(get.value.len(), VALUE);
                    values += 1;
                }
                Answer::Error(error) => {
                    let fault = Fault::from_wire(error);
                    assert_eq!(fault.code, Code::ResourceExhausted, "{fault}");
                    assert!(fault.is_not_executed());
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answered.len() as u64, GETS);
    assert!(values > GETS / 2, "only {values} of {GETS} were answered with the value");
}

/// How a put ends of whose 4 MiB only three come.
async fn put_in_part(mut channel: Channel) -> Fault {
    // The prefix of a message, three MiB of it in pieces, and then nothing more for ever.
    let prefix = [&[0][..], &(4_u32 << 20).to_be_bytes()].concat();
    let pieces = std::iter::repeat_n(vec![0; 64 << 10], 48);
    let pieces = std::iter::once(prefix).chain(pieces).map(Ok::<_, Status>);
    let body = axum::body::Body::from_stream(stream::iter(pieces).chain(stream::pending()));
    let request = http::Request::post("/dougdb.v1.Doug/Put")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap();
    channel.ready().await.unwrap();
    let response = channel.call(request).await.unwrap();
    let status = Status::from_header_map(response.headers()).expect("it ends without an answer");
    Fault::from_status(&status)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_become_whole_take_a_bounded_share_and_others_are_served() {
    const CONNECTIONS: usize = 8;
    const CALLS: usize = 16;
    let node = FakeNode::start(1, "a").await;
    let facade = facade_over(&node, None).await;
    let mut other = facade.client().await;
    let before = resident_bytes();

    // 384 MiB of which no message is whole.
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = facade.channel().await;
        for _ in 0..CALLS {
            let (channel, ended) = (channel.clone(), ended.clone());
            calls.spawn(async move { ended.send(put_in_part(channel).await) });
        }
    }
    // One call may wait for its end: a message that is alone has room.
    for _ in 0..CONNECTIONS * CALLS - 2 {
        let fault = ends.recv().await.unwrap();
        assert_eq!(fault.code, Code::ResourceExhausted, "{fault}");
        assert!(fault.is_not_executed(), "{fault}");
        let held = metric(&facade, "dougdb_facade_received_bytes").await;
        // The bound is 6 MiB; the rest was read from sockets and is about to be looked at.
        assert!(held <= 24 << 20, "{held} bytes of requests are held");
    }
    let whole =
        PutRequest { key: "whole".into(), value: vec![b'v'; VALUE].into(), ..Default::default() };
    // It has room as soon as those are given up of which nothing comes.
    while let Err(status) = other.put(whole.clone()).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more are in use");
    drop((ended, calls));
    while metric(&facade, "dougdb_facade_received_bytes").await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_client_more_than_allowed_is_told_so_and_gets_in_when_another_leaves() {
    let node = FakeNode::start(1, "a").await;
    let facade = facade_over(&node, Some(2)).await;
    let (mut first, mut second) = (facade.client().await, facade.client().await);
    for client in [&mut first, &mut second] {
        client.get(get("k")).await.unwrap();
    }
    let mut third = facade.client().await;
    let status = third.get(get("k")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("all 2 client connections"), "{status}");
    assert!(Fault::from_status(&status).is_not_executed());
    first.get(get("k")).await.unwrap();
    drop((first, third));
    loop {
        // The place is free once the facade has seen the first one leave.
        let mut another = facade.client().await;
        match another.get(get("k")).await {
            Ok(_) => break,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}
