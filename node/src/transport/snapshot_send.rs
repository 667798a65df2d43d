//! Sending a whole partition to a replica that has fallen behind the log.

use super::chunk::{FORMAT_VERSION, tables_of, to_wire};
use super::hello::hello;
use super::outgoing::connect;
use super::raft_client;
use crate::engine::Engine;
use crate::engine::removal::leave_if_damaged;
use crate::host::{Event, SendSnapshot};
use doug_proto::v1::{self};
use doug_proto::v1::{snapshot_request, snapshot_response};
use doug_storage::StorageError;
use doug_storage::snapshot::{CHUNK_BYTES, Sending, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Snapshots sent at once by one node.
const AT_ONCE: usize = 2;
/// Chunks that wait for the connection.
const WAITING_CHUNKS: usize = 2;
/// A receiver that takes or says nothing for so long has given up; installing takes a while.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause before the host hears of a failure, for it asks again at once.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends what the hosts ask for, until the node stops.
pub async fn send_snapshots(
    mut wanted: mpsc::UnboundedReceiver<(usize, SendSnapshot)>,
    engine: Arc<Engine>,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some((host, snapshot)) = wanted.recv().await {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let engine = engine.clone();
        tokio::spawn(async move {
            let index = match send(&engine, snapshot).await {
                Ok(index) => Some(index),
                Err(error) => {
                    let SendSnapshot { replica, node, .. } = snapshot;
                    tracing::warn!(
                        %replica, to = %node, error,
                        "a snapshot was not sent to its end; what arrived of it will not be sent \
                         again"
                    );
                    tokio::time::sleep(PAUSE).await;
                    None
                }
            };
            drop(permit);
            let SendSnapshot { replica, to, .. } = snapshot;
            engine.hosts[host].send(Event::SnapshotSent { replica, to, index });
        });
    }
}

async fn send(engine: &Arc<Engine>, wanted: SendSnapshot) -> Result<u64, String> {
    let SendSnapshot { replica, node, .. } = wanted;
    let address = engine.maps.node(node).ok_or("the map does not list the node")?.raft_address();
    let channel = connect(&address).await?;
    let node_of = engine.clone();
    let snapshot = blocking(move || prepare(&node_of, wanted)).await?;
    let mut client = raft_client(engine, channel);
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    let header = snapshot_request::Content::Header(header(engine, wanted, &snapshot));
    sender.try_send(request(header)).map_err(|error| error.to_string())?;
    let response = client.snapshot(ReceiverStream::new(receiver)).await;
    let answers = response.map_err(|status| status.message().to_owned())?.into_inner();
    match stream(answers, sender, snapshot.clone()).await {
        Ok(index) => {
            tracing::info!(%replica, to = %node, index, "sent a snapshot");
            engine.store.snapshot_sent(replica);
            Ok(index)
        }
        Err(status) if status.code() == Code::DataLoss => {
            // Damaged on the way, or here: then this replica must be replaced too.
            let node = engine.clone();
            blocking(move || match node.store.look_for_damage(&snapshot) {
                Err(error) => leave_if_damaged(&node, replica, error),
                Ok(()) => Ok(()),
            })
            .await?;
            Err(status.message().to_owned())
        }
        Err(status) => Err(status.message().to_owned()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, String> {
    let result = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    result.map_err(|error| {
        if error.is_fatal() {
            tracing::error!(%error, "a snapshot could not be made durable: this process ends");
            doug_streams::exit(1);
        }
        error.to_string()
    })
}

/// The snapshot that is kept already, if the log goes on from it; or a new one.
fn prepare(engine: &Engine, wanted: SendSnapshot) -> Result<Arc<Snapshot>, StorageError> {
    let SendSnapshot { replica, at_least, .. } = wanted;
    if let Some(kept) = engine.store.find_snapshot(replica, at_least) {
        return Ok(kept);
    }
    let partition = engine.partition(replica.partition).filter(|found| found.key() == replica);
    let partition = partition.ok_or(StorageError::Removed { replica })?;
    let checkpoint = partition.published(&engine.store)?;
    engine.store.keep_snapshot(replica, &checkpoint)
}

fn header(engine: &Engine, wanted: SendSnapshot, snapshot: &Snapshot) -> v1::SnapshotHeader {
    let SendSnapshot { replica, to, node, term, .. } = wanted;
    let info = snapshot.info();
    v1::SnapshotHeader {
        hello: Some(hello(engine, node)),
        partition: replica.partition,
        from_replica: replica.replica,
        to_replica: to.0,
        term,
        index: info.applied.index,
        index_term: info.applied.term,
        state: info.state.clone(),
        format_version: FORMAT_VERSION,
        gc_floor: info.gc_floor,
        tables: tables_of(info),
    }
}

fn request(content: snapshot_request::Content) -> v1::SnapshotRequest {
    v1::SnapshotRequest { content: Some(content) }
}

/// Hears what the receiver lacks, sends it, and waits for the word that it is installed.
async fn stream(
    mut answers: Streaming<v1::SnapshotResponse>,
    sender: mpsc::Sender<v1::SnapshotRequest>,
    snapshot: Arc<Snapshot>,
) -> Result<u64, Status> {
    let Some(snapshot_response::Content::Lacking(lacking)) = answer(&mut answers).await? else {
        return Err(Status::internal("the receiver did not say what it lacks"));
    };
    let lacking: Vec<_> = lacking.tables.iter().map(|lack| (lack.table, lack.offset)).collect();
    let (replica, index) = (snapshot.replica(), snapshot.info().applied.index);
    let sending = Sending::new(snapshot, lacking, CHUNK_BYTES)
        .map_err(|error| Status::internal(error.to_string()))?;
    tracing::info!(%replica, index, bytes = sending.remaining(), "sending a snapshot");
    let mut reading = tokio::task::spawn_blocking(move || read(sending, &sender));
    // The receiver speaks again when it has installed the snapshot, or has a complaint.
    let answered = tokio::select! {
        answered = answers.message() => answered?.and_then(|response| response.content),
        read = &mut reading => {
            let read = read.map_err(|error| Status::internal(error.to_string()))?;
            match read {
                // It went away, and perhaps says why.
                Err(status) if status.code() != Code::Unavailable => return Err(status),
                Ok(()) | Err(_) => answer(&mut answers).await?,
            }
        }
    };
    match answered {
        Some(snapshot_response::Content::Installed(installed)) => Ok(installed.index),
        Some(snapshot_response::Content::Lacking(_)) => {
            Err(Status::internal("the receiver asked for more while it was sent"))
        }
        None => Err(Status::unavailable("the receiver ended the stream")),
    }
}

async fn answer(
    answers: &mut Streaming<v1::SnapshotResponse>,
) -> Result<Option<snapshot_response::Content>, Status> {
    match tokio::time::timeout(SILENCE, answers.message()).await {
        Ok(answer) => Ok(answer?.and_then(|response| response.content)),
        Err(_) => Err(Status::deadline_exceeded("the receiver does not answer")),
    }
}

/// Reads chunks and waits whenever the receiver is behind, so that memory stays bounded; but
/// not for ever, since others wait for their turn.
fn read(mut sending: Sending, sender: &mpsc::Sender<v1::SnapshotRequest>) -> Result<(), Status> {
    let runtime = tokio::runtime::Handle::current();
    let unread = |error: StorageError| match error {
        StorageError::Corruption(damage) => Status::data_loss(damage.to_string()),
        error => Status::internal(error.to_string()),
    };
    while let Some(chunk) = sending.next_chunk().map_err(unread)? {
        let chunk = request(snapshot_request::Content::Chunk(to_wire(chunk)));
        match runtime.block_on(sender.send_timeout(chunk, SILENCE)) {
            Ok(()) => {}
            Err(SendTimeoutError::Closed(_)) => {
                return Err(Status::unavailable("the receiver went away"));
            }
            Err(SendTimeoutError::Timeout(_)) => {
                return Err(Status::deadline_exceeded("the receiver takes nothing any more"));
            }
        }
    }
    Ok(())
}
