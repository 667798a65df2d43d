//! What a demo asks of its nodes and facade.

use super::state::State;
use doug_proto::error::Fault;
use doug_proto::map::{KeyspaceId, PartitionMap};
use doug_proto::v1::doug_client::DougClient;
use doug_proto::v1::{self, ReplicaRole};
use futures::future::join_all;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

/// How long one question may take; whoever is slower is asked again.
const ASK: Duration = Duration::from_secs(2);
/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(25);

/// A client of a node's or facade's `Doug` service, connected at its first call.
pub fn doug(address: &str) -> Result<DougClient<Channel>, Fault> {
    let most = doug_proto::limits::MESSAGE_BYTES;
    Ok(DougClient::new(channel(address)?).max_decoding_message_size(most))
}

fn channel(address: &str) -> Result<Channel, Fault> {
    let url = if address.contains("://") { address.into() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| Fault::invalid(format!("{address} is not an address: {error}")))?;
    Ok(endpoint.connect_timeout(ASK).timeout(ASK).tcp_nodelay(true).connect_lazy())
}

/// Tries until it succeeds or `deadline` has passed; then its last error.
pub async fn until<T, F>(deadline: Instant, mut attempt: impl FnMut() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// The map as a node or facade knows it.
pub async fn map(address: &str) -> Result<PartitionMap, Fault> {
    let watch = async {
        let request = v1::WatchMapRequest::default();
        let mut maps = doug(address)?.watch_map(request).await.map_err(fault)?.into_inner();
        let first = maps.message().await.map_err(fault)?.and_then(|answer| answer.map);
        let none = || Fault::unavailable(format!("{address} knows no partition map yet"));
        PartitionMap::from_wire(&first.ok_or_else(none)?)
    };
    let late = |_| Fault::unavailable(format!("{address} sent no partition map within {ASK:?}"));
    tokio::time::timeout(ASK, watch).await.map_err(late)?
}

/// The state of every node, or with `local_only` of the one asked.
pub async fn status(address: &str, local_only: bool) -> Result<v1::StatusResponse, Fault> {
    let client = doug(address)?;
    let page = |request| {
        let mut client = client.clone();
        async move { Ok(client.status(request).await.map_err(fault)?.into_inner()) }
    };
    doug_proto::status::whole(local_only, page).await
}

/// What every node that answers says of itself. Without the facade: whoever asks may want
/// to know why that does not answer.
pub async fn status_of_nodes(state: &State) -> v1::StatusResponse {
    let asked = state.nodes.iter().map(|node| {
        let address = node.doug_address();
        async move { status(&address, true).await }
    });
    let answers = join_all(asked).await.into_iter().flatten();
    v1::StatusResponse {
        nodes: answers.flat_map(|answer| answer.nodes).collect(),
        ..Default::default()
    }
}

/// The node that leads a partition: of those that believe they do, the one of
/// the greatest term.
pub fn leader(status: &v1::StatusResponse, partition: u64) -> Option<&v1::NodeStatus> {
    let led = |node: &v1::NodeStatus| {
        let leads = |replica: &&v1::ReplicaStatus| {
            replica.partition == partition && replica.role() == ReplicaRole::Leader
        };
        node.replicas.iter().find(leads).map(|replica| replica.term)
    };
    let leaders = status.nodes.iter().filter_map(|node| Some((led(node)?, node)));
    leaders.max_by_key(|(term, _)| *term).map(|(_, node)| node)
}

/// For each partition that clients write to a key in it that no user has: it begins
/// with a zero byte.
pub fn a_key_of_each(map: &PartitionMap) -> Vec<Vec<u8>> {
    let written = map.partitions_in(KeyspaceId::DEFAULT);
    let mut missing: std::collections::BTreeSet<u64> =
        written.iter().map(|partition| partition.id).collect();
    let keys = (0_u32..).map(|number| format!("\0doug-demo-ready-{number}").into_bytes());
    keys.filter(|key| missing.remove(&map.partition_of(key).id)).take(written.len()).collect()
}

fn fault(status: tonic::Status) -> Fault {
    Fault::from_status(&status)
}
