//! How a process starts: what it is told, what it finds on its disk, and its first timers.

use super::Clock;
use super::death::Death;
use super::process::{HostSlot, IDLE, Process, TIDY, WORKERS};
use super::threads::{PROBE, Threads};
use crate::context::Context;
use crate::events::{Hello, NodeEvent};
use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::random::Random;
use crate::time::seconds;
use bytes::Bytes;
use doug_node::apply::{Machine, ReplicaData};
use doug_node::flow::{ApplyQueue, Inbox, LogQueue, MemtableMemory, OperationAdmission};
use doug_node::host::{Host, HostConfig};
use doug_node::membership::HeldDescriptors;
use doug_node::replicas::restore;
use doug_node::serving::{ScanPins, WatchRoom, Watches};
use doug_proto::ids::NodeId;
use doug_proto::map::PartitionMap;
use doug_raft::LeaseConfig;
use doug_storage::disk::Disk;
use doug_storage::manifest::Identity;
use doug_storage::store::{NewReplica, Opened, Store};
use doug_storage::{Applied, ReplicaKey, StorageError};
use prost::Message;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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

/// How many ticks an election timeout has, as in a real node.
const TICKS: u32 = 15;

/// How many it has on a node that is so busy that each comes late, for which a host compensates.
const LATE_TICKS: u32 = 2;

/// For how long without a leader votes of replicas with ambiguous tails stay marked:
/// longer than whoever holds what was lost is away.
pub const AMBIGUITY_PATIENCE: Duration = seconds(12);

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
        process.measure(cx)?;
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
            election_timeout: cx.plan.election_timeout,
            ambiguity_patience: AMBIGUITY_PATIENCE,
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
            quiesce_after: cx.plan.quiesce_after,
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
            watches: Watches::default(),
            watch_room: WatchRoom::new(cx.plan.recent_bytes, cx.plan.watch_bytes),
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
            slow_disk: Duration::ZERO,
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
            let first = cx.random.duration_below(self.tick);
            self.schedule(first, NodeEvent::Tick(host), cx);
            self.hosts[host].turn_due = true;
            self.schedule(Duration::ZERO, NodeEvent::Turn(host), cx);
        }
        self.schedule(IDLE, NodeEvent::Idle, cx);
        self.schedule(TIDY, NodeEvent::Tidy, cx);
        self.schedule(PROBE, NodeEvent::Probe, cx);
        let first = cx.random.duration_below(super::maps::QUESTION);
        self.schedule(first, NodeEvent::AskMap, cx);
        self.schedule(first, NodeEvent::LookForLeftOut, cx);
        self.schedule(first, NodeEvent::ReplaceDamaged, cx);
        self.schedule(super::catalog::first_look(&cx.plan, first), NodeEvent::WriteCreation, cx);
    }
}

/// A life is a process, so this tells them apart as random numbers would.
fn incarnation(start: &Start) -> u64 {
    start.life << 8 | start.index as u64
}

fn tick_interval(node: usize, plan: &Plan) -> Duration {
    plan.election_timeout / if node < plan.late_nodes { LATE_TICKS } else { TICKS }
}
