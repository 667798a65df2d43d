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

#[tokio::test]
async fn a_watcher_hears_the_map_once_and_then_only_what_changed_of_what_it_asked_for() {
    let (one, two) = (FakeNode::start(1, "a").await, FakeNode::start(2, "b").await);
    let origin = MapOrigin::Nodes(vec![format!("127.0.0.1:{}", one.node.ports.doug)]);
    let facade = Running::start(origin).await;
    let mut map = map(1, &[&one.node, &two.node]);
    one.map.send_replace(Some(map.clone()));
    facade.until_page("/readyz", "epoch 1").await;

    let mut client = facade.client().await;
    let keyspaces = |names: &[&str]| WatchMapRequest {
        keyspaces: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let mut all = client.watch_map(keyspaces(&[])).await.unwrap().into_inner();
    let mut others = client.watch_map(keyspaces(&["tenant"])).await.unwrap().into_inner();
    let first = all.message().await.unwrap().unwrap();
    assert_eq!((first.changes, first.map.unwrap().partitions.len()), (false, 2));
    let none = others.message().await.unwrap().unwrap().map.unwrap();
    assert_eq!((none.keyspaces.len(), none.partitions.len(), none.nodes.len()), (0, 0, 2));

    map.partitions[1].generation += 1;
    map.epoch += 1;
    one.map.send_replace(Some(map));
    let second = all.message().await.unwrap().unwrap();
    let told = second.map.unwrap();
    assert!(second.changes);
    assert_eq!((told.partitions.len(), told.nodes.len(), told.keyspaces.len()), (1, 0, 0));
    let of_others = others.message().await.unwrap().unwrap().map.unwrap();
    assert!(of_others.partitions.is_empty(), "that partition is of another keyspace");
}
