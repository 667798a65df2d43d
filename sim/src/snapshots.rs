//! Whole partitions on their way from a leader to a replica that lags: read from
//! a checkpoint chunk by chunk, written, and installed in one manifest edit.

use crate::context::{Context, WantedSnapshot};
use crate::events::Event;
use crate::node::{Death, Node};
use bytes::{BufMut, Bytes, BytesMut};
use doug_node::apply::{Checkpoint, Partition};
use doug_node::host::Event as HostEvent;
use doug_storage::ReplicaKey;
use doug_storage::tree::{ScanRange, SnapshotWriter};
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
    writer: SnapshotWriter,
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
        let outcome = transfer.step(nodes, cx).map_err(|death| (to, death));
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
    fn step(&mut self, nodes: &mut [Node], cx: &mut Context) -> Result<Step, Death> {
        let (from, to) = (self.wanted.node, self.to);
        let lives = nodes[from].process.as_ref().is_some_and(|p| p.life() == self.wanted.life);
        if !lives || cx.network.is_cut(from, to) {
            return Ok(Step::Failed);
        }
        if nodes[from].paused_until > cx.now || nodes[to].paused_until > cx.now {
            return Ok(Step::More);
        }
        let Some(process) = nodes[to].process.as_mut() else { return Ok(Step::Failed) };
        if self.receiver.is_none() {
            let replica = self.wanted.snapshot.replica;
            let key = ReplicaKey { replica: self.wanted.snapshot.to.0, ..replica };
            let Some(partition) = process.partition(key) else { return Ok(Step::Failed) };
            let writer = partition.snapshot_writer();
            self.receiver = Some(Receiver { life: process.life(), partition, writer });
        }
        let Some(receiver) = self.receiver.as_mut() else { return Ok(Step::Failed) };
        if receiver.life != process.life() {
            return Ok(Step::Failed);
        }
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
            receiver.writer.add(&entry.key, entry.revision, &entry.value)?;
            self.next_key = after(&entry.key);
            count += 1;
        }
        if count == CHUNK {
            return Ok(Step::More);
        }
        let Some(Receiver { partition, writer, .. }) = self.receiver.take() else {
            return Ok(Step::Failed);
        };
        let state = self.checkpoint.state.clone();
        let tables = writer.finish()?;
        let installed = partition.install_snapshot(process.store(), tables, applied, state)?;
        if installed == applied {
            cx.coverage.hit("snapshot installed");
            let replica = partition.key();
            let name = &nodes[to].name;
            cx.trace.tell(
                cx.now,
                &format!(
                    "{name} installs a snapshot of partition {} at {}",
                    replica.partition, applied.index
                ),
            );
            let (index, term) = (applied.index, applied.term);
            let event = HostEvent::SnapshotInstalled { replica, index, term };
            if let Some(process) = nodes[to].process.as_mut() {
                let host = doug_node::host::host_of(replica.partition, cx.plan.hosts);
                process.post(host, event, cx);
            }
        }
        Ok(Step::Installed(installed.index))
    }
}

/// The least key greater than `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
