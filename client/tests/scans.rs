//! Scans over several partitions against one sorted model.

mod support;

use bytes::Bytes;
use doug_client::{Client, PartitionMap, Range, ScanOptions};
use doug_proto::token::SessionToken;
use std::collections::BTreeMap;
use support::model::{Data, serve};
use support::{Net, hash_map, range_map};

/// 150 keys over all partitions: what the database holds.
fn fill(map: &PartitionMap, data: &BTreeMap<u64, Data>) -> Vec<Bytes> {
    let mut keys: Vec<Bytes> = (0..150).map(|n| format!("{:03}", n * 7 % 1_000).into()).collect();
    for key in &keys {
        data[&map.partition_of(key).id].put(key.clone(), format!("value of {key:?}").into());
    }
    keys.sort();
    keys
}

/// All keys of a scan, page by page, by tokens alone: by two clients in turn.
async fn scan(clients: &[Client; 2], range: Range, options: ScanOptions) -> Vec<Bytes> {
    let mut keys = Vec::new();
    let mut token = Bytes::new();
    for client in clients.iter().cycle() {
        let page = client.scan_page(&range, &options, token).await.unwrap();
        let limit = if options.page_limit == 0 { 1_000 } else { options.page_limit } as usize;
        assert!(page.entries.len() <= limit);
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    keys
}

async fn agrees_with_the_model(map: PartitionMap) {
    let net = Net::default();
    let keys = fill(&map, &serve(&net, &map));
    let clients = [net.direct(&map).await, net.direct(&map).await];
    for page_limit in [2, 7, 100, 0] {
        for reverse in [false, true] {
            for (start, end) in [("", ""), ("2", "7"), ("250", "251"), ("5", "5"), ("", "4")] {
                let options = ScanOptions { reverse, page_limit, ..Default::default() };
                let got = scan(&clients, Range::between(start, end), options).await;
                let inside = |key: &&Bytes| {
                    key[..] >= *start.as_bytes() && (end.is_empty() || key[..] < *end.as_bytes())
                };
                let mut expected: Vec<Bytes> = keys.iter().filter(inside).cloned().collect();
                if reverse {
                    expected.reverse();
                }
                assert_eq!(got, expected, "{start}..{end} reverse={reverse} limit={page_limit}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hash_partitions_are_merged_in_key_order_across_pages() {
    agrees_with_the_model(hash_map(&[&[1], &[2], &[3]])).await;
}

#[tokio::test(start_paused = true)]
async fn range_partitions_follow_each_other_across_pages() {
    agrees_with_the_model(range_map(&["3", "6"], &[&[1], &[2], &[3]])).await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_sees_one_snapshot_of_each_partition_whatever_is_written_meanwhile() {
    let (net, map) = (Net::default(), hash_map(&[&[1], &[2], &[3]]));
    let data = serve(&net, &map);
    let keys = fill(&map, &data);
    let client = net.direct(&map).await;
    let options = ScanOptions { page_limit: 50, ..Default::default() };
    let first = client.scan_page(&Range::all(), &options, Bytes::new()).await.unwrap();
    for number in 0..1_000 {
        let key = Bytes::from(format!("{number:03}"));
        data[&map.partition_of(&key).id].put(key, "written later".into());
    }
    let mut got: Vec<_> = first.entries.into_iter().map(|entry| entry.key).collect();
    let mut token = first.next_page_token;
    while !token.is_empty() {
        let page = client.scan_page(&Range::all(), &options, token).await.unwrap();
        assert!(page.entries.iter().all(|entry| &entry.value[..] != b"written later"));
        got.extend(page.entries.into_iter().map(|entry| entry.key));
        token = page.next_page_token;
    }
    assert_eq!(got, keys);
}

#[tokio::test(start_paused = true)]
async fn a_range_scan_asks_only_the_partitions_it_meets() {
    let (net, map) = (Net::default(), range_map(&["3", "6"], &[&[1], &[2], &[3]]));
    // Only the middle partition has a server: asking another would fail.
    let data = serve(&net, &map);
    net.refuse(&support::address(1));
    net.refuse(&support::address(3));
    data[&2].put("4".into(), "v".into());
    let client = net.direct(&map).await;
    let (range, options) = (Range::between("3", "6"), ScanOptions::default());
    let page = client.scan_page(&range, &options, Bytes::new()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_session_token_of_a_merged_page_covers_every_partition() {
    let (net, map) = (Net::default(), hash_map(&[&[1], &[2], &[3]]));
    fill(&map, &serve(&net, &map));
    let client = net.direct(&map).await;
    let (range, options) = (Range::all(), ScanOptions::default());
    let page = client.scan_page(&range, &options, Bytes::new()).await.unwrap();
    let token = SessionToken::from_bytes(&page.header.unwrap().session_token).unwrap();
    assert!((1..=3).all(|partition| token.revision(partition) > 0), "{token:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_returns_every_entry_once_in_order() {
    let (net, map) = (Net::default(), hash_map(&[&[1], &[2], &[3]]));
    let keys = fill(&map, &serve(&net, &map));
    let client: Client = net.direct(&map).await;
    let options = ScanOptions { page_limit: 40, ..Default::default() };
    let mut stream = client.scan(Range::all(), options);
    let mut got = Vec::new();
    while let Some(entry) = stream.next().await.unwrap() {
        got.push(entry.key);
    }
    assert_eq!(got, keys);
}
