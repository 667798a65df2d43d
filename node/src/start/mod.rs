//! Starting and stopping a node.

mod listeners;
mod peer_runtime;

use crate::budget::Share;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::host_handle::HostHandle;
use crate::engine::identity::Identity;
use crate::engine::maps::Maps;
use crate::engine::peers::{Begun, Peers};
use crate::engine::random::random_bits;
use crate::engine::requests::Requests;
use crate::engine::session_memory::SessionMemory;
use crate::engine::tasks::{LogWork, MaintenanceTask, ReadTask};
use crate::flow::MemtableMemory;
use crate::host::{Event, Host, HostConfig, host_of};
use crate::metrics::Metrics;
use crate::replicas::restore;
use crate::serving::{ScanPins, WatchRoom};
use crate::threads::{self, DISK_PATIENCE, HOST_PATIENCE, Threads};
use crate::transport;
use crate::volume::Volume;
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, unbounded};
use doug_edge::answers::Answers;
use doug_edge::received::Received;
use doug_proto::ids::NodeId;
use doug_proto::limits;
use doug_proto::map::PartitionMap;
use doug_raft::LeaseConfig;
use doug_storage::disk::RealDisk;
use doug_storage::log::LogReader;
use doug_storage::log::LogWriter;
use doug_storage::manifest;
use doug_storage::store::{Opened, Recovered, Store};
use doug_storage::{ReplicaKey, StorageError};
use listeners::Listeners;
use parking_lot::{Mutex, RwLock};
use peer_runtime::PeerRuntime;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a stopping node tries to hand its leaderships over.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long requests in flight may take to end once it has.
const GRACE: Duration = Duration::from_secs(2);
/// By how much clocks may differ in speed where leaders read by lease, in millionths.
const MAX_DRIFT_PPM: u32 = 10_000;
/// Replicas that are to be made on other nodes.
const WAITING_CREATIONS: usize = 256;
const READERS: usize = 2;
const MAINTAINERS: usize = 2;

/// Runs a node until `shutdown` ends; it then hands its leaderships over first.
///
/// # Errors
/// A setting out of range, a taken port, a data directory that is in use or
/// damaged: with what to do.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
    config.check()?;
    let listeners = Listeners::bind(&config).await?;
    let peers = PeerRuntime::start()?;
    let (engine, threads) = {
        let (config, peers) = (config.clone(), peers.handle());
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || open(&config, runtime, peers))
            .await
            .context("opening the data directory panicked")??
    };
    let stop = CancellationToken::new();
    let mut servers = listeners.serve(&engine, &stop, &peers)?;
    tracing::info!(
        node = %engine.config.node, name = config.name, data = %config.data.display(),
        "the node has replayed its log and serves"
    );
    tokio::select! {
        () = shutdown => {}
        ended = servers.join_next() => {
            ended.context("a node without servers")?.context("a server panicked")??;
        }
        () = threads.ended() => {
            engine.stopping.store(true, Ordering::Relaxed);
            let why = engine.watchdog.complaint(engine.clock.now());
            let why = why.map_or("a thread has ended".to_owned(), |why| why.to_string());
            return Err(anyhow!("{why}, though the node does not stop: that is a bug"));
        }
    }
    hand_over(&engine).await;
    stop.cancel();
    let ended = async { while servers.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GRACE, ended).await);
    engine.stopping.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || threads.join())
        .await
        .context("a thread panicked while stopping")
}

async fn hand_over(engine: &Engine) {
    tracing::info!("stopping: handing leaderships over");
    for host in &engine.hosts {
        host.send(Event::HandOver);
    }
    let deadline = tokio::time::Instant::now() + HAND_OVER;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if engine.hosts.iter().all(|host| host.leaderships() == 0) {
            return;
        }
    }
    tracing::warn!("some leaderships could not be handed over; their partitions will elect anew");
}

/// The receivers of a node's queues, one per kind of thread.
struct Queues {
    log: Receiver<LogWork>,
    apply: Receiver<crate::work::ApplyWork>,
    reads: Receiver<ReadTask>,
    maintenance: Receiver<MaintenanceTask>,
    snapshots: mpsc::UnboundedReceiver<(usize, crate::host::SendSnapshot)>,
    creations: mpsc::Receiver<crate::membership::WantedReplica>,
    peers: mpsc::UnboundedReceiver<Begun>,
}

fn open(config: &Config, runtime: Handle, peers: Handle) -> Result<(Arc<Engine>, Threads)> {
    let options = config.store_options().salted(random_bits());
    let opened = Store::open(Arc::new(RealDisk), &config.data, options)?;
    let node = identify(&opened)?;
    let map = stored_map(&opened)?;
    let identity = Identity {
        node,
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        address: config.address.clone(),
        ports: config.ports,
        incarnation: random_bits(),
        election_timeout: Duration::from_millis(config.election_timeout_milliseconds),
        access: config.access.clone(),
        max_connections: config.max_connections,
    };
    let clock = Clock::start();
    let Held { hosts, partitions, fenced } =
        hosts(config, &identity, clock, opened.replicas, &opened.store, &opened.reader)?;
    let parts = Parts { store: opened.store, log_reader: opened.reader, map, partitions, fenced };
    let (engine, queues) = share(config, identity, clock, parts);
    // What was applied just before the last process ended may not be in the map yet.
    for partition in engine.partitions.read().values() {
        engine.maps.publish(&partition.descriptor())?;
    }
    let threads = start(engine.clone(), hosts, queues, opened.log, (&runtime, &peers))?;
    Ok((engine, threads))
}

/// The node's id: made when the empty volume is initialised, and never again.
fn identify(opened: &Opened) -> Result<NodeId> {
    if let Some(identity) = opened.identity {
        return Ok(NodeId::from_bits(identity.node));
    }
    let node = NodeId::from_bits(random_bits());
    opened.store.set_identity(manifest::Identity { node: node.bits(), database: None })?;
    Ok(node)
}

fn stored_map(opened: &Opened) -> Result<Option<PartitionMap>> {
    PartitionMap::from_stored(&opened.map).context("the stored partition map is unreadable")
}

/// What was found of the replicas: those that run, and why the others do not.
struct Held {
    hosts: Vec<Host>,
    partitions: Partitions,
    fenced: BTreeMap<ReplicaKey, String>,
}

type Partitions = BTreeMap<u64, Arc<crate::apply::ReplicaData>>;

fn hosts(
    config: &Config,
    identity: &Identity,
    clock: Clock,
    replicas: Vec<Recovered>,
    store: &Store,
    log_reader: &LogReader,
) -> Result<Held> {
    let replication = config.budget().of(Share::Replication) / config.hosts as u64;
    let log = config.store_options().log;
    let host_config = HostConfig {
        election_timeout: Duration::from_millis(config.election_timeout_milliseconds),
        lease: config.read_leases.then_some(LeaseConfig { max_drift_ppm: MAX_DRIFT_PPM }),
        quiesce_after: (config.quiesce_after_milliseconds > 0)
            .then_some(Duration::from_millis(config.quiesce_after_milliseconds)),
        incarnation: identity.incarnation,
        hosts: config.hosts as u32,
        // A quarter of the log, over eight replicas.
        retained_log_bytes: config.log_limit / 32,
        log_backlog_bytes: replication / 4,
        apply_backlog_bytes: replication / 4,
        payload_cache_bytes: replication / 4,
        uncommitted_log_bytes: log.uncommitted_bytes() / config.hosts as u64,
        largest_batch_bytes: log.largest_batch(),
        ..HostConfig::new(identity.node)
    };
    let host = |number| Host::new(HostConfig { number, ..host_config.clone() });
    let mut hosts: Vec<Host> = (0..config.hosts as u32).map(host).collect();
    let mut partitions = Partitions::new();
    let mut payloads = host_config.payload_cache_bytes * config.hosts as u64;
    for found in replicas {
        let key = found.key;
        if let Err(error) = &found.tree {
            // It neither votes nor answers; the others serve.
            tracing::error!(replica = %key, %error, "this replica is damaged and stays out of its \
                group");
            continue;
        }
        let restored = restore(found, log_reader, &mut payloads, random_bits());
        let (partition, restored) = match restored.map_err(|e| store.fence_if_damaged(key, e)) {
            Ok(restored) => restored,
            Err(error @ StorageError::Fenced { .. }) => {
                tracing::error!(replica = %key, %error, "this replica stays out of its group");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        partitions.insert(key.partition, Arc::new(partition));
        hosts[host_of(key.partition, config.hosts)].restore(clock.now(), restored);
    }
    // The store has fenced every replica whose tables it could not open.
    let fenced = store.replicas().into_iter().filter_map(|(key, why)| Some((key, why?)));
    Ok(Held { hosts, partitions, fenced: fenced.collect() })
}

struct Parts {
    store: Arc<Store>,
    log_reader: LogReader,
    map: Option<PartitionMap>,
    partitions: Partitions,
    fenced: BTreeMap<ReplicaKey, String>,
}

fn share(config: &Config, identity: Identity, clock: Clock, parts: Parts) -> (Arc<Engine>, Queues) {
    // Bounded by the hosts, which count what they give out: they must never wait here.
    let (log, log_queue) = unbounded();
    let (apply, apply_queue) = unbounded();
    let (reads, reads_queue) = unbounded();
    let (maintenance, maintenance_queue) = unbounded();
    let (snapshots, snapshots_queue) = mpsc::unbounded_channel();
    let (creations, creations_queue) = mpsc::channel(WAITING_CREATIONS);
    let (peers, peers_queue) = mpsc::unbounded_channel();
    let metrics = Metrics::new();
    let engine = Arc::new(Engine {
        config: identity,
        clock,
        hosts: (0..config.hosts).map(|_| HostHandle::default()).collect(),
        requests: Requests::new(config.request_budget(), metrics.durations.clone()),
        answers: Answers::new(config.answer_budget()),
        received: Received::new(config.receive_budget()),
        scan_pins: ScanPins::default(),
        maps: Maps::new(parts.map, parts.store.clone()),
        peers: Peers::new(config.budget(), peers),
        store: parts.store,
        log_reader: parts.log_reader,
        log_limit: config.log_limit,
        budget: config.budget(),
        memtables: Mutex::new(MemtableMemory::new(config.budget().of(Share::Memtables))),
        session_memory: SessionMemory::new(config.budget().of(Share::Sessions)),
        watches: Mutex::default(),
        watch_room: WatchRoom::new(config.budget().of(Share::Changes), limits::WATCH_BYTES),
        log,
        apply,
        reads,
        maintenance,
        snapshots,
        creations,
        fenced: Mutex::new(parts.fenced),
        volume: Arc::new(Volume::default()),
        metrics,
        watchdog: Arc::default(),
        stopping: AtomicBool::new(false),
        partitions: RwLock::new(parts.partitions),
    });
    let queues = Queues {
        log: log_queue,
        apply: apply_queue,
        reads: reads_queue,
        maintenance: maintenance_queue,
        snapshots: snapshots_queue,
        creations: creations_queue,
        peers: peers_queue,
    };
    (engine, queues)
}

fn start(
    engine: Arc<Engine>,
    hosts: Vec<Host>,
    queues: Queues,
    log: LogWriter,
    (runtime, peers): (&Handle, &Handle),
) -> Result<Threads> {
    // Before anybody writes a table: of a volume that was never measured nobody knows an end, and a
    // flush or snapshot would be given what the log may need.
    threads::volume_watch::measure(&engine);
    let mut threads = Threads::new(engine.watchdog.clone(), engine.clock);
    let node = engine.clone();
    let work = move |pulse| threads::log::run(log, queues.log, node, pulse);
    threads.spawn("log", DISK_PATIENCE, work)?;
    let node = engine.clone();
    let work = move |pulse| threads::apply::run(queues.apply, node, pulse);
    threads.spawn("apply", DISK_PATIENCE, work)?;
    for number in 0..READERS {
        let (node, tasks) = (engine.clone(), queues.reads.clone());
        let work = move |pulse| threads::reads::run(tasks, node, pulse);
        threads.spawn(&format!("read-{number}"), DISK_PATIENCE, work)?;
    }
    for number in 0..MAINTAINERS {
        let (node, tasks) = (engine.clone(), queues.maintenance.clone());
        let work = move |pulse| threads::maintenance::run(tasks, node, pulse);
        threads.spawn(&format!("maintain-{number}"), DISK_PATIENCE, work)?;
    }
    for (number, host) in hosts.into_iter().enumerate() {
        let node = engine.clone();
        let work = move |pulse| threads::host::run(number, host, node, pulse);
        threads.spawn(&format!("host-{number}"), HOST_PATIENCE, work)?;
    }
    peers.spawn(transport::send_turns(queues.peers, Arc::downgrade(&engine)));
    runtime.spawn(transport::share_map(engine.clone()));
    runtime.spawn(transport::create_replicas(queues.creations, engine.clone()));
    runtime.spawn(transport::replace_damaged(engine.clone()));
    runtime.spawn(threads::removal::remove_left_out(engine.clone()));
    runtime.spawn(threads::volume_watch::run(engine.clone()));
    runtime.spawn(threads::founding::write_creation(engine.clone()));
    runtime.spawn(transport::send_snapshots(queues.snapshots, engine));
    Ok(threads)
}
