//! Where the facade's map comes from, and that it outlives its source.

mod support;

use doug_facade::MapOrigin;
use doug_proto::map::PartitionMap;
use doug_proto::v1::{GetRequest, PutRequest, WatchMapRequest};
use support::{FakeNode, Running, map};

#[tokio::test]
async fn without_a_map_it_lives_but_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let facade = Running::start(MapOrigin::File(folder.path().join("map.json"))).await;
    assert!(facade.page("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(facade.page("/readyz").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_map_file_is_read_again_when_it_changes_and_not_needed_once_read() {
    let node = FakeNode::start(1, "a").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("map.json");
    let facade = Running::start(MapOrigin::File(file.clone())).await;
    for epoch in [3, 4] {
        std::fs::write(&file, map(epoch, &[&node.node]).to_json()).unwrap();
        facade.until_page("/readyz", &format!("epoch {epoch}")).await;
    }
    std::fs::remove_file(&file).unwrap();
    let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    facade.client().await.put(put).await.unwrap();
    facade.until_page("/metrics", "dougdb_facade_map_epoch 4").await;
}

#[tokio::test]
async fn maps_of_nodes_are_merged_and_other_nodes_are_learnt_from_them() {
    let (one, two) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let seed = format!("127.0.0.1:{}", one.node.ports.doug);
    let facade = Running::start(MapOrigin::Nodes(vec![seed])).await;

    let old = map(5, &[&one.node, &two.node]);
    one.map.send_replace(Some(old.clone()));
    facade.until_page("/readyz", "epoch 5").await;

    // Node two is right about its partition, though its epoch is lower.
    let mut newer = old.clone();
    newer.epoch = 4;
    newer.partitions[1].generation = 8;
    two.map.send_replace(Some(newer));
    facade.until_page("/readyz", "epoch 6").await;

    let mut maps = facade
        .client()
        .await
        .watch_map(WatchMapRequest { after_epoch: 5, keyspaces: Vec::new() })
        .await
        .unwrap();
    let merged = maps.get_mut().message().await.unwrap().unwrap().map.unwrap();
    let merged = PartitionMap::from_wire(&merged).unwrap();
    let generations: Vec<u64> = merged.partitions.iter().map(|p| p.generation).collect();
    assert_eq!(generations, [1, 8]);
}

#[tokio::test]
async fn without_the_nodes_that_gave_it_the_last_map_goes_on() {
    let (seed, other) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let origin = MapOrigin::Nodes(vec![format!("127.0.0.1:{}", seed.node.ports.doug)]);
    let facade = Running::start(origin).await;
    seed.map.send_replace(Some(map(1, &[&seed.node, &other.node])));
    facade.until_page("/readyz", "epoch 1").await;

    seed.kill();
    let get = GetRequest { key: "healthy".into(), ..Default::default() };
    let answer = facade.client().await.get(get).await.unwrap().into_inner();
    assert_eq!(answer.header.unwrap().served_by, other.node.id.to_string());
}
