//! Telling other nodes the map: to all of them what has changed when this node has
//! news, and asking one of them in turn, so that whatever was lost on the way arrives.
//! Only entries travel that the other side may lack.

use super::hello::{check_hello, hello};
use super::outgoing::endpoint;
use super::raft_client;
use crate::engine::Engine;
use crate::engine::fatal::storage_fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, PartitionMap, Summary};
use doug_proto::v1;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// Pause between two questions.
const QUESTION: Duration = Duration::from_secs(1);
/// A node that does not answer within this time is asked again another time.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nodes told at once.
const AT_ONCE: usize = 16;

/// Shares the map until the node stops. What changes while it is being told is
/// told with the next round, in one piece.
pub async fn share(engine: Arc<Engine>) {
    let mut news = engine.maps.news();
    let mut channels = Channels::default();
    let mut turn = engine.config.incarnation as usize;
    // What all others were told last, or will ask for.
    let mut told_last: Option<Arc<PartitionMap>> = None;
    while !engine.is_stopping() {
        let told = tokio::time::timeout(QUESTION, news.changed()).await;
        let Some(map) = engine.maps.get() else { continue };
        let own = engine.config.node;
        let mut others: Vec<&Node> = map.present().filter(|node| node.id != own).collect();
        if others.is_empty() {
            continue;
        }
        let tell = matches!(told, Ok(Ok(())));
        let changes = tell.then(|| match &told_last {
            Some(last) => map.changed_since(last),
            None => map.to_wire(),
        });
        if tell {
            told_last = Some(map.clone());
        } else {
            turn = turn.wrapping_add(1);
            others = vec![others[turn % others.len()]];
        }
        channels.keep(&map);
        let calls: Vec<_> = others
            .into_iter()
            .filter_map(|node| Some((node.id, channels.to(node)?)))
            .map(|(node, channel)| exchange(&engine, node, channel, changes.clone()))
            .collect();
        futures::stream::iter(calls).for_each_concurrent(AT_ONCE, |call| call).await;
    }
}

/// Tells a node what has changed, or asks whether it has another map; and if it knows less
/// than this node, tells it that: nobody else may ever ask a node that only its own map
/// lists. A node that is down is told when it asks.
async fn exchange(
    engine: &Arc<Engine>,
    node: NodeId,
    channel: Channel,
    changes: Option<v1::PartitionMap>,
) {
    let exchanged = async {
        let answered = call(engine, node, channel.clone(), changes).await?;
        let (map, own) = engine.maps.with_digests()?;
        if let Some(theirs) = answered.filter(|theirs| *theirs != own.summary) {
            call(engine, node, channel, Some(map.differing_from(&theirs))).await?;
        }
        Ok::<_, Status>(())
    };
    if let Err(status) = exchanged.await {
        tracing::debug!(%node, why = status.message(), "the map could not be engine");
    }
}

/// One call, with changes or a question for them. Takes in the entries that are answered,
/// and returns the summary of the other's map; `None` if it is the same here.
async fn call(
    engine: &Arc<Engine>,
    node: NodeId,
    channel: Channel,
    changes: Option<v1::PartitionMap>,
) -> Result<Option<Summary>, Status> {
    let (_, own) = engine.maps.with_digests()?;
    let request = v1::ShareMapRequest {
        hello: Some(hello(engine, node)),
        digest: own.whole,
        summary: own.summary.to_wire(),
        changes,
    };
    let mut client = raft_client(engine, channel);
    let answer = tokio::time::timeout(PATIENCE, client.share_map(request)).await;
    let response = answer.map_err(|_| Status::deadline_exceeded("no answer"))??;
    let v1::ShareMapResponse { summary, changes } = response.into_inner();
    let Some(changes) = changes else { return Ok(None) };
    let theirs = Summary::from_wire(summary);
    take_in(engine, changes, theirs.clone()).await?;
    Ok(Some(theirs))
}

/// Answers another node: with the entries that its map lacks, if it knows another one.
///
/// # Errors
/// A hello that is not for this node, or entries that are none.
pub async fn answer(
    engine: &Arc<Engine>,
    request: v1::ShareMapRequest,
) -> Result<v1::ShareMapResponse, Status> {
    check_hello(engine, request.hello.as_ref())?;
    let theirs = Summary::from_wire(request.summary);
    if let Some(changes) = request.changes {
        take_in(engine, changes, theirs.clone()).await?;
    }
    let (map, own) = engine.maps.with_digests()?;
    if own.whole == request.digest {
        return Ok(v1::ShareMapResponse::default());
    }
    Ok(v1::ShareMapResponse {
        summary: own.summary.to_wire(),
        changes: Some(map.differing_from(&theirs)),
    })
}

async fn take_in(
    engine: &Arc<Engine>,
    changes: v1::PartitionMap,
    theirs: Summary,
) -> Result<(), Status> {
    let engine = engine.clone();
    let merged =
        tokio::task::spawn_blocking(move || engine.maps.merge_changes(&changes, &theirs)).await;
    merged
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::from(storage_fault(error)))
}

/// A connection to each node, kept from round to round.
#[derive(Default)]
struct Channels(BTreeMap<NodeId, (String, Channel)>);

impl Channels {
    fn keep(&mut self, map: &PartitionMap) {
        self.0.retain(|id, (address, _)| {
            map.node(*id).is_some_and(|node| node.raft_address() == *address)
        });
    }

    fn to(&mut self, node: &Node) -> Option<Channel> {
        let address = node.raft_address();
        if let Some((_, channel)) = self.0.get(&node.id) {
            return Some(channel.clone());
        }
        let channel = endpoint(&address).ok()?.connect_lazy();
        self.0.insert(node.id, (address, channel.clone()));
        Some(channel)
    }
}
