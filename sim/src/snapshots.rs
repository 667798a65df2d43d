//! Whole partitions on their way from a leader to a replica that lags: read from
//! a checkpoint chunk by chunk, written, and installed in one manifest edit.

use crate::context::{Context, WantedSnapshot};
use crate::events::Event;
use crate::mutants::Mutant;
use crate::node::{Death, Node, Process};
use bytes::{BufMut, Bytes, BytesMut};
use doug_node::apply::{Checkpoint, Partition};
use doug_node::host::{Event as HostEvent, RequestId};
use doug_proto::v1;
use doug_storage::ReplicaKey;
use doug_storage::tree::{ScanRange, SnapshotTables, SnapshotWriter};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries of a chunk.
const CHUNK: usize = 16;

/// All snapshots under way.
#[derive(Default)]
pub struct Snapshots {
    transfers: BTreeMap<u64, Transfer>,
    next: u64,
}

struct Transfer {
    wanted: WantedSnapshot,
    to: usize,
    checkpoint: Checkpoint,
    receiver: Option<Receiver>,
    /// First key of the next chunk.
    next_key: Bytes,
}

struct Receiver {
    life: u64,
    partition: Arc<Partition>,
    /// Until the last entry is written.
    writer: Option<SnapshotWriter>,
    /// The finished tables, and the request to the host to install them.
    complete: Option<(SnapshotTables, RequestId)>,
}

/// What one step led to.
enum Step {
    More,
    /// The replica holds everything up to this index.
    Installed(u64),
    Failed,
}

impl Snapshots {
    /// Begins to send; the checkpoint is taken now.
    pub fn begin(&mut self, wanted: WantedSnapshot, nodes: &[Node], cx: &mut Context) {
        let Some(process) = nodes[wanted.node].process.as_ref() else { return };
        let Some(to) = cx.database.index_of(wanted.snapshot.node) else { return };
        let Some(partition) = process.partition(wanted.snapshot.replica) else { return };
        cx.coverage.hit("snapshot begun");
        self.next += 1;
        let transfer = Transfer {
            wanted,
            to,
            checkpoint: partition.checkpoint(),
            receiver: None,
            next_key: Bytes::new(),
        };
        self.transfers.insert(self.next, transfer);
        cx.after(1_000, Event::Snapshot { transfer: self.next });
    }

    /// Moves one snapshot on. An error is the receiver's.
    ///
    /// # Errors
    /// What ends the receiving process.
    pub fn step(
        &mut self,
        number: u64,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), (usize, Death)> {
        let Some(mut transfer) = self.transfers.remove(&number) else { return Ok(()) };
        let to = transfer.to;
        let outcome = transfer.step(number, nodes, cx).map_err(|death| (to, death));
        let WantedSnapshot { node, life, host, snapshot } = transfer.wanted;
        let index = match outcome {
            Ok(Step::More) => {
                let pause = cx.random.between(200, 3_000);
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
    fn step(&mut self, number: u64, nodes: &mut [Node], cx: &mut Context) -> Result<Step, Death> {
        let (from, to) = (self.wanted.node, self.to);
        let lives = nodes[from].process.as_ref().is_some_and(|p| p.life() == self.wanted.life);
        // Once it is complete, the receiver goes on alone.
        let complete = self.receiver.as_ref().is_some_and(|r| r.complete.is_some());
        if !complete && (!lives || cx.network.is_cut(from, to)) {
            return Ok(Step::Failed);
        }
        let waits = |node: usize| nodes[node].paused_until > cx.now;
        if waits(to) || (!complete && waits(from)) {
            return Ok(Step::More);
        }
        let Some(process) = nodes[to].process.as_mut() else { return Ok(Step::Failed) };
        if self.receiver.is_none() {
            let replica = self.wanted.snapshot.replica;
            let key = ReplicaKey { replica: self.wanted.snapshot.to.0, ..replica };
            let Some(partition) = process.partition(key) else { return Ok(Step::Failed) };
            let writer = partition.snapshot_writer();
            let (life, writer) = (process.life(), Some(writer));
            self.receiver = Some(Receiver { life, partition, writer, complete: None });
        }
        let Some(receiver) = self.receiver.as_mut() else { return Ok(Step::Failed) };
        if receiver.life != process.life() {
            return Ok(Step::Failed);
        }
        let Some(writer) = receiver.writer.as_mut() else {
            return receiver.install(number, &self.checkpoint, process, cx);
        };
        let applied = self.checkpoint.applied;
        let range = ScanRange { start: self.next_key.clone(), ..ScanRange::all() };
        let unreadable = |error: &dyn std::fmt::Display| {
            let what = format!("a snapshot could not be read: {error}");
            Death::from(crate::checks::Violation::new("reads succeed", what))
        };
        let scan = self.checkpoint.view.scan(range, Some(applied.index));
        let mut count = 0;
        for entry in scan.map_err(|error| unreadable(&error))?.take(CHUNK) {
            let entry = entry.map_err(|error| unreadable(&error))?;
            writer.add(&entry.key, entry.revision, &entry.value)?;
            self.next_key = after(&entry.key);
            count += 1;
        }
        if count == CHUNK {
            return Ok(Step::More);
        }
        if let Some(writer) = receiver.writer.take() {
            let tables = writer.finish()?;
            let request = process.ask_to_install(receiver.partition.key(), number, cx);
            receiver.complete = Some((tables, request));
        }
        Ok(Step::More)
    }
}

impl Receiver {
    /// Waits for the host's word, then installs.
    fn install(
        &mut self,
        number: u64,
        checkpoint: &Checkpoint,
        process: &mut Process,
        cx: &mut Context,
    ) -> Result<Step, Death> {
        let word =
            self.complete.as_ref().and_then(|(_, request)| process.word_to_install(*request));
        let (Some(word), Some((tables, _))) = (word, self.complete.take_if(|_| word.is_some()))
        else {
            return Ok(Step::More);
        };
        let (replica, applied) = (self.partition.key(), checkpoint.applied);
        let host = doug_node::host::host_of(replica.partition, cx.plan.hosts);
        if !word {
            tables.discard();
            let event = HostEvent::SnapshotInstalled { replica, id: number, installed: None };
            process.post(host, event, cx);
            return Ok(Step::Failed);
        }
        let mut state = checkpoint.state.clone();
        if cx.plan.mutant == Mutant::SnapshotWithoutSessions {
            state = without_sessions(&state);
        }
        let now = self.partition.install_snapshot(process.store(), tables, applied, state)?;
        let installed = (now == applied).then_some((applied.index, applied.term));
        let event = HostEvent::SnapshotInstalled { replica, id: number, installed };
        process.post(host, event, cx);
        if installed.is_some() {
            cx.coverage.hit("snapshot installed");
            let (name, partition, at) = (process.name(), replica.partition, applied.index);
            let line = format!("{name} installs a snapshot of partition {partition} at {at}");
            cx.trace.tell(cx.now, &line);
        }
        Ok(Step::Installed(now.index))
    }
}

fn without_sessions(state: &[u8]) -> Bytes {
    let mut state = v1::PartitionState::decode(state).expect("a state block of a checkpoint");
    state.sessions.clear();
    state.encode_to_vec().into()
}

/// The least key greater than `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
