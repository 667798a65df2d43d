//! Receiving a whole partition from its leader.

use super::chunk::checksum;
use super::hello::check_hello;
use crate::apply::Partition;
use crate::engine::identity::random_bits;
use crate::engine::shared::Shared;
use crate::host::{Event, host_of};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::v1::{self, snapshot_request::Content};
use doug_storage::tree::SnapshotTables;
use doug_storage::{Applied, StorageError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

/// Chunks that wait for the disk.
const WAITING_CHUNKS: usize = 4;
/// How long a replica may take to stand still: its records must become durable.
const STAND_STILL: Duration = Duration::from_secs(10);
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
        let partition = partition.clone();
        tokio::task::spawn_blocking(move || write(&partition, receiver))
    };
    let relayed = relay(requests, sender).await;
    let tables = writing.await.map_err(|error| Status::internal(error.to_string()))?;
    let tables = tables.map_err(|error| refuse(&error))?;
    relayed?;
    // A task of its own: the sender may go away and end this call, but a replica
    // that was stopped for the snapshot must be set going again.
    let installing = tokio::spawn(install(shared, partition, tables, applied, header.state));
    let installed = installing.await.map_err(|error| Status::internal(error.to_string()))??;
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

async fn install(
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    tables: SnapshotTables,
    applied: Applied,
    state: Bytes,
) -> Result<Applied, Status> {
    let (replica, id) = (partition.key(), random_bits());
    let host = host_of(replica.partition, shared.hosts.len());
    let word = shared
        .ask(host, STAND_STILL, |request| Event::SnapshotReceived { request, replica, id })
        .await;
    let result = match word {
        Err(fault) => {
            tables.discard();
            Err(fault.into())
        }
        Ok(_) => {
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || {
                partition.install_snapshot(&shared.store, tables, applied, state)
            })
            .await
            .map_err(|error| Status::internal(error.to_string()))
            .and_then(|installed| installed.map_err(|error| refuse(&error)))
        }
    };
    let installed = result.as_ref().is_ok_and(|installed| *installed == applied);
    if installed {
        tracing::info!(%replica, index = applied.index, "installed a snapshot");
    }
    let installed = installed.then_some((applied.index, applied.term));
    shared.hosts[host].send(Event::SnapshotInstalled { replica, id, installed });
    result
}

fn write(
    partition: &Partition,
    mut contents: mpsc::Receiver<Content>,
) -> Result<SnapshotTables, StorageError> {
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
                return writer.finish();
            }
            Content::End(_) => return refused("the snapshot lacks chunks or entries".to_owned()),
            Content::Header(_) => return refused("a second header inside a snapshot".to_owned()),
        }
    }
    refused("the snapshot was cut short".to_owned())
}

fn refused(what: String) -> Result<SnapshotTables, StorageError> {
    Err(StorageError::Refused(format!("{what}: send it again")))
}

fn refuse(error: &StorageError) -> Status {
    if error.is_fatal() {
        tracing::error!(%error, "a snapshot could not be made durable: this process ends");
        std::process::exit(1);
    }
    Status::aborted(error.to_string())
}
