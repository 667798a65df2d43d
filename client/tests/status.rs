//! The status of a database, however many partitions it has.

mod support;

use doug_client::v1::{self, stream_answer::Answer, stream_operation::Operation};
use doug_proto::status;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Net, Reply, address, hash_map, node, willing};

const PARTITIONS: u64 = 1_000;

/// A node that holds a replica of every partition, and tells a page at a time.
fn told(number: u64, asked: Arc<AtomicUsize>) -> impl FnMut(&v1::StreamOperation) -> Reply + Send {
    move |operation| {
        let Some(Operation::Status(request)) = &operation.operation else {
            return willing(operation);
        };
        asked.fetch_add(1, Ordering::Relaxed);
        let replica = |partition| v1::ReplicaStatus { partition, ..Default::default() };
        let replicas = (1..=PARTITIONS).map(replica).collect();
        let mut nodes =
            vec![v1::NodeStatus { id: node(number).to_string(), replicas, ..Default::default() }];
        let next_after_partition = status::cut(&mut nodes, request, []);
        let page = v1::StatusResponse { nodes, next_after_partition, ..Default::default() };
        Reply::Answer(Answer::Status(page))
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_of_many_partitions_comes_in_pages_and_is_told_whole() {
    let net = Net::default();
    let asked = Arc::<AtomicUsize>::default();
    for number in [1, 2] {
        net.serve(&address(number), told(number, asked.clone()));
    }
    let client = net.direct(&hash_map(&[&[1, 2]])).await;

    let request = Operation::Status(v1::StatusRequest::default());
    let Answer::Status(first) = client.execute(request, client.deadline()).await.unwrap() else {
        panic!("a status was asked for");
    };
    assert_eq!(first.next_after_partition, status::PAGE_PARTITIONS as u64);
    assert!(first.nodes.iter().all(|node| node.replicas.len() == status::PAGE_PARTITIONS));

    asked.store(0, Ordering::Relaxed);
    let whole = client.status().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2 * 4, "four pages of each of two nodes");
    for node in &whole.nodes {
        let ids: Vec<u64> = node.replicas.iter().map(|replica| replica.partition).collect();
        assert_eq!(ids, (1..=PARTITIONS).collect::<Vec<_>>(), "{}", node.id);
    }
}
