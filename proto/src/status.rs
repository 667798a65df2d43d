//! The status of a database with thousands of partitions comes in pages: an
//! answer lists replicas of so many partitions, and says where to go on.

use crate::v1::{NodeStatus, StatusRequest, StatusResponse};
use std::collections::BTreeSet;

/// Partitions in one page. With seven replicas each, and what their leaders say of
/// the others, that is about half a mebibyte.
pub const PAGE_PARTITIONS: usize = 256;

/// Makes a page of what is known: lists no replicas of partitions up to
/// `request.after_partition`, and those of at most [`PAGE_PARTITIONS`] others. Where
/// an answer was itself a page that ends at one of `ends`, the least of them counts.
/// Returns where the page ends; 0 if nothing is left out.
pub fn cut(
    nodes: &mut [NodeStatus],
    request: &StatusRequest,
    ends: impl IntoIterator<Item = u64>,
) -> u64 {
    let after = request.after_partition;
    let ids: BTreeSet<u64> = nodes
        .iter()
        .flat_map(|node| &node.replicas)
        .map(|replica| replica.partition)
        .filter(|id| *id > after)
        .collect();
    let full = (ids.len() > PAGE_PARTITIONS)
        .then(|| ids.iter().nth(PAGE_PARTITIONS - 1).copied())
        .flatten();
    let end = ends.into_iter().filter(|end| *end > after).chain(full).min();
    for node in nodes {
        let within = |id: u64| id > after && end.is_none_or(|end| id <= end);
        node.replicas.retain(|replica| within(replica.partition));
    }
    end.unwrap_or(0)
}

/// The whole status, by as many requests as it takes. What a node says of itself is
/// as of the last page.
///
/// # Errors
/// The first that `ask` gives.
pub async fn whole<E, F>(
    local_only: bool,
    mut ask: impl FnMut(StatusRequest) -> F,
) -> Result<StatusResponse, E>
where
    F: Future<Output = Result<StatusResponse, E>>,
{
    let mut whole = ask(StatusRequest { local_only, after_partition: 0 }).await?;
    loop {
        let after_partition = std::mem::take(&mut whole.next_after_partition);
        if after_partition == 0 {
            return Ok(whole);
        }
        let mut page = ask(StatusRequest { local_only, after_partition }).await?;
        // A server that does not get on would be asked for ever.
        page.next_after_partition *= u64::from(page.next_after_partition > after_partition);
        join(&mut whole, page);
    }
}

fn join(whole: &mut StatusResponse, page: StatusResponse) {
    let mut earlier = std::mem::take(&mut whole.nodes);
    *whole = page;
    for node in &mut whole.nodes {
        let Some(place) = earlier.iter().position(|known| known.id == node.id) else { continue };
        let mut replicas = earlier.remove(place).replicas;
        replicas.append(&mut node.replicas);
        node.replicas = replicas;
    }
    whole.nodes.append(&mut earlier);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{PeerProgress, ReplicaStatus};
    use prost::Message;

    const PARTITIONS: u64 = 4_096;

    /// What a node says that holds a replica of every partition.
    fn node(number: u64) -> NodeStatus {
        let peer = |number: u64| PeerProgress {
            node: format!("{number:012x}"),
            match_index: u64::MAX / 2,
            active: true,
        };
        let replica = |partition| ReplicaStatus {
            partition,
            replica: number,
            term: 1_000,
            leader: "000000000001".into(),
            last_index: u64::MAX / 2,
            commit: u64::MAX / 2,
            applied: u64::MAX / 2,
            peers: if number == 1 { (2..=7).map(peer).collect() } else { Vec::new() },
            ..Default::default()
        };
        NodeStatus {
            id: format!("{number:012x}"),
            replicas: (1..=PARTITIONS).map(replica).collect(),
            ..Default::default()
        }
    }

    fn page(nodes: &[NodeStatus], request: &StatusRequest) -> StatusResponse {
        let mut nodes = nodes.to_vec();
        let next_after_partition = cut(&mut nodes, request, []);
        StatusResponse { nodes, next_after_partition, ..Default::default() }
    }

    #[test]
    fn the_status_of_seven_nodes_and_4096_partitions_comes_whole_in_small_pages() {
        let nodes: Vec<_> = (1..=7).map(node).collect();
        let mut pages = 0;
        let asking = whole(false, |request| {
            let page = page(&nodes, &request);
            assert!(page.encoded_len() < 1 << 20, "a page of {} bytes", page.encoded_len());
            pages += 1;
            std::future::ready(Ok::<_, ()>(page))
        });
        let whole = poll(asking).unwrap();
        assert_eq!(whole.nodes, nodes);
        assert!(whole.encoded_len() > 2 << 20, "which would not go in one piece");
        assert_eq!(pages, PARTITIONS as usize / PAGE_PARTITIONS);
    }

    #[test]
    fn a_page_made_of_pages_ends_with_the_first_of_them() {
        let replica = |partition| ReplicaStatus { partition, ..Default::default() };
        let of = |ids: &[u64]| NodeStatus {
            replicas: ids.iter().map(|id| replica(*id)).collect(),
            ..Default::default()
        };
        let mut nodes = [of(&[3, 5, 9]), of(&[4, 7])];
        let request = StatusRequest { after_partition: 3, ..Default::default() };
        assert_eq!(cut(&mut nodes, &request, [0, 7]), 7);
        let ids = |node: &NodeStatus| node.replicas.iter().map(|r| r.partition).collect::<Vec<_>>();
        assert_eq!(nodes.each_ref().map(ids), [vec![5], vec![4, 7]]);
    }

    #[test]
    fn a_server_that_does_not_get_on_is_not_asked_for_ever() {
        let mut asked = 0;
        let asking = whole(true, |_| {
            asked += 1;
            let stuck = StatusResponse { next_after_partition: 5, ..Default::default() };
            std::future::ready(Ok::<_, ()>(stuck))
        });
        poll(asking).unwrap();
        assert_eq!(asked, 2);
    }

    fn poll<T>(future: impl Future<Output = T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("every answer is there at once"),
        }
    }
}
