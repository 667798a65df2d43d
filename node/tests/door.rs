//! A node's door, over the network: clients that do not read, values of the greatest
//! length, more clients than there is room for.

use bytes::Bytes;
use doug_client::admin::Steering;
use doug_client::create::{ClusterSpec, HashSpec, NodeSpec, Partitioning, PortsSpec, Spec, create};
use doug_client::{At, Client, If, Range, Read, ScanOptions, Since, Watch, WatchOptions};
use doug_node::Config;
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::map::Ports;
use doug_proto::v1::doug_client::DougClient;
use doug_proto::v1::error_detail::Detail;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use doug_proto::v1::{GetRequest, PutRequest, StreamOperation, StreamRequest, WatchEvent};
use futures::TryStreamExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

const MOST: usize = doug_proto::limits::VALUE_BYTES;
const MEMORY: u64 = 64 << 20;

/// A database of one node in this process; it stops when dropped.
struct Database {
    ports: Ports,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
    _data: tempfile::TempDir,
}

impl Database {
    async fn start(max_connections: Option<usize>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let config = Config {
            data: data.path().join("node"),
            name: "a-0".into(),
            cluster: "a".into(),
            address: "127.0.0.1".into(),
            listen: "127.0.0.1".parse().unwrap(),
            ports,
            election_timeout_milliseconds: 150,
            memory_budget: MEMORY,
            log_limit: 64 << 20,
            hosts: 1,
            quiesce_after_milliseconds: 3_000,
            read_leases: false,
            open_tables: 64,
            access: AccessToken::default(),
            max_connections,
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = doug_node::run(config, async move { drop(stopped.await) });
        let ended = tokio::spawn(running);
        let node = NodeSpec {
            name: None,
            address: "127.0.0.1".into(),
            ports: Some(PortsSpec {
                doug: ports.doug,
                raft: ports.raft,
                admin: ports.admin,
                http: ports.http,
            }),
        };
        let hash = HashSpec { partitions: 1, prefix_delimiter: None };
        let spec = Spec {
            partitioning: Partitioning { hash: Some(hash), range: None },
            clusters: vec![ClusterSpec { name: "a".into(), nodes: vec![node] }],
            history: None,
        };
        let database = DatabaseId::from_bits(0xdb);
        let access = AccessToken::default();
        while create(&spec, database, Duration::from_secs(5), &access).await.is_err() {
            assert!(!ended.is_finished(), "the node has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { ports, stop: Some(stop), ended, _data: data }
    }

    async fn client(&self) -> Client {
        let endpoint = format!("127.0.0.1:{}", self.ports.doug);
        let client = Client::builder().endpoints([endpoint]).timeout(Duration::from_secs(30));
        client.connect().await.unwrap()
    }

    async fn steering(&self) -> Steering {
        let admin = format!("127.0.0.1:{}", self.ports.admin);
        let patience = Duration::from_secs(30);
        Steering::from_node(&admin, patience, AccessToken::default()).await.unwrap()
    }

    async fn plain(&self) -> DougClient<Channel> {
        let url = format!("http://127.0.0.1:{}", self.ports.doug);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        DougClient::new(channel).max_decoding_message_size(doug_proto::limits::MESSAGE_BYTES)
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.ended.await.unwrap().unwrap();
    }
}

/// Ports that nobody has: each is bound for a moment.
fn free_ports() -> Ports {
    let any = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = [any(), any(), any(), any()];
    let [doug, raft, admin, http] = listeners.map(|free| free.local_addr().unwrap().port());
    Ports { doug, raft, admin, http }
}

fn get(key: &'static str) -> Operation {
    Operation::Get(GetRequest { key: key.into(), ..Default::default() })
}

fn limit_of(fault: &Fault) -> Option<&str> {
    fault.details.iter().find_map(|detail| match detail {
        Detail::LimitExceeded(limit) => Some(limit.what.as_str()),
        _ => None,
    })
}

/// Memory of this process that is in use: what is not counted shows here.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_does_not_read_takes_a_bounded_share_and_others_are_served() {
    const GETS: u64 = 400;
    let database = Database::start(None).await;
    let other = database.client().await;
    other.put("large", vec![b'v'; MOST], If::Always).await.unwrap();
    let before = resident_bytes();

    // 800 MiB of answers to come, and nobody reads them.
    let operation =
        |id| StreamOperation { id, operation: Some(get("large")), timeout_milliseconds: 60_000 };
    let requests = StreamRequest { operations: (1..=GETS).map(operation).collect() };
    let mut greedy = database.plain().await;
    let mut unread = greedy.stream(tokio_stream::iter([requests])).await.unwrap().into_inner();
    for _ in 0..50 {
        let answer = other.get("large", Read::Linearizable).await.unwrap();
        assert_eq!(answer.value.len(), MOST);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more are in use");

    // Once it reads, every operation is answered exactly once.
    let mut answered = BTreeSet::new();
    let mut values = 0;
    while let Some(response) = unread.message().await.unwrap() {
        for answer in response.answers {
            assert!(answered.insert(answer.id), "{} was answered twice", answer.id);
            match answer.answer.unwrap() {
                Answer::Get(get) => {
                    assert_eq!(get.value.len(), MOST);
                    values += 1;
                }
                Answer::Error(error) => {
                    let fault = Fault::from_wire(error);
                    assert_eq!(fault.code, Code::ResourceExhausted, "{fault}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answered.len() as u64, GETS);
    assert!(values > GETS / 2, "only {values} of {GETS} were answered with the value");
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_exactly_2_mib_is_written_and_read_through_both_doors_and_no_byte_more() {
    let database = Database::start(None).await;
    let mut plain = database.plain().await;
    let put = |bytes: usize| PutRequest {
        key: vec![b'k'; doug_proto::limits::KEY_BYTES].into(),
        value: vec![b'v'; bytes].into(),
        ..Default::default()
    };
    // The first leader is elected meanwhile; on a busy machine it may take longer than the write,
    // or its first batch may wait for the disk, beside which no value of this length has room.
    while let Err(status) = plain.put(put(MOST)).await {
        let passes = [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted]
            .contains(&status.code());
        assert!(passes, "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fault = Fault::from_status(&plain.put(put(MOST + 1)).await.unwrap_err());
    assert_eq!(limit_of(&fault), Some("value bytes"), "{fault}");
    let read = GetRequest { key: put(0).key, ..Default::default() };
    assert_eq!(plain.get(read).await.unwrap().into_inner().value.len(), MOST);

    let streaming = database.client().await;
    streaming.put("stream", vec![b's'; MOST], If::Always).await.unwrap();
    let answer = streaming.get("stream", Read::Linearizable).await.unwrap();
    assert!(answer.value.len() == MOST && answer.value.iter().all(|byte| *byte == b's'));
    let operation = Some(Operation::Put(put(MOST + 1)));
    let operation = StreamOperation { id: 1, operation, timeout_milliseconds: 0 };
    let requests = tokio_stream::iter([StreamRequest { operations: vec![operation] }]);
    let mut answers = plain.stream(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().answers.remove(0).answer;
    let Some(Answer::Error(error)) = answer else { panic!("{answer:?}") };
    assert_eq!(limit_of(&Fault::from_wire(error)), Some("value bytes"));
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_more_than_allowed_is_told_so_and_the_others_go_on() {
    let database = Database::start(Some(1)).await;
    let status = || doug_proto::v1::StatusRequest::default();
    let mut first = database.plain().await;
    first.status(status()).await.unwrap();
    let mut second = database.plain().await;
    let refused = second.status(status()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("all 1 client connections"), "{refused}");
    first.status(status()).await.unwrap();
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_counts_what_each_of_its_replicas_serves() {
    let database = Database::start(None).await;
    let client = database.client().await;
    for key in ["a", "b", "c"] {
        client.put(key, vec![b'v'; 100], If::Always).await.unwrap();
    }
    client.put("a", "again", If::Absent).await.unwrap();
    client.get("a", Read::Linearizable).await.unwrap();
    client.get("a", Read::Eventual).await.unwrap();
    let request = doug_proto::v1::StatusRequest::default();
    let mut status = database.plain().await.status(request).await.unwrap().into_inner();
    let mut replicas = status.nodes.remove(0).replicas;
    // The first partition is the catalog's.
    let replica = replicas.remove(1);
    let served = replica.served.unwrap();
    assert_eq!((served.reads, served.read_bytes), (2, 200));
    assert!(served.writes >= 4, "also one whose condition did not hold: {served:?}");
    assert!((300..1_000).contains(&served.written_bytes), "{served:?}");
    // Beside the keys, sessions may stand there.
    assert!(replica.estimated_keys >= 3, "{replica:?}");
    database.stop().await;
}

/// Key `k` is written three times: in which partition, and at which revisions.
async fn three_versions(client: &Client) -> (u64, Vec<u64>) {
    let (mut partition, mut revisions) = (0, Vec::new());
    for value in ["one", "two", "three"] {
        let header = client.put("k", value, If::Always).await.unwrap().header.unwrap();
        partition = header.partition;
        revisions.push(header.revision);
    }
    (partition, revisions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_raised_by_hand_ends_the_past_there_and_never_falls() {
    let database = Database::start(None).await;
    let client = database.client().await;
    let (partition, revisions) = three_versions(&client).await;
    let steering = database.steering().await;

    let future = steering.compact(partition, revisions[2] + 1_000).await.unwrap_err();
    assert!(future.code == Code::InvalidArgument, "{future}");
    let floor = steering.compact(partition, revisions[1]).await.unwrap();
    assert_eq!(floor.revision, revisions[1]);
    let stays = steering.compact(partition, revisions[0]).await.unwrap();
    assert_eq!(stays, floor, "a floor never falls");

    let past =
        async |revision| client.get_at("k", At::Revision(revision), Read::Linearizable).await;
    assert_eq!(past(revisions[0]).await.unwrap_err().floor(), Some((partition, floor)));
    assert_eq!(past(revisions[1]).await.unwrap().value, "two");
    database.stop().await;
}

/// The next events of a watch.
async fn told(watch: &mut Watch) -> Vec<WatchEvent> {
    loop {
        let changes = tokio::time::timeout(Duration::from_secs(30), watch.next()).await;
        let changes = changes.expect("it is told in time").unwrap();
        if !changes.events.is_empty() {
            return changes.events;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_told_every_change_of_its_range_once_and_goes_on_from_its_token() {
    let database = Database::start(None).await;
    let client = database.client().await;
    client.put("a/0", "before", If::Always).await.unwrap();
    let options = WatchOptions { values: true, ..Default::default() };
    let mut watch = client.watch(Range::prefix("a/"), options.clone()).await.unwrap();
    client.put("b", "not asked for", If::Always).await.unwrap();
    client.put("a/1", "one", If::Always).await.unwrap();
    let events = told(&mut watch).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (&event.key[..], &event.value[..], event.deleted),
        (&b"a/1"[..], &b"one"[..], false)
    );

    // While nobody watches, and with what was kept in memory at the time long forgotten.
    let token = watch.token();
    drop(watch);
    for number in 0..50 {
        client.put("a/2", format!("{number}"), If::Always).await.unwrap();
    }
    client.delete("a/1", If::Always).await.unwrap();
    let since = Since::Token(token);
    let mut watch =
        client.watch(Range::prefix("a/"), WatchOptions { since, ..options }).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 51 {
        events.extend(told(&mut watch).await);
    }
    let values = events.iter().map(|event| String::from_utf8_lossy(&event.value).into_owned());
    let expected = (0..50).map(|number| number.to_string()).chain([String::new()]);
    assert!(values.eq(expected), "{events:?}");
    assert!(events[50].deleted && events.is_sorted_by_key(|event| event.stamp));
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_below_the_floor_is_told_where_history_begins() {
    let database = Database::start(None).await;
    let client = database.client().await;
    let (partition, revisions) = three_versions(&client).await;
    let steering = database.steering().await;
    let floor = steering.compact(partition, revisions[1]).await.unwrap();
    let since = |revision| {
        let since = Since::At(At::Revision(revision));
        client.watch(Range::key("k"), WatchOptions { since, values: true })
    };
    assert_eq!(since(revisions[0]).await.unwrap_err().floor(), Some((partition, floor)));
    let mut watch = since(revisions[1]).await.unwrap();
    let events = told(&mut watch).await;
    assert!(events.len() == 1 && events[0].value == "three", "{events:?}");
    database.stop().await;
}

/// What docs/watch.md shows, between the two lines.
async fn follow(client: &Client, copy: &Mutex<BTreeMap<Bytes, Bytes>>) -> Result<(), Fault> {
    // sample begins
    let users = || Range::prefix("user7/");
    let now = client.cut().await?;
    let options = ScanOptions { at: Some(now), ..Default::default() };
    let mut entries = client.scan(users(), options);
    while let Some(entry) = entries.try_next().await? {
        copy.lock().insert(entry.key, entry.value);
    }
    let options = WatchOptions { since: Since::At(now), values: true };
    let mut watch = client.watch(users(), options).await?;
    loop {
        for event in watch.next().await?.events {
            if event.deleted {
                copy.lock().remove(&event.key);
            } else {
                copy.lock().insert(event.key, event.value);
            }
        }
    }
    // sample ends
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_listed_and_then_watched_becomes_what_is_there_as_the_page_shows() {
    let indented = include_str!("door.rs").split("// sample begins\n").nth(1).unwrap();
    let indented = indented.split("    // sample ends").next().unwrap();
    let lines = indented.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    let sample = lines.collect::<Vec<_>>().join("\n");
    assert!(include_str!("../../docs/watch.md").contains(&sample), "the page shows another one");

    let database = Database::start(None).await;
    let client = database.client().await;
    let copy = Arc::<Mutex<BTreeMap<Bytes, Bytes>>>::default();
    let write = |number: usize| {
        let (client, key) = (client.clone(), format!("user7/{}", number % 7));
        async move {
            if number.is_multiple_of(5) {
                client.delete(key, If::Always).await.unwrap();
            } else {
                client.put(key, format!("{number}"), If::Always).await.unwrap();
            }
        }
    };
    for number in 0..20 {
        write(number).await;
    }
    // On a task of its own, as a program has it.
    let (following, into) = (client.clone(), copy.clone());
    let mut follower = tokio::spawn(async move { follow(&following, &into).await });
    let becomes_what_is_there = async {
        for number in 20..60 {
            write(number).await;
        }
        let entries = client.scan(Range::prefix("user7/"), ScanOptions::default());
        let entries: BTreeMap<Bytes, Bytes> =
            entries.map_ok(|entry| (entry.key, entry.value)).try_collect().await.unwrap();
        while *copy.lock() != entries {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = &mut follower => panic!("it has ended: {ended:?}"),
        () = becomes_what_is_there => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{:?}", copy.lock()),
    }
    follower.abort();
    database.stop().await;
}
