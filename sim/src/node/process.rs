//! A running process: how it starts, and what its parts are.

use super::Clock;
use super::admin::Control;
use super::maintenance::{Task, Work};
use super::threads::{PROBE, Threads};
use crate::checks::Violation;
use crate::context::Context;
use crate::events::{Event, Hello, InFlight, NodeEvent};
use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::random::Random;
use bytes::Bytes;
use doug_node::apply::{ApplyError, Machine, ReplicaData};
use doug_node::flow::{Appended, ApplyQueue, Inbox, LogQueue, MemtableMemory, OperationAdmission};
use doug_node::host::{Host, HostConfig};
use doug_node::membership::HeldDescriptors;
use doug_node::replicas::restore;
use doug_node::serving::ScanPins;
use doug_node::volume::Volume;
use doug_node::watchdog::Complaint;
use doug_node::work::{ApplyWork, RequestId};
use doug_proto::ids::NodeId;
use doug_proto::map::PartitionMap;
use doug_raft::LeaseConfig;
use doug_storage::disk::Disk;
use doug_storage::log::{LogReader, LogWriter};
use doug_storage::manifest::Identity;
use doug_storage::store::{NewReplica, Opened, Store};
use doug_storage::{Applied, ReplicaKey, StorageError};
use prost::Message;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why a process ended, or could not start.
#[derive(Debug)]
pub enum Death {
    /// Its disk failed it, or what is on it.
    Storage(StorageError),
    /// A committed command could not be applied.
    Apply(ApplyError),
    /// One of its threads is stuck, and its supervisor ends it.
    Stuck(Complaint),
    /// It broke a promise.
    Broken(Violation),
}

impl From<StorageError> for Death {
    fn from(error: StorageError) -> Self {
        Death::Storage(error)
    }
}

impl From<ApplyError> for Death {
    fn from(error: ApplyError) -> Self {
        Death::Apply(error)
    }
}

impl From<Violation> for Death {
    fn from(violation: Violation) -> Self {
        Death::Broken(violation)
    }
}

/// A host, and the events that wait for its next turn.
pub(super) struct HostSlot {
    pub host: Host,
    pub mail: Inbox<doug_node::host::Event>,
    /// The memory of the mail taken last.
    pub spare: Vec<doug_node::host::Event>,
    pub turn_due: bool,
    /// When the log last told it of pressure.
    pub log_pressure_at: Option<u64>,
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
    pub full_log: Option<u64>,
    /// Its syncs take so many microseconds longer.
    pub slow_disk: u64,
    /// How often hosts are told the time, in microseconds.
    pub(super) tick: u64,
}

/// What a process is told at its start.
pub(super) struct Start {
    pub index: usize,
    pub id: NodeId,
    pub name: String,
    pub life: u64,
    pub clock: Clock,
    pub salt: u64,
    pub founder: bool,
    pub level: u32,
}

/// By how much the clocks of nodes that read by lease may differ: as much as a real node allows.
const LEASE: LeaseConfig = LeaseConfig { max_drift_ppm: 10_000 };

/// Pause before a host that waits for the log, by a bug put in, looks again.
const WAITS: u64 = 1_000;
/// Threads that flush, compact and read the log back.
const WORKERS: usize = 2;
/// How many ticks an election timeout has, as in a real node.
const TICKS: u64 = 15;
/// How many it has on a node that is so busy that each comes late, for which a host compensates.
const LATE_TICKS: u64 = 2;
/// Pause before an idle log looks whether there is anything to do.
pub(super) const IDLE: u64 = 100_000;
/// How long the log is idle before it marks how far it is durable and what is committed.
pub(super) const MARK: u64 = 1_000;
/// Pause between two rounds of tidying.
pub(super) const TIDY: u64 = 1_000_000;

/// For how long without a leader votes of replicas with ambiguous tails stay marked, in
/// microseconds: longer than whoever holds what was lost is away.
pub const AMBIGUITY_PATIENCE: u64 = 12_000_000;

impl Process {
    pub(super) fn start(
        start: Start,
        disk: Arc<dyn Disk>,
        random: &mut Random,
        cx: &mut Context,
    ) -> Result<Self, Death> {
        let options = cx.plan.store.clone().salted(start.salt);
        let opened = Store::open(disk, Path::new("/data"), options)?;
        let mut process = Self::of(&start, opened, random, cx)?;
        if process.map.is_some() {
            // What was applied just before the last process ended may not be in the map yet.
            let partitions: Vec<_> = process.partitions.values().cloned().collect();
            for partition in partitions {
                process.publish(&partition.descriptor(), cx)?;
            }
        } else if start.founder {
            process.create_database(random, cx)?;
        }
        process.set_timers(cx);
        Ok(process)
    }

    fn of(
        start: &Start,
        opened: Opened,
        random: &mut Random,
        cx: &mut Context,
    ) -> Result<Self, Death> {
        let map = PartitionMap::from_stored(&opened.map)
            .map_err(|fault| StorageError::Refused(format!("the stored map: {}", fault.message)))?;
        let live = opened.replicas.iter().map(|replica| replica.key).collect();
        cx.checks.opened(start.id, map.as_ref(), &live, &opened.removed)?;
        let config = HostConfig {
            election_timeout: Duration::from_micros(cx.plan.election_timeout),
            ambiguity_patience: Duration::from_micros(AMBIGUITY_PATIENCE),
            mutant: cx.plan.mutant.of_consensus(),
            level_bug: cx.plan.mutant.of_levels(),
            supports: start.level,
            lease: cx.plan.leases.then_some(LEASE),
            batch_bytes: cx.plan.batch_bytes,
            append_bytes: cx.plan.append_bytes,
            retained_log_bytes: cx.plan.retained_log_bytes,
            payload_cache_bytes: cx.plan.payload_cache_bytes,
            log_backlog_bytes: cx.plan.backlog_bytes,
            largest_batch_bytes: cx.plan.store.log.largest_batch(),
            uncommitted_log_bytes: cx.plan.store.log.uncommitted_bytes() / cx.plan.hosts as u64,
            apply_backlog_bytes: cx.plan.backlog_bytes,
            quiesce_after: cx.plan.quiesce_after.map(Duration::from_micros),
            incarnation: incarnation(start),
            hosts: cx.plan.hosts as u32,
            ..HostConfig::new(start.id)
        };
        let slot = |number: usize| HostSlot {
            host: Host::new(HostConfig { number: number as u32, ..config.clone() }),
            mail: Inbox::default(),
            spare: Vec::new(),
            turn_due: false,
            log_pressure_at: None,
        };
        let mut hosts: Vec<_> = (0..cx.plan.hosts).map(slot).collect();
        let mut payloads = cx.plan.payload_cache_bytes * cx.plan.hosts as u64;
        let (mut partitions, mut fenced) = (BTreeMap::new(), BTreeSet::new());
        for found in opened.replicas {
            let id = found.key.partition;
            if let Err(error) = &found.tree {
                // The store has fenced it durably.
                super::members::note_fenced(&start.name, (start.id, found.key), error, cx)?;
                fenced.insert(found.key);
                continue;
            }
            let key = found.key;
            let restored = restore(found, &opened.reader, &mut payloads, random.next());
            let restored = restored.map_err(|error| opened.store.fence_if_damaged(key, error));
            let (partition, mut restored) = match restored {
                Ok(restored) => restored,
                Err(error @ StorageError::Fenced { .. }) => {
                    super::members::note_fenced(&start.name, (start.id, key), &error, cx)?;
                    fenced.insert(key);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            partitions.insert(id, Arc::new(partition));
            let number = doug_node::host::host_of(id, hosts.len());
            cx.checks.voter_restored(start.id, &restored)?;
            // The log's word on what is committed would nearly always hide the bug.
            if cx.plan.mutant == Mutant::ReadBeforeReplay {
                restored.commit = restored.applied.0;
            }
            hosts[number].host.restore(start.clock.local(cx.now), restored);
        }
        Ok(Self {
            index: start.index,
            id: start.id,
            name: start.name.clone(),
            life: start.life,
            clock: start.clock,
            store: opened.store,
            log: opened.log,
            reader: opened.reader,
            hosts,
            partitions,
            records: LogQueue::default(),
            syncing: None,
            to_apply: ApplyQueue::default(),
            applying: false,
            memtables: MemtableMemory::new(cx.plan.memtable_share),
            tasks: VecDeque::new(),
            workers: [const { None }; WORKERS],
            requests: BTreeMap::new(),
            operations: BTreeMap::new(),
            admission: OperationAdmission::new(cx.plan.admission),
            scan_pins: ScanPins::default(),
            volume: Arc::default(),
            next_request: 0,
            snapshots: BTreeMap::new(),
            controls: BTreeMap::new(),
            digest: None,
            map: map.map(Arc::new),
            map_is_new: false,
            held: HeldDescriptors::default(),
            tells_map: false,
            told_last: None,
            map_turn: start.life as usize,
            hello: Hello {
                level: start.level,
                incarnation: incarnation(start),
                life: start.life,
                asks: false,
            },
            hellos: FxHashMap::default(),
            fenced,
            replacing_turn: 0,
            leaving: BTreeSet::new(),
            threads: Threads::new(cx.plan.hosts, WORKERS, cx),
            full_log: None,
            slow_disk: 0,
            tick: tick_interval(start.index, &cx.plan),
        })
    }

    /// What Admin's creation does on an empty volume.
    fn create_database(&mut self, random: &mut Random, cx: &mut Context) -> Result<(), Death> {
        let map = cx.database.map.clone();
        let own = map.partitions.iter().filter_map(|partition| {
            let member = partition.voter_on(self.id)?;
            let routing = map.keyspace_of(partition).routing.clone();
            let machine = Machine::new(map.database, routing, partition.clone());
            let key = ReplicaKey { partition: partition.id, replica: member.replica };
            let new = NewReplica { key, applied: Applied::default(), state: machine.encode() };
            Some((new, machine))
        });
        let own: Vec<_> = own.collect();
        let new: Vec<NewReplica> = own.iter().map(|(new, _)| new.clone()).collect();
        let identity = Identity { node: self.id.bits(), database: Some(map.database.bits()) };
        let document = Bytes::from(map.to_wire().encode_to_vec());
        for new in &new {
            cx.checks.changing(self.id, new.key, true)?;
        }
        let trees = self.store.join_database(identity, document, map.to_stored(), &new)?;
        cx.checks.map_stored(self.id, &map)?;
        self.hold_map(map);
        for ((new, machine), tree) in own.into_iter().zip(trees) {
            let replica = new.key;
            cx.checks.changed(self.id, replica, true);
            let descriptor = Box::new(machine.descriptor().clone());
            let partition = ReplicaData::new(replica, tree, machine, new.applied);
            self.partitions.insert(replica.partition, Arc::new(partition));
            let seed = random.next();
            let create = doug_node::host::Event::Create { replica, descriptor, seed };
            self.post(self.host_of(replica.partition), create, cx);
        }
        Ok(())
    }

    fn set_timers(&mut self, cx: &mut Context) {
        for host in 0..self.hosts.len() {
            let first = cx.random.below(self.tick);
            self.schedule(first, NodeEvent::Tick(host), cx);
            self.hosts[host].turn_due = true;
            self.schedule(0, NodeEvent::Turn(host), cx);
        }
        self.schedule(IDLE, NodeEvent::Idle, cx);
        self.schedule(TIDY, NodeEvent::Tidy, cx);
        self.schedule(PROBE, NodeEvent::Probe, cx);
        let first = cx.random.below(super::maps::QUESTION);
        self.schedule(first, NodeEvent::AskMap, cx);
        self.schedule(first, NodeEvent::LookForLeftOut, cx);
        self.schedule(first, NodeEvent::ReplaceDamaged, cx);
        self.schedule(super::catalog::first_look(&cx.plan, first), NodeEvent::WriteCreation, cx);
    }

    /// A name for something that a host is asked.
    pub(super) fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    pub(super) fn schedule(&self, delay: u64, event: NodeEvent, cx: &mut Context) {
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

    /// The consensus core of a replica.
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
}

/// A life is a process, so this tells them apart as random numbers would.
fn incarnation(start: &Start) -> u64 {
    start.life << 8 | start.index as u64
}

fn tick_interval(node: usize, plan: &Plan) -> u64 {
    plan.election_timeout / if node < plan.late_nodes { LATE_TICKS } else { TICKS }
}
