//! Sending a whole partition to a replica that has fallen behind the log.

use super::MESSAGE_BYTES;
use super::chunk::checksum;
use super::hello::hello;
use super::outgoing::connect;
use crate::apply::Checkpoint;
use crate::engine::shared::Shared;
use crate::host::{Event, SendSnapshot};
use doug_proto::v1::{self, raft_client::RaftClient, snapshot_request::Content};
use doug_storage::tree::ScanRange;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Snapshots sent at once by one node.
const AT_ONCE: usize = 2;
/// A chunk is closed when it holds this many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that wait for the receiver.
const WAITING_CHUNKS: usize = 4;

/// Sends what the hosts ask for, until the node stops.
pub async fn send_snapshots(
    mut wanted: mpsc::UnboundedReceiver<(usize, SendSnapshot)>,
    shared: Arc<Shared>,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some((host, snapshot)) = wanted.recv().await {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let shared = shared.clone();
        tokio::spawn(async move {
            let index = match send(&shared, snapshot).await {
                Ok(index) => Some(index),
                Err(error) => {
                    let SendSnapshot { replica, node, .. } = snapshot;
                    tracing::warn!(%replica, to = %node, error, "a snapshot could not be sent");
                    None
                }
            };
            drop(permit);
            let SendSnapshot { replica, to, .. } = snapshot;
            shared.hosts[host].send(Event::SnapshotSent { replica, to, index });
        });
    }
}

async fn send(shared: &Arc<Shared>, snapshot: SendSnapshot) -> Result<u64, String> {
    let SendSnapshot { replica, to, node, term } = snapshot;
    let partition = shared.partition(replica.partition).ok_or("the replica is gone")?;
    let address = shared.maps.node(node).ok_or("the map does not list the node")?.raft_address();
    let channel = connect(&address).await?;
    let checkpoint = partition.checkpoint();
    let header = v1::SnapshotHeader {
        hello: Some(hello(shared, node)),
        partition: replica.partition,
        from_replica: replica.replica,
        to_replica: to.0,
        term,
        index: checkpoint.applied.index,
        index_term: checkpoint.applied.term,
        state: checkpoint.state.clone(),
        format_version: 1,
    };
    tracing::info!(%replica, to = %node, index = header.index, "sending a snapshot");
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    sender.try_send(request(Content::Header(header))).map_err(|error| error.to_string())?;
    let reading = tokio::task::spawn_blocking(move || read(&checkpoint, &sender));
    let mut client = RaftClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let response = client.snapshot(ReceiverStream::new(receiver)).await;
    let read = reading.await.map_err(|error| error.to_string())?;
    let response = response.map_err(|status| status.message().to_owned())?;
    read?;
    Ok(response.into_inner().index)
}

fn request(content: Content) -> v1::SnapshotRequest {
    v1::SnapshotRequest { content: Some(content) }
}

/// Reads the checkpoint into chunks; waits whenever the receiver is behind, so
/// that memory stays bounded.
fn read(checkpoint: &Checkpoint, sender: &mpsc::Sender<v1::SnapshotRequest>) -> Result<(), String> {
    let mut chunk = v1::SnapshotChunk::default();
    let (mut bytes, mut total) = (0, 0);
    let entries = checkpoint.view.scan(ScanRange::all(), Some(checkpoint.applied.index));
    for entry in entries.map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        bytes += entry.key.len() + entry.value.len();
        total += 1;
        let (key, value, revision) = (entry.key, entry.value, entry.revision);
        chunk.entries.push(v1::ScanEntry { key, value, revision });
        if bytes >= CHUNK_BYTES {
            let number = chunk.number + 1;
            let full = std::mem::take(&mut chunk);
            give(full, sender)?;
            chunk.number = number;
            bytes = 0;
        }
    }
    let chunks = chunk.number + 1;
    give(chunk, sender)?;
    let end = v1::SnapshotEnd { chunks, entries: total };
    sender
        .blocking_send(request(Content::End(end)))
        .map_err(|_| "the receiver went away".to_owned())
}

fn give(
    mut chunk: v1::SnapshotChunk,
    sender: &mpsc::Sender<v1::SnapshotRequest>,
) -> Result<(), String> {
    chunk.checksum = checksum(&chunk.entries);
    let sent = sender.blocking_send(request(Content::Chunk(chunk)));
    sent.map_err(|_| "the receiver went away".to_owned())
}
