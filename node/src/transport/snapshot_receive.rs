//! Receiving a whole partition from its leader.

use super::chunk::checksum;
use super::hello::check_hello;
use crate::apply::Partition;
use crate::engine::shared::Shared;
use crate::host::Event;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::v1::{self, snapshot_request::Content};
use doug_storage::{Applied, StorageError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

/// Chunks that wait for the disk.
const WAITING_CHUNKS: usize = 4;
/// The format of snapshots this program sends and understands.
const FORMAT_VERSION: u32 = 1;

/// Receives one snapshot and installs it; answers with the index the replica
/// has then. Until it is whole, the replica is as it was.
pub async fn receive(
    shared: Arc<Shared>,
    mut requests: Streaming<v1::SnapshotRequest>,
) -> Result<u64, Status> {
    let first = requests.message().await?.and_then(|request| request.content);
    let Some(Content::Header(header)) = first else {
        return Err(Fault::invalid("a snapshot must begin with its header").into());
    };
    let partition = check(&shared, &header)?;
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    let applied = Applied { index: header.index, term: header.index_term };
    let writing = {
        let (shared, partition) = (shared.clone(), partition.clone());
        tokio::task::spawn_blocking(move || {
            write(&shared, &partition, receiver, applied, header.state)
        })
    };
    let relayed = relay(requests, sender).await;
    let installed = writing.await.map_err(|error| Status::internal(error.to_string()))?;
    relayed?;
    let installed = installed.map_err(|error| refuse(&error))?;
    if installed == applied {
        let (replica, Applied { index, term }) = (partition.key(), applied);
        tracing::info!(%replica, index, "installed a snapshot");
        shared.host(replica.partition).send(Event::SnapshotInstalled { replica, index, term });
    }
    Ok(installed.index)
}

fn check(shared: &Shared, header: &v1::SnapshotHeader) -> Result<Arc<Partition>, Status> {
    check_hello(shared, header.hello.as_ref())?;
    if header.format_version != FORMAT_VERSION {
        let version = header.format_version;
        return Err(Fault::invalid(format!(
            "a snapshot of format version {version} is not understood here, only {FORMAT_VERSION}: \
             upgrade this node"
        ))
        .into());
    }
    let partition = shared.partition(header.partition);
    let partition = partition.filter(|p| p.key().replica == header.to_replica);
    partition.ok_or_else(|| {
        Fault::new(
            Code::FailedPrecondition,
            format!(
                "this node holds no replica {} of partition {}",
                header.to_replica, header.partition
            ),
        )
        .into()
    })
}

/// Passes chunks on to the writer; dropping the sender before the end tells it
/// that the snapshot was cut short.
async fn relay(
    mut requests: Streaming<v1::SnapshotRequest>,
    sender: mpsc::Sender<Content>,
) -> Result<(), Status> {
    while let Some(request) = requests.message().await? {
        let Some(content) = request.content else {
            return Err(Fault::invalid("an empty message inside a snapshot").into());
        };
        if sender.send(content).await.is_err() {
            // The writer has failed; it says why.
            return Ok(());
        }
    }
    Ok(())
}

fn write(
    shared: &Shared,
    partition: &Partition,
    mut contents: mpsc::Receiver<Content>,
    applied: Applied,
    state: Bytes,
) -> Result<Applied, StorageError> {
    let mut writer = partition.snapshot_writer();
    let (mut chunks, mut entries) = (0, 0);
    while let Some(content) = contents.blocking_recv() {
        match content {
            Content::Chunk(chunk) => {
                if chunk.number != chunks || chunk.checksum != checksum(&chunk.entries) {
                    return refused(format!(
                        "chunk {chunks} of the snapshot is missing or damaged"
                    ));
                }
                chunks += 1;
                for entry in &chunk.entries {
                    writer.add(&entry.key, entry.revision, &entry.value)?;
                    entries += 1;
                }
            }
            Content::End(end) if (end.chunks, end.entries) == (chunks, entries) => {
                let tables = writer.finish()?;
                return partition.install_snapshot(&shared.store, tables, applied, state);
            }
            Content::End(_) => return refused("the snapshot lacks chunks or entries".to_owned()),
            Content::Header(_) => return refused("a second header inside a snapshot".to_owned()),
        }
    }
    refused("the snapshot was cut short".to_owned())
}

fn refused(what: String) -> Result<Applied, StorageError> {
    Err(StorageError::Refused(format!("{what}: send it again")))
}

fn refuse(error: &StorageError) -> Status {
    if error.is_fatal() {
        tracing::error!(%error, "a snapshot could not be made durable: this process ends");
        std::process::exit(1);
    }
    Status::aborted(error.to_string())
}
