//! The engine: what the threads and services of a running node share.

use super::clock::Clock;
use super::host_handle::HostHandle;
use super::identity::Identity;
use super::maps::Maps;
use super::peers::Peers;
use super::requests::{Asked, Permit, Request, Requests, Sink};
use super::session_memory::SessionMemory;
use super::tasks::{LogWork, MaintenanceTask, ReadTask};
use crate::apply::ReplicaData;
use crate::budget::MemoryBudget;
use crate::flow::MemtableMemory;
use crate::host::{Event, Reply, SendSnapshot, host_of};
use crate::membership::WantedReplica;
use crate::metrics::Metrics;
use crate::serving::{self, ScanPins, WatchRoom, Watches};
use crate::volume::Volume;
use crate::watchdog::Watchdog;
use crate::work::{ApplyWork, RequestId};
use crossbeam_channel::Sender;
use doug_edge::answers::Answers;
use doug_edge::received::Received;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition as Descriptor;
use doug_proto::v1;
use doug_storage::ReplicaKey;
use doug_storage::log::LogReader;
use doug_storage::store::Store;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much longer than until the deadline of what it was asked a host is waited for: it
/// looks at deadlines once a tick.
const LATE: Duration = Duration::from_secs(1);

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
    /// Requests that are not whole, or that nobody reads.
    pub received: Received,
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
    /// Watches that wait.
    pub watches: Mutex<Watches>,
    /// What they share.
    pub watch_room: WatchRoom,
    /// Most bytes of log on disk.
    pub log_limit: u64,
    /// To the log's thread.
    pub log: Sender<LogWork>,
    /// To the applying thread.
    pub apply: Sender<ApplyWork>,
    /// To the readers.
    pub reads: Sender<ReadTask>,
    /// To the background threads.
    pub maintenance: Sender<MaintenanceTask>,
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

    /// Holds a replica no more: from then on nobody hears of it, and its watches ask elsewhere.
    pub fn let_go(&self, replica: ReplicaKey) {
        let mut partitions = self.partitions.write();
        if partitions.get(&replica.partition).is_none_or(|held| held.key() != replica) {
            return;
        }
        partitions.remove(&replica.partition);
        drop(partitions);
        let watches = self.watches.lock().skipped(replica.partition);
        self.wake(watches);
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
            let _ = self.maintenance.send(MaintenanceTask::Jobs(partition.key()));
        }
    }

    /// Has these watches look whether there is something to tell.
    pub fn wake(&self, watches: Vec<RequestId>) {
        for request in watches {
            // The receiver is gone only while the process ends.
            let _ = self.reads.send(ReadTask::Woken(request));
        }
    }

    /// Has a committed descriptor taken into the map: off the caller's thread, for
    /// it waits for the disk.
    pub fn publish(&self, descriptor: Arc<Descriptor>) {
        // The receiver is gone only while the process ends.
        let _ = self.maintenance.send(MaintenanceTask::Publish(descriptor));
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
        permit: Permit,
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
