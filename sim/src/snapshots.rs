//! Whole partitions on their way from a leader to a replica that lags: linked, cut into
//! chunks, collected, and installed in one manifest edit. What arrived before a stream broke
//! or a process died is not sent again.

use crate::context::{Context, WantedSnapshot};
use crate::events::Event;
use crate::node::{Death, Node, Process};
use crate::time::{SimTime, micros, millis};
use bytes::Bytes;
use doug_node::apply::ReplicaData;
use doug_node::host::Event as HostEvent;
use doug_node::volume::Reservation;
use doug_node::work::RequestId;
use doug_proto::map::Member;
use doug_storage::snapshot::{Chunk, Incoming, Sending, Snapshot, SnapshotInfo};
use doug_storage::tree::SnapshotTables;
use doug_storage::{ReplicaKey, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a chunk.
const CHUNK: usize = 700;
/// One chunk of so many is damaged on its way.
const DAMAGED: u64 = 500;

/// All snapshots under way.
#[derive(Default)]
pub struct Snapshots {
    transfers: BTreeMap<u64, Transfer>,
    next: u64,
}

struct Transfer {
    wanted: WantedSnapshot,
    to: usize,
    /// What is sent, once the sender has it.
    source: Option<Arc<Snapshot>>,
    receiver: Option<Receiver>,
    /// When it last moved.
    moved: SimTime,
}

struct Receiver {
    life: u64,
    partition: Arc<ReplicaData>,
    state: Receives,
    room: Reservation,
    /// Bytes that were to come when it began.
    lacked: u64,
}

enum Receives {
    Chunks(Box<Incoming>, Sending),
    /// All is here: the tables, and the request to the host to install them.
    Complete(Box<Incoming>, SnapshotTables, RequestId),
    /// In the middle of a step.
    Nothing,
}

/// What one step led to.
enum Step {
    More,
    /// The replica holds everything up to this index.
    Installed(u64),
    Failed,
}

/// What ends a process, and which.
type Ended = (usize, Death);

impl Snapshots {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.transfers.is_empty()
    }

    /// Begins to send.
    pub fn begin(&mut self, wanted: WantedSnapshot, cx: &mut Context) {
        let Some(to) = cx.database.index_of(wanted.snapshot.node) else { return };
        cx.coverage.hit("snapshot begun");
        self.next += 1;
        self.transfers.insert(
            self.next,
            Transfer { wanted, to, source: None, receiver: None, moved: cx.now },
        );
        cx.after(millis(1), Event::Snapshot { transfer: self.next });
    }

    /// Moves one snapshot on.
    ///
    /// # Errors
    /// What ends the sending or the receiving process.
    pub fn step(
        &mut self,
        number: u64,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), (usize, Death)> {
        let Some(mut transfer) = self.transfers.remove(&number) else { return Ok(()) };
        let to = transfer.to;
        let outcome = transfer.step(number, nodes, cx);
        let WantedSnapshot { node, life, host, snapshot } = transfer.wanted;
        let index = match outcome {
            Ok(Step::More) => {
                let pause = cx.random.duration_between(micros(200), millis(3));
                cx.after(pause, Event::Snapshot { transfer: number });
                self.transfers.insert(number, transfer);
                return Ok(());
            }
            Ok(Step::Installed(index)) => Some(index),
            Ok(Step::Failed) | Err(_) => {
                cx.coverage.hit("snapshot failed");
                None
            }
        };
        let sender = nodes[node].process.as_mut().filter(|process| process.life() == life);
        // The answer may be lost too: the sender then takes it for failed.
        let heard = index.filter(|_| !cx.network.is_cut(to, node));
        if let Some(sender) = sender {
            if heard.is_some() {
                sender.store().snapshot_sent(snapshot.replica);
            }
            let event = HostEvent::SnapshotSent {
                replica: snapshot.replica,
                to: snapshot.to,
                index: heard,
            };
            sender.post(host, event, cx);
        }
        outcome.map(drop)
    }
}

impl Transfer {
    fn step(&mut self, number: u64, nodes: &mut [Node], cx: &mut Context) -> Result<Step, Ended> {
        let (from, to) = (self.wanted.node, self.to);
        let sender = nodes[from].process.as_ref().filter(|p| p.life() == self.wanted.life);
        let waits = |node: usize| nodes[node].paused_until > cx.now;
        // Once it is complete, the receiver goes on alone.
        let complete = self.receiver.as_ref().is_some_and(Receiver::is_complete);
        let broken = cx.network.is_cut(from, to) || cx.network.was_reset(from, to, self.moved);
        if !complete && (sender.is_none() || broken) {
            return Ok(Step::Failed);
        }
        self.moved = cx.now;
        if waits(to) || (!complete && waits(from)) {
            return Ok(Step::More);
        }
        let source = match (&self.source, sender) {
            (Some(source), _) => source.clone(),
            (None, Some(sender)) => match self.prepare(sender, from, cx) {
                Ok(source) => self.source.insert(source).clone(),
                Err(error) => return give_up(error, from),
            },
            (None, None) => return Ok(Step::Failed),
        };
        cx.crash_points.enter(to);
        let Some(process) = nodes[to].process.as_mut() else { return Ok(Step::Failed) };
        let Some(receiver) = &mut self.receiver else {
            let replica = self.wanted.snapshot.replica;
            let key = ReplicaKey { replica: self.wanted.snapshot.to.0, ..replica };
            return match Receiver::begin(process, key, source.clone(), cx) {
                Ok(Some(receiver)) => {
                    self.receiver = Some(receiver);
                    Ok(Step::More)
                }
                Ok(None) => Ok(Step::Failed),
                Err(error) => give_up(error, to),
            };
        };
        if receiver.life != process.life() {
            return Ok(Step::Failed);
        }
        match receiver.step(number, process, cx) {
            Ok(step) => Ok(step),
            Err(Death::Storage(StorageError::ArrivedDamaged { .. })) => {
                self.look_for_damage(&source, nodes, cx)?;
                Ok(Step::Failed)
            }
            Err(Death::Storage(error)) => give_up(error, to),
            Err(death) => Err((to, death)),
        }
    }

    /// What arrived damaged may have been damaged before it left.
    fn look_for_damage(
        &self,
        source: &Snapshot,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), Ended> {
        let from = self.wanted.node;
        let sender = nodes[from].process.as_mut().filter(|p| p.life() == self.wanted.life);
        let Some(sender) = sender else { return Ok(()) };
        cx.crash_points.enter(from);
        let found = sender.store().look_for_damage(source);
        let left = found.or_else(|error| {
            cx.coverage.hit("snapshot damaged at its source");
            sender.leave_if_damaged(self.wanted.snapshot.replica, error, cx)
        });
        left.map_err(|death: Death| (from, death))
    }

    /// The snapshot that the sender keeps already, or a new one.
    fn prepare(
        &self,
        sender: &Process,
        from: usize,
        cx: &mut Context,
    ) -> Result<Arc<Snapshot>, StorageError> {
        cx.crash_points.enter(from);
        let snapshot = self.wanted.snapshot;
        let replica = snapshot.replica;
        if let Some(kept) = sender.store().find_snapshot(replica, snapshot.at_least) {
            cx.coverage.hit("snapshot sent again");
            return Ok(kept);
        }
        let partition = sender.partition(replica).ok_or(StorageError::Removed { replica })?;
        let checkpoint = partition.published(sender.store())?;
        sender.store().keep_snapshot(replica, &checkpoint)
    }
}

/// A refusal ends the transfer, a failing disk the process.
fn give_up(error: StorageError, node: usize) -> Result<Step, Ended> {
    match error {
        StorageError::Refused(_)
        | StorageError::ArrivedDamaged { .. }
        | StorageError::Removed { .. }
        | StorageError::Fenced { .. } => Ok(Step::Failed),
        error if error.is_out_of_descriptors() => Ok(Step::Failed),
        error => Err((node, error.into())),
    }
}

impl Receiver {
    fn begin(
        process: &Process,
        key: ReplicaKey,
        source: Arc<Snapshot>,
        cx: &mut Context,
    ) -> Result<Option<Self>, StorageError> {
        let Some(partition) = process.partition(key) else { return Ok(None) };
        let incoming = process.store().receive_snapshot(key, source.info().clone())?;
        if incoming.remaining() < source.info().bytes() {
            cx.coverage.hit("snapshot resumed");
        }
        let lacked = incoming.remaining();
        let Some(room) = process.reserve_for_snapshot(lacked) else {
            cx.coverage.hit("snapshot without room");
            return Ok(None);
        };
        let sending = Sending::new(source, incoming.lacking(), CHUNK)?;
        let state = Receives::Chunks(Box::new(incoming), sending);
        Ok(Some(Self { life: process.life(), partition, state, room, lacked }))
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, Receives::Complete(..))
    }

    fn step(
        &mut self,
        number: u64,
        process: &mut Process,
        cx: &mut Context,
    ) -> Result<Step, Death> {
        match std::mem::replace(&mut self.state, Receives::Nothing) {
            Receives::Nothing => Ok(Step::Failed),
            Receives::Chunks(mut incoming, mut sending) => {
                if let Some(chunk) = sending.next_chunk().map_err(damaged_at_its_source)? {
                    incoming.accept(&damaged_or_not(chunk, cx))?;
                    self.room.wrote(self.lacked - incoming.remaining());
                    self.state = Receives::Chunks(incoming, sending);
                    return Ok(Step::More);
                }
                let tables = process.store().adopt_snapshot(&incoming)?;
                let request = process.ask_to_install(self.partition.key(), number, cx);
                self.state = Receives::Complete(incoming, tables, request);
                Ok(Step::More)
            }
            Receives::Complete(incoming, tables, request) => {
                match process.word_to_install(request) {
                    None => {
                        self.state = Receives::Complete(incoming, tables, request);
                        Ok(Step::More)
                    }
                    Some(word) => self.install(*incoming, tables, word, (number, process), cx),
                }
            }
        }
    }

    /// The host has given its word to install, or refused.
    fn install(
        &self,
        incoming: Incoming,
        tables: SnapshotTables,
        word: bool,
        (number, process): (u64, &mut Process),
        cx: &mut Context,
    ) -> Result<Step, Death> {
        let SnapshotInfo { applied, state, .. } = incoming.info().clone();
        let replica = self.partition.key();
        let host = doug_node::host::host_of(replica.partition, cx.plan.hosts);
        let not_installed = |process: &mut Process, cx: &mut Context| {
            let event = HostEvent::SnapshotInstalled { replica, id: number, installed: None };
            process.post(host, event, cx);
            Step::Failed
        };
        if !word {
            tables.discard();
            return Ok(not_installed(process, cx));
        }
        let now = match self.partition.install_snapshot(process.store(), tables, applied, state) {
            Ok(now) => now,
            // As in transport/snapshot_receive.rs: all of it is received again.
            Err(StorageError::Corruption(_)) => {
                cx.coverage.hit("snapshot damaged before it was installed");
                incoming.delete()?;
                return Ok(not_installed(process, cx));
            }
            // Its sessions could not be read for want of a descriptor: it is sent again.
            Err(error) if error.is_out_of_descriptors() => {
                cx.coverage.hit("snapshot not installed: no descriptor");
                return Ok(not_installed(process, cx));
            }
            Err(error) => return Err(error.into()),
        };
        let installed = (now == applied).then(|| Box::new(self.partition.installed(applied)));
        let arrived = installed.is_some();
        if arrived {
            process.wake_all(replica.partition, cx);
            process.publish_soon(self.partition.descriptor(), cx);
        }
        let event = HostEvent::SnapshotInstalled { replica, id: number, installed };
        process.post(host, event, cx);
        incoming.delete()?;
        if arrived {
            cx.coverage.hit("snapshot installed");
            let learns = |member: &Member| member.replica == replica.replica;
            let now = cx.checks.descriptor(replica.partition);
            if now.is_some_and(|now| now.learners.iter().any(learns)) {
                cx.coverage.hit("snapshot installed by a learner");
            }
            let (name, partition, at) = (process.name(), replica.partition, applied.index);
            let line = format!("{name} installs a snapshot of partition {partition} at {at}");
            cx.trace.tell(cx.now, &line);
        }
        Ok(Step::Installed(now.index))
    }
}

/// What a sender cannot read any more is looked into as what arrives damaged.
fn damaged_at_its_source(error: StorageError) -> StorageError {
    match error {
        StorageError::Corruption(damage) => {
            StorageError::ArrivedDamaged { table: 0, what: damage.to_string() }
        }
        error => error,
    }
}

/// A bit of a chunk may flip on its way; the receiver must refuse it.
fn damaged_or_not(chunk: Chunk, cx: &mut Context) -> Chunk {
    if cx.random.below(DAMAGED) > 0 {
        return chunk;
    }
    cx.coverage.hit("snapshot chunk damaged");
    let mut data = chunk.data.to_vec();
    let at = cx.random.below(data.len() as u64) as usize;
    data[at] ^= 1 << cx.random.below(8);
    Chunk { data: Bytes::from(data), ..chunk }
}
