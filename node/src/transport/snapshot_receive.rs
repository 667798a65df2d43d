//! Receiving a whole partition from its leader.

use super::chunk::{from_wire, info_of};
use super::hello::check_hello;
use crate::apply::ReplicaData;
use crate::engine::Engine;
use crate::engine::random::random_bits;
use crate::host::{Event, host_of};
use crate::volume::{Purpose, Reservation};
use doug_proto::error::Fault;
use doug_proto::v1::{self, snapshot_request, snapshot_response};
use doug_storage::snapshot::{Chunk, Incoming, SnapshotInfo};
use doug_storage::{Applied, ReplicaKey, StorageError};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

/// Chunks that wait for the disk.
const WAITING_CHUNKS: usize = 2;
/// How long a replica may take to stand still: its records must become durable.
const STAND_STILL: Duration = Duration::from_secs(10);

/// Answers to the sender.
pub type Answers = mpsc::Sender<Result<v1::SnapshotResponse, Status>>;

/// Which replicas receive a snapshot now: one at a time each, and the newest stream wins,
/// since an older one may hang until its connection times out.
#[derive(Debug, Default)]
pub struct Receiving {
    slots: Mutex<BTreeMap<ReplicaKey, Slot>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Ends the stream that has it.
    superseded: CancellationToken,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Receiving {
    fn supersede(&self, replica: ReplicaKey) -> Slot {
        let mut slots = self.slots.lock();
        let slot = slots.entry(replica).or_default();
        slot.superseded.cancel();
        slot.superseded = CancellationToken::new();
        slot.clone()
    }
}

/// Receives one snapshot and installs it; answers with what is lacking, then with the index
/// the replica has. Until it is whole, the replica is as it was; what arrived is kept.
///
/// # Errors
/// What the sender is told.
pub async fn receive(
    engine: &Arc<Engine>,
    receiving: &Receiving,
    mut requests: Streaming<v1::SnapshotRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let first = requests.message().await?.and_then(|request| request.content);
    let Some(snapshot_request::Content::Header(header)) = first else {
        return Err(Fault::invalid("a snapshot must begin with its header").into());
    };
    let partition = check(engine, &header)?;
    let info = info_of(&header)?;
    let slot = receiving.supersede(partition.key());
    let _turn = slot.turn.lock_owned().await;
    let incoming = begin(engine, partition.key(), info).await?;
    let Some(mut room) = engine.volume.reserve(Purpose::Snapshot, incoming.remaining()) else {
        return Err(Fault::exhausted(format!(
            "the volume has no room for {} bytes of a snapshot, beside what is promised to others",
            incoming.remaining()
        ))
        .into());
    };
    tracing::info!(
        replica = %partition.key(), index = header.index, bytes = incoming.info().bytes(),
        lacking = incoming.remaining(), "receiving a snapshot"
    );
    say(answers, snapshot_response::Content::Lacking(lacking(&incoming))).await?;
    let incoming = collect(incoming, requests, &slot.superseded, &mut room).await?;
    drop(room);
    // A task of its own: the sender may go away and end this call, but a replica
    // that was stopped for the snapshot must be set going again.
    let installing = tokio::spawn(install(engine.clone(), partition, incoming));
    let installed = installing.await.map_err(|error| Status::internal(error.to_string()))??;
    let installed = v1::SnapshotInstalled { index: installed.index };
    say(answers, snapshot_response::Content::Installed(installed)).await
}

fn check(engine: &Engine, header: &v1::SnapshotHeader) -> Result<Arc<ReplicaData>, Status> {
    check_hello(engine, header.hello.as_ref())?;
    let partition = engine.partition(header.partition);
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

async fn begin(
    engine: &Arc<Engine>,
    replica: ReplicaKey,
    info: SnapshotInfo,
) -> Result<Incoming, Status> {
    let store = engine.store.clone();
    blocking(move || store.receive_snapshot(replica, info)).await
}

fn lacking(incoming: &Incoming) -> v1::SnapshotLacking {
    let lacking = incoming.lacking().into_iter();
    let tables = lacking.map(|(table, offset)| v1::SnapshotLack { table, offset }).collect();
    v1::SnapshotLacking { tables }
}

async fn say(answers: &Answers, content: snapshot_response::Content) -> Result<(), Status> {
    let answer = v1::SnapshotResponse { content: Some(content) };
    answers.send(Ok(answer)).await.map_err(|_| Status::cancelled("the sender went away"))
}

/// Takes chunks until nothing is lacking, the stream ends or another one takes its place.
async fn collect(
    incoming: Incoming,
    mut requests: Streaming<v1::SnapshotRequest>,
    superseded: &CancellationToken,
    room: &mut Reservation,
) -> Result<Incoming, Status> {
    let lacked = incoming.remaining();
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    let writing = tokio::task::spawn_blocking(move || write(incoming, receiver));
    let relayed = tokio::select! {
        relayed = relay(&mut requests, sender, room) => relayed,
        () = superseded.cancelled() => {
            Err(Status::aborted("another stream brings this replica a snapshot"))
        }
    };
    let written = writing.await.map_err(|error| Status::internal(error.to_string()))?;
    let incoming = written.map_err(|error| refuse(&error))?;
    room.wrote(lacked - incoming.remaining());
    relayed?;
    match incoming.remaining() {
        0 => Ok(incoming),
        lacking => Err(Status::aborted(format!("the stream ended with {lacking} bytes lacking"))),
    }
}

/// Passes chunks on to the writer.
async fn relay(
    requests: &mut Streaming<v1::SnapshotRequest>,
    sender: mpsc::Sender<Chunk>,
    room: &mut Reservation,
) -> Result<(), Status> {
    let (mut given, mut waiting) = (0, VecDeque::new());
    while let Some(request) = requests.message().await? {
        let Some(snapshot_request::Content::Chunk(chunk)) = request.content else {
            return Err(Fault::invalid("after the header, a snapshot is only chunks").into());
        };
        let bytes = chunk.data.len() as u64;
        if sender.send(from_wire(chunk)).await.is_err() {
            // The writer has failed; it says why.
            return Ok(());
        }
        // The channel holds so many, and the writer one more: what was given before is written.
        waiting.push_back(bytes);
        if waiting.len() > WAITING_CHUNKS + 1 {
            given += waiting.pop_front().unwrap_or(0);
            room.wrote(given);
        }
    }
    Ok(())
}

fn write(
    mut incoming: Incoming,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<Incoming, StorageError> {
    while let Some(chunk) = chunks.blocking_recv() {
        incoming.accept(&chunk)?;
    }
    Ok(incoming)
}

async fn install(
    engine: Arc<Engine>,
    partition: Arc<ReplicaData>,
    incoming: Incoming,
) -> Result<Applied, Status> {
    let (replica, id) = (partition.key(), random_bits());
    let SnapshotInfo { applied, state, .. } = incoming.info().clone();
    let store = engine.store.clone();
    let (tables, incoming) =
        blocking(move || Ok((store.adopt_snapshot(&incoming)?, incoming))).await?;
    let host = host_of(replica.partition, engine.hosts.len());
    let word = engine
        .ask(host, STAND_STILL, |request| Event::SnapshotReceived { request, replica, id })
        .await;
    let result = match word {
        Err(fault) => {
            tables.discard();
            Err(fault.into())
        }
        Ok(_) => {
            let store = engine.store.clone();
            let receiver = partition.clone();
            let install = move || {
                let result = receiver.install_snapshot(&store, tables, applied, state);
                // What was whole when it arrived may not read any more. It must go, or every
                // later snapshot would find it here and fail on it again.
                if let Err(StorageError::Corruption(_)) = &result {
                    incoming.delete()?;
                    return result.map(|applied| (applied, None));
                }
                result.map(|applied| (applied, Some(incoming)))
            };
            blocking(install).await
        }
    };
    let (result, incoming) = match result {
        Ok((applied, incoming)) => (Ok(applied), incoming),
        Err(status) => (Err(status), None),
    };
    let installed = result.as_ref().is_ok_and(|installed| *installed == applied);
    let said = installed.then(|| Box::new(partition.installed(applied)));
    if installed {
        let watches = engine.watches.lock().skipped(replica.partition);
        engine.wake(watches);
        engine.publish(partition.descriptor());
    }
    engine.hosts[host].send(Event::SnapshotInstalled { replica, id, installed: said });
    if let Some(incoming) = incoming {
        tracing::info!(%replica, index = applied.index, installed, "a snapshot has arrived");
        blocking(move || incoming.delete()).await?;
    }
    result
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Status> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| refuse(&error))
}

fn refuse(error: &StorageError) -> Status {
    match error {
        error if error.is_fatal() => {
            tracing::error!(%error, "a snapshot could not be made durable: this process ends");
            doug_streams::exit(1);
        }
        // The sender looks whether it was damaged before it left.
        StorageError::ArrivedDamaged { .. } => Status::data_loss(error.to_string()),
        error => Status::aborted(error.to_string()),
    }
}
