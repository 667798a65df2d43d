//! Where operations go, and where they go next.

mod support;

use doug_client::{Fault, If, Range, Read, Step, Transaction};
use doug_proto::map::{Keyspace, KeyspaceId};
use doug_proto::v1::stream_operation::Operation;
use std::sync::{Arc, Mutex};
use support::{Net, Reply, address, follower, hash_map, puts, willing};

#[tokio::test(start_paused = true)]
async fn an_operation_goes_to_the_first_voter_of_its_partition() {
    let net = Net::default();
    let leader = net.serve(&address(1), willing);
    let other = net.serve(&address(2), willing);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    let answer = client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!(&answer.value[..], b"k");
    assert_eq!((leader.count(), other.count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_and_the_leader_remembered() {
    let net = Net::default();
    let former = net.serve(&address(1), follower(Some(3)));
    let bystander = net.serve(&address(2), follower(Some(3)));
    let leader = net.serve(&address(3), willing);
    let client = net.direct(&hash_map(&[&[1, 2, 3]])).await;
    for _ in 0..10 {
        client.get("k", Read::Linearizable).await.unwrap();
    }
    assert_eq!((former.count(), bystander.count(), leader.count()), (1, 0, 10));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_an_address_the_map_does_not_list_is_followed() {
    let net = Net::default();
    net.serve(&address(1), follower(Some(9)));
    let leader = net.serve(&address(9), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!(leader.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_followers_that_name_each_other_are_not_asked_without_pause() {
    let net = Net::default();
    let first = net.serve(&address(1), follower(Some(2)));
    let second = net.serve(&address(2), follower(Some(1)));
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    let fault = client.get("k", Read::Linearizable).await.unwrap_err();
    assert!(fault.is_not_executed() && fault.leader_hint().is_none(), "{fault:?}");
    // In 5 s of pauses that grow to 100 ms there is room for about 60 rounds.
    let asked = first.count() + second.count();
    assert!((50..200).contains(&asked), "{asked} requests");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_connections_is_passed_over() {
    let net = Net::default();
    let leader = net.serve(&address(2), willing);
    let client = net.direct(&hash_map(&[&[1, 2]])).await;
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!(leader.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_retried_after_not_executed_even_without_a_session() {
    let net = Net::default();
    let node = net.serve(
        &address(1),
        puts(|number, operation| match number {
            1..=3 => Reply::Fault(Fault::unavailable("an election is under way")),
            _ => willing(operation),
        }),
    );
    let map = support::fixed(&hash_map(&[&[1]]));
    let client = net.builder().direct(map).sessions(false).connect().await.unwrap();
    client.put("k", "v", If::Always).await.unwrap();
    assert_eq!(node.writes().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn eventual_reads_are_spread_over_followers() {
    let net = Net::default();
    let nodes: Vec<_> = (1..=3).map(|n| net.serve(&address(n), willing)).collect();
    let client = net.direct(&hash_map(&[&[1, 2, 3]])).await;
    client.put("k", "v", If::Always).await.unwrap();
    let before = nodes[0].count();
    for _ in 0..10 {
        client.get("k", Read::Eventual).await.unwrap();
    }
    assert_eq!(nodes[0].count(), before, "the leader has enough to do");
    assert!(nodes[1].count() >= 3 && nodes[2].count() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_read_falls_over_to_another_replica_when_one_cannot_answer() {
    let net = Net::default();
    let broken = |_: &_| Reply::Fault(Fault::new(tonic::Code::DataLoss, "damaged table"));
    net.serve(&address(1), broken);
    net.serve(&address(2), broken);
    net.serve(&address(3), willing);
    let client = net.direct(&hash_map(&[&[1, 2, 3]])).await;
    client.get("k", Read::Eventual).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn operations_submitted_together_share_messages() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    let gets = (0..500).map(|_| client.get("k", Read::Linearizable));
    futures::future::try_join_all(gets).await.unwrap();
    let messages = node.messages.lock().unwrap().len();
    assert!(messages <= 5, "{messages} messages for 500 operations");
}

#[tokio::test(start_paused = true)]
async fn a_batch_over_two_partitions_is_refused_with_both_keys_named() {
    let net = Net::default();
    let client = net.direct(&hash_map(&[&[1], &[2], &[3], &[4]])).await;
    let writes: Vec<_> =
        (0..20).map(|n| doug_client::Write::Put(format!("key{n}").into(), "v".into())).collect();
    let fault = client.batch(Vec::new(), &writes).await.unwrap_err();
    assert_eq!(fault.code, tonic::Code::InvalidArgument);
    assert!(fault.message.contains("\"key0\" lies in partition"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_over_two_partitions_is_refused_with_what_would_bring_them_together() {
    let net = Net::default();
    let client = net.direct(&hash_map(&[&[1], &[2], &[3], &[4]])).await;
    let puts = (0..20).map(|number| Step::put(format!("user7/{number}"), "v"));
    let fault =
        client.transact(puts.fold(Transaction::new(), Transaction::then)).await.unwrap_err();
    assert!(fault.code == tonic::Code::InvalidArgument && fault.is_not_executed(), "{fault:?}");
    for part in ["\"user7/0\" lies in partition", "the prefix delimiter \"/\"", "\"user7/\""] {
        assert!(fault.message.contains(part), "{fault}");
    }
    let count = Transaction::new().then(Step::Count(Range::prefix("user7/")));
    let fault = client.transact(count).await.unwrap_err();
    assert!(fault.message.contains("lie in several partitions"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_only_reads_needs_no_session_and_any_other_gets_one() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    client.transact(Transaction::new().then(Step::get("k"))).await.unwrap();
    assert_eq!(node.count(), 1, "no session was registered");
    client.transact(Transaction::new().then(Step::increment("k", 1))).await.unwrap();
    assert_eq!(node.count(), 3, "a session was registered");
}

#[tokio::test(start_paused = true)]
async fn a_key_beyond_its_limit_is_refused_before_anything_is_sent() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    let fault = client.get(vec![0; 4_097], Read::Linearizable).await.unwrap_err();
    assert!(fault.message.contains("4096"), "{fault}");
    assert_eq!(node.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_condition_without_a_key_is_about_the_key_written() {
    let net = Net::default();
    let node = net.serve(&address(1), willing);
    let client = net.direct(&hash_map(&[&[1]])).await;
    client.put("k", "v", If::Absent).await.unwrap();
    let condition = node.writes()[0].condition.clone().unwrap();
    assert_eq!(&condition.key[..], b"k");
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_knows_no_leader_does_not_keep_the_others_from_being_asked() {
    let net = Net::default();
    let cut_off = net.serve(&address(1), follower(None));
    net.serve(&address(2), follower(None));
    let leader = net.serve(&address(3), willing);
    let client = net.direct(&hash_map(&[&[1, 2, 3]])).await;
    client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!((cut_off.count(), leader.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_of_the_descriptor_is_learnt_from_a_refusal() {
    use doug_client::v1::{WrongPartition, error_detail::Detail};
    let net = Net::default();
    let map = hash_map(&[&[1, 2]]);
    let mut moved = map.partitions[0].clone();
    moved.generation = 2;
    moved.voters.remove(0);
    net.serve(&address(1), move |_| {
        let wrong = WrongPartition { descriptor: Some(moved.to_wire()), epoch: 2 };
        let fault = Fault::unavailable("not here").with(Detail::WrongPartition(wrong));
        Reply::Fault(fault)
    });
    net.serve(&address(2), willing);
    let client = net.direct(&map).await;
    client.get("k", Read::Linearizable).await.unwrap();
    assert_eq!(client.map().await.unwrap().partitions[0].voters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_finds_its_partition_nowhere_until_its_deadline_says_that_it_may_pass() {
    use doug_client::v1::{WrongPartition, error_detail::Detail};
    let net = Net::default();
    let map = hash_map(&[&[1]]);
    let descriptor = Some(map.partitions[0].to_wire());
    net.serve(&address(1), move |_| {
        let wrong = WrongPartition { descriptor: descriptor.clone(), epoch: 1 };
        let fault = Fault::new(tonic::Code::FailedPrecondition, "not here").not_executed();
        Reply::Fault(fault.with(Detail::WrongPartition(wrong)))
    });
    let client = net.direct(&map).await;
    let fault = client.get("k", Read::Linearizable).await.unwrap_err();
    assert_eq!(fault.code, tonic::Code::Unavailable, "{fault:?}");
    assert!(fault.wrong_partition().is_none() && fault.is_not_executed(), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_keyspace_asks_for_it_by_name_and_unknown_ones_are_not_found() {
    let net = Net::default();
    let mut map = hash_map(&[&[1]]);
    let catalog = doug_proto::map::Partition {
        id: 9,
        keyspace: KeyspaceId::SYSTEM,
        ..map.partitions[0].clone()
    };
    map.partitions.insert(0, catalog);
    map.keyspaces.insert(0, Keyspace::system());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    net.serve(&address(1), move |operation| {
        if let Some(Operation::Get(get)) = &operation.operation {
            let partition = get.target.as_ref().map_or(0, |target| target.partition);
            seen.lock().unwrap().push((get.keyspace.clone(), partition));
        }
        willing(operation)
    });
    let client = net.direct(&map).await;
    client.get("k", Read::Linearizable).await.unwrap();
    client.in_keyspace("system").get("k", Read::Linearizable).await.unwrap();
    let fault = client.in_keyspace("orders").get("k", Read::Linearizable).await.unwrap_err();
    assert!(fault.code == tonic::Code::NotFound && fault.is_not_executed(), "{fault}");
    assert_eq!(*asked.lock().unwrap(), [(String::new(), 1), ("system".to_owned(), 9)]);
}
