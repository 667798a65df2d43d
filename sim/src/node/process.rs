//! A running process: its parts, what they are asked, and where events go.

use super::Clock;
use super::admin::Control;
use super::death::Death;
use super::maintenance::{Task, Work};
use super::threads::Threads;
use crate::checks::Violation;
use crate::context::Context;
use crate::events::{Event, Hello, InFlight, NodeEvent};
use crate::time::{SimTime, millis, seconds};
use doug_node::apply::ReplicaData;
use doug_node::flow::{Appended, ApplyQueue, Inbox, LogQueue, MemtableMemory, OperationAdmission};
use doug_node::host::Host;
use doug_node::membership::HeldDescriptors;
use doug_node::serving::{ScanPins, WatchRoom, Watches};
use doug_node::volume::Volume;
use doug_node::work::{ApplyWork, RequestId};
use doug_proto::ids::NodeId;
use doug_proto::map::PartitionMap;
use doug_storage::ReplicaKey;
use doug_storage::log::{LogReader, LogWriter};
use doug_storage::store::Store;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A host, and the events that wait for its next turn.
pub(super) struct HostSlot {
    pub host: Host,
    pub mail: Inbox<doug_node::host::Event>,
    /// The memory of the mail taken last.
    pub spare: Vec<doug_node::host::Event>,
    pub turn_due: bool,
    /// When the log last told it of pressure.
    pub log_pressure_at: Option<SimTime>,
}

/// The parts of a running node.
pub struct Process {
    pub(super) index: usize,
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) life: u64,
    pub clock: Clock,
    pub(super) store: Arc<Store>,
    pub(super) log: LogWriter,
    pub(super) reader: LogReader,
    pub(super) hosts: Vec<HostSlot>,
    pub(super) partitions: BTreeMap<u64, Arc<ReplicaData>>,
    /// Records that wait for the log.
    pub(super) records: LogQueue,
    /// A sync is under way: what of each host is durable once it ends.
    pub(super) syncing: Option<BTreeMap<usize, Appended>>,
    pub(super) to_apply: ApplyQueue<ApplyWork>,
    pub(super) applying: bool,
    pub(super) memtables: MemtableMemory,
    pub(super) tasks: VecDeque<Task>,
    pub(super) workers: [Option<Work>; WORKERS],
    pub(super) requests: BTreeMap<RequestId, (InFlight, super::reads::Asked)>,
    /// What the library asked.
    pub(super) operations: BTreeMap<RequestId, super::front::Operation>,
    pub(super) admission: OperationAdmission,
    pub(super) scan_pins: ScanPins,
    /// Watches that wait, and what they share.
    pub(super) watches: Watches,
    pub(super) watch_room: WatchRoom,
    pub(super) volume: Arc<Volume>,
    pub(super) next_request: u64,
    /// Snapshots received that wait for the word to install them, and that word.
    pub(super) snapshots: BTreeMap<RequestId, Option<bool>>,
    /// What else hosts were asked, and for whom.
    pub(super) controls: BTreeMap<RequestId, Control>,
    /// The map, once the node belongs to the database.
    pub(super) map: Option<Arc<PartitionMap>>,
    /// Its digest, once it was asked for.
    pub(super) digest: Option<u64>,
    /// Whoever watches the map is to be told of it.
    pub(super) map_is_new: bool,
    pub(super) held: HeldDescriptors,
    /// Whether the others are about to be told the map.
    pub(super) tells_map: bool,
    /// What all others were told last, or will ask for.
    pub(super) told_last: Option<Arc<PartitionMap>>,
    /// Who is asked for its map next.
    pub(super) map_turn: usize,
    /// What this process says of itself, and what its peers have said.
    pub(super) hello: Hello,
    pub(super) hellos: FxHashMap<NodeId, Hello>,
    /// Damaged replicas whose groups must replace them, and who is asked next.
    pub(super) fenced: BTreeSet<ReplicaKey>,
    pub(super) replacing_turn: usize,
    /// Replicas that the hosts are letting go of, or that are being removed.
    pub(super) leaving: BTreeSet<ReplicaKey>,
    pub(super) threads: Threads,
    /// The log has no room for batches until its host answers its pressure, then or later.
    pub full_log: Option<SimTime>,
    /// Its syncs take so much longer.
    pub slow_disk: Duration,
    /// How often hosts are told the time.
    pub(super) tick: Duration,
}

/// Pause before a host that waits for the log, by a bug put in, looks again.
const WAITS: Duration = millis(1);

/// Threads that flush, compact and read the log back.
pub(super) const WORKERS: usize = 2;

/// Pause before an idle log looks whether there is anything to do.
pub(super) const IDLE: Duration = millis(100);

/// How long the log is idle before it marks how far it is durable and what is committed.
pub(super) const MARK: Duration = millis(1);

/// Pause between two rounds of tidying.
pub(super) const TIDY: Duration = seconds(1);

impl Process {
    /// Something happens inside.
    ///
    /// # Errors
    /// What ends the process.
    pub fn handle(&mut self, event: NodeEvent, cx: &mut Context) -> Result<(), Death> {
        if self.threads.is_stuck(&event) {
            return Ok(());
        }
        if let NodeEvent::Tick(_) | NodeEvent::Turn(_) = event
            && self.waits_for_log(cx)
        {
            self.schedule(WAITS, event, cx);
            return Ok(());
        }
        match event {
            NodeEvent::Probe => self.probe(cx),
            NodeEvent::Tick(host) => self.tick(host, cx),
            NodeEvent::Turn(host) => self.turn(host, cx),
            NodeEvent::Synced => self.synced(cx),
            NodeEvent::Idle => {
                self.measure(cx)?;
                self.idle(cx)
            }
            NodeEvent::Mark => self.mark(cx),
            NodeEvent::Apply => self.apply(cx),
            NodeEvent::Work(worker) => self.work(worker, cx),
            NodeEvent::Tidy => self.tidy(cx),
            NodeEvent::Serve(request, ready) => self.serve(request, ready, cx),
            NodeEvent::Call(caller, call) => self.called(caller, *call, cx),
            NodeEvent::HearMap(talk) => self.hear_map(*talk, cx),
            NodeEvent::TellMap => {
                self.tell_map(cx);
                Ok(())
            }
            NodeEvent::AskMap => {
                self.ask_map(cx);
                Ok(())
            }
            NodeEvent::LookForLeftOut => {
                self.remove_left_out(cx);
                self.schedule(super::members::LOOK, NodeEvent::LookForLeftOut, cx);
                Ok(())
            }
            NodeEvent::WriteCreation => self.write_creation(cx),
            NodeEvent::ReplaceDamaged => {
                self.replace_damaged(cx);
                Ok(())
            }
            NodeEvent::LetGo(key) => {
                self.let_go(key, cx);
                Ok(())
            }
        }
    }

    /// A name for something that a host is asked.
    pub(super) fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    pub(super) fn schedule(&self, delay: Duration, event: NodeEvent, cx: &mut Context) {
        cx.after(delay, Event::Node { node: self.index, life: self.life, event });
    }

    pub(super) fn host_of(&self, partition: u64) -> usize {
        doug_node::host::host_of(partition, self.hosts.len())
    }

    /// A replica this node holds.
    pub fn partition(&self, key: ReplicaKey) -> Option<Arc<ReplicaData>> {
        self.partitions.get(&key.partition).filter(|partition| partition.key() == key).cloned()
    }

    /// Asks a replica's host to stand still for a snapshot.
    pub fn ask_to_install(&mut self, replica: ReplicaKey, id: u64, cx: &mut Context) -> RequestId {
        let request = self.next_request();
        self.snapshots.insert(request, None);
        let event = doug_node::host::Event::SnapshotReceived { request, replica, id };
        self.post(self.host_of(replica.partition), event, cx);
        request
    }

    /// The host's word, once it is there.
    pub fn word_to_install(&mut self, request: RequestId) -> Option<bool> {
        let word = self.snapshots.get(&request).copied().flatten()?;
        self.snapshots.remove(&request);
        Some(word)
    }

    /// The map, once the node belongs to the database.
    pub fn map(&self) -> Option<&Arc<PartitionMap>> {
        self.map.as_ref()
    }

    /// Whether it holds another map than when this was asked last.
    pub fn has_new_map(&mut self) -> bool {
        std::mem::take(&mut self.map_is_new)
    }

    /// Whether replicas on their way out are still here.
    pub fn has_leaving(&self) -> bool {
        !self.fenced.is_empty() || !self.leaving.is_empty()
    }

    /// All replicas of this node.
    pub fn partitions(&self) -> &BTreeMap<u64, Arc<ReplicaData>> {
        &self.partitions
    }

    /// How many of its replicas have yet to find out whether they lost what they had acknowledged.
    pub fn ambiguous_tails(&self) -> usize {
        self.hosts.iter().map(|slot| slot.host.ambiguous_tails()).sum()
    }

    /// The core of a partition's replica here.
    pub fn raft(&self, partition: u64) -> Option<&doug_raft::Raft> {
        self.hosts[self.host_of(partition)].host.raft(partition)
    }

    /// Checks that every quiesced follower's leader has the liveness epoch it quiesced under.
    ///
    /// # Errors
    /// One has not.
    pub fn check_quiesced(&self) -> Result<(), Violation> {
        let leaderless = self.hosts.iter().find_map(|slot| slot.host.quiesced_without_leader());
        leaderless.map_or(Ok(()), |partition| {
            Err(crate::checks::quiesced_without_leader(&self.name, partition))
        })
    }

    /// The manifest and trees.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether nothing is done behind the scenes.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.workers.iter().all(Option::is_none) && self.syncing.is_none()
    }

    /// The log's files that wait to become segments.
    pub fn spare_files(&self) -> &[PathBuf] {
        self.log.spare_files()
    }

    /// Which process this is.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
