//! The engine: what the threads and services of a running node share.

use super::clock::Clock;
use super::host_thread::Input;
use super::log_thread::LogWork;
use super::mailbox::Mailbox;
use super::maintenance::Task;
use super::maps::Maps;
use super::memory::SessionMemory;
use super::peers::Peers;
use super::read_pool::ReadTask;
use super::requests::{Asked, Request, Requests, Sink};
use crate::apply::ReplicaData;
use crate::budget::MemoryBudget;
use crate::flow::MemtableMemory;
use crate::host::{ApplyWork, Event, Host, Reply, RequestId, SendSnapshot, WantedReplica, host_of};
use crate::metrics::Metrics;
use crate::serving::{self, ScanPins};
use crate::volume::Volume;
use crate::watchdog::Watchdog;
use crossbeam_channel::Sender;
use doug_edge::answers::Answers;
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, Partition as Descriptor, Ports};
use doug_proto::v1;
use doug_raft::Time;
use doug_storage::ReplicaKey;
use doug_storage::log::LogReader;
use doug_storage::store::Store;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How much longer than until the deadline of what it was asked a host is waited for: it
/// looks at deadlines once a tick.
const LATE: Duration = Duration::from_secs(1);

/// What a running node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The cluster it was configured for.
    pub cluster: String,
    /// Under which host name or address others reach it.
    pub address: String,
    /// Where it listens.
    pub ports: Ports,
    /// Random number of this process.
    pub incarnation: u64,
    /// Shortest election timeout.
    pub election_timeout: Duration,
    /// What opens the ports of other nodes.
    pub access: AccessToken,
    /// Most connections of clients, if it was said.
    pub max_connections: Option<usize>,
}

impl Identity {
    /// How a map that is yet to list it would.
    pub fn entry(&self) -> Node {
        Node {
            id: self.node,
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            address: self.address.clone(),
            ports: self.ports,
            version: 0,
        }
    }

    /// How often hosts are told the time: often enough for timeouts that differ
    /// by a few milliseconds to elect one candidate.
    pub fn tick_interval(&self) -> Duration {
        (self.election_timeout / 15).max(Duration::from_millis(1))
    }
}

/// A host's mailbox, and what its thread last said of itself.
#[derive(Debug, Default)]
pub struct HostHandle {
    /// Its mail.
    pub mailbox: Mailbox,
    log_pressure_at: AtomicU64,
    leaderships: AtomicUsize,
    quiesced: AtomicUsize,
    ambiguous_tails: AtomicUsize,
    clock_offset: AtomicI64,
    caught_up: AtomicBool,
    log_backlog: AtomicU64,
}

impl HostHandle {
    /// Tells the host something. Never waits.
    pub fn send(&self, input: impl Into<Input>) {
        self.mailbox.send(input.into());
    }

    /// The log is short of room because of this replica; repeated at most every 50 ms.
    pub fn note_log_pressure(&self, replica: ReplicaKey, now: Time) {
        let before = self.log_pressure_at.load(Ordering::Relaxed);
        if now.since(Time(before)) >= Duration::from_millis(50) {
            self.log_pressure_at.store(now.0, Ordering::Relaxed);
            self.send(Event::LogPressure { replica });
        }
    }

    /// What the host's thread says of its host.
    pub fn note(&self, now: Time, host: &Host) {
        self.leaderships.store(host.leaderships(), Ordering::Relaxed);
        self.quiesced.store(host.quiesced(), Ordering::Relaxed);
        self.ambiguous_tails.store(host.ambiguous_tails(), Ordering::Relaxed);
        self.clock_offset.store(host.clock_offset(now), Ordering::Relaxed);
        self.caught_up.store(host.caught_up(), Ordering::Relaxed);
        self.log_backlog.store(host.log_backlog(), Ordering::Relaxed);
    }

    /// Bytes that it has given to the log and that are not durable yet.
    pub fn log_backlog(&self) -> u64 {
        self.log_backlog.load(Ordering::Relaxed)
    }

    /// How many partitions it leads.
    pub fn leaderships(&self) -> usize {
        self.leaderships.load(Ordering::Relaxed)
    }

    /// By how many milliseconds the node's clock is ahead of what this host hears of others', or
    /// behind it if negative.
    pub fn clock_offset(&self) -> i64 {
        self.clock_offset.load(Ordering::Relaxed)
    }

    /// How many of its replicas have yet to find out whether they lost what they had acknowledged.
    pub fn ambiguous_tails(&self) -> usize {
        self.ambiguous_tails.load(Ordering::Relaxed)
    }

    /// How many of its replicas are quiesced.
    pub fn quiesced(&self) -> usize {
        self.quiesced.load(Ordering::Relaxed)
    }

    /// Whether each of its replicas has caught up once.
    pub fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }
}

/// All of a running node.
pub struct Engine {
    /// What it is.
    pub config: Identity,
    /// Its clock.
    pub clock: Clock,
    /// Its hosts; partition p belongs to number p modulo their count.
    pub hosts: Vec<HostHandle>,
    /// Requests in flight.
    pub requests: Requests,
    /// Answers that clients have not read yet.
    pub answers: Answers,
    /// Scan snapshots kept.
    pub scan_pins: ScanPins,
    /// The partition map.
    pub maps: Maps,
    /// What waits for other nodes.
    pub peers: Peers,
    /// Manifest and trees.
    pub store: Arc<Store>,
    /// The log's readable side.
    pub log_reader: LogReader,
    /// Memory that its parts may use.
    pub budget: MemoryBudget,
    /// What memtables take, and may take.
    pub memtables: Mutex<MemtableMemory>,
    /// What client sessions take, and may take.
    pub session_memory: SessionMemory,
    /// Most bytes of log on disk.
    pub log_limit: u64,
    /// To the log's thread.
    pub log: Sender<LogWork>,
    /// To the applying thread.
    pub apply: Sender<ApplyWork>,
    /// To the readers.
    pub reads: Sender<ReadTask>,
    /// To the background threads.
    pub maintenance: Sender<Task>,
    /// To the sender of snapshots.
    pub snapshots: tokio::sync::mpsc::UnboundedSender<(usize, SendSnapshot)>,
    /// To the maker of replicas on other nodes.
    pub creations: tokio::sync::mpsc::Sender<WantedReplica>,
    /// Replicas whose files are damaged, and what was found.
    pub fenced: Mutex<BTreeMap<ReplicaKey, String>>,
    /// Room on the volume.
    pub volume: Arc<Volume>,
    /// Counters.
    pub metrics: Metrics,
    /// Its threads, watched.
    pub watchdog: Arc<Watchdog>,
    /// Set once the node stops.
    pub stopping: AtomicBool,
    /// The replicas this node holds.
    pub partitions: RwLock<BTreeMap<u64, Arc<ReplicaData>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// A replica this node holds.
    pub fn partition(&self, id: u64) -> Option<Arc<ReplicaData>> {
        self.partitions.read().get(&id).cloned()
    }

    /// Whether this node leads a partition, as its host last said.
    pub fn leads(&self, partition: u64) -> bool {
        self.partition(partition).is_some_and(|partition| partition.leads())
    }

    /// The host that owns a partition.
    pub fn host(&self, partition: u64) -> &HostHandle {
        &self.hosts[host_of(partition, self.hosts.len())]
    }

    /// Tells the hosts what a node's hello says of its program and its process.
    pub fn greeted(&self, node: NodeId, hello: &v1::Hello) {
        for host in &self.hosts {
            // Programs from before there were levels do not say.
            host.send(Event::Supports { node, level: hello.feature_level });
            host.send(Event::Hello { node, incarnation: hello.incarnation });
        }
    }

    /// Whether the node stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Asks for a look at the partition's memtable and levels, unless one is
    /// already asked for.
    pub fn maintain(&self, partition: &ReplicaData) {
        if partition.ask_for_maintenance() {
            // The receiver is gone only while the process ends.
            let _ = self.maintenance.send(Task::Jobs(partition.key()));
        }
    }

    /// Has a committed descriptor taken into the map: off the caller's thread, for
    /// it waits for the disk.
    pub fn publish(&self, descriptor: Arc<Descriptor>) {
        // The receiver is gone only while the process ends.
        let _ = self.maintenance.send(Task::Publish(descriptor));
    }

    /// By how many milliseconds this node's wall clock is ahead of what it hears of others', or
    /// behind it if negative: as the host sees it that sees most.
    pub fn clock_offset(&self) -> i64 {
        let offsets = self.hosts.iter().map(|host| host.clock_offset());
        offsets.max_by_key(|offset| offset.abs()).unwrap_or(0)
    }

    /// Bytes of log on disk.
    pub fn log_bytes(&self) -> u64 {
        self.log_limit.saturating_sub(self.log_reader.room())
    }

    /// Asks for a snapshot to be sent.
    pub fn send_snapshot(&self, host: usize, snapshot: SendSnapshot) {
        // The receiver is gone only while the process ends.
        let _ = self.snapshots.send((host, snapshot));
    }

    /// Fills in where the leader that a not-leader error names listens.
    pub fn with_leader_address(&self, fault: Fault) -> Fault {
        serving::with_leader_address(fault, self.maps.get().as_deref())
    }

    /// Files a request and hands it to its partition's host.
    pub fn submit(
        &self,
        partition: u64,
        asked: Asked,
        sink: Option<Sink>,
        permit: super::requests::Permit,
        event: impl FnOnce(RequestId) -> Event,
    ) {
        let request = self.requests.insert(Request { partition, asked, sink, permit });
        self.host(partition).send(event(request));
    }

    /// Asks one host something and waits for its reply.
    ///
    /// # Errors
    /// What the host answers. It decides what became of what was asked, at the latest at
    /// the deadline that it was told; if it is silent, nobody knows.
    pub async fn ask(
        &self,
        host: usize,
        timeout: Duration,
        event: impl FnOnce(RequestId) -> Event,
    ) -> Result<Reply, Fault> {
        self.requests.ask(timeout + LATE, |request| self.hosts[host].send(event(request))).await
    }
}
